"""`ie predict` and `ie convert`: records in, records out, in order."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from ie_cli.commands.console import counting, say, warn
from ie_cli.commands.inputs import Input, ModelChoice, first_data, warn_capped
from ie_cli.document import Document
from ie_cli.errors import DataError, IEError, StorageError, hints
from ie_cli.formats import FORMATS, BadLine, Format, find_format, read_records
from ie_cli.formats.jsonl import dump
from ie_cli.inference.model_directory import fingerprint, local_folder
from ie_cli.inference.resumable_output import (
    Digest,
    Job,
    OtherInput,
    is_complete,
    journal_of,
    lock_of,
    open_job,
    part_of,
    refuse_interrupted,
)
from ie_cli.system.signals import Stopped
from ie_cli.system.streams import is_replaceable, open_output

if TYPE_CHECKING:
    from ie_cli.recipe.schema import Recipe

OnError = Literal["stop", "keep", "skip"]
IDLE_SECONDS = 0.5
"""On a pipe: what has been read is answered after so long without input."""


class Out(Protocol):
    """What takes text."""

    def write(self, text: str, /) -> Any: ...
    def flush(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Output:
    """Where a command writes, and what it does with a bad line.

    Attributes:
        rejects: a file for the bad lines, each with its place and its error.
        resume: go on with a job that was interrupted.
    """

    path: str
    on_error: OnError
    rejects: str | None = None
    resume: bool = False

    def must_be_sensible(self, target: Format, source: str) -> None:
        """Tell what cannot be meant before a model is loaded.

        Raises:
            DataError: with what to do instead.
        """
        if self.on_error == "keep" and target.name != "jsonl":
            raise DataError(
                f"--on-error keep needs --format jsonl, got {target.name}",
                hint="a bad line has no place in it; use skip.",
            )
        paths = [self.path] + ([self.rejects] if self.rejects is not None else [])
        taken: dict[str, str] = {os.path.realpath(source): "the input"} if os.path.isfile(source) else {}
        for path, what in zip(paths, ("the output", "the file of the rejects"), strict=False):
            if not is_replaceable(path):
                continue
            journal = journal_of({"": path})
            for name in (path, str(part_of(path)), str(journal), str(lock_of(journal))):
                real = os.path.realpath(name)
                if real in taken:
                    raise DataError(f"{name}: is {taken[real]} too", hint=f"give {what} another name.")
                taken[real] = what
        if self.resume and not all(map(is_replaceable, paths)):
            raise DataError("--resume needs local files to write to", hint="give one with --output.")

    def targets(self) -> dict[str, str] | None:
        """The files of a job by what they hold; None where one of them is no local file, and nothing can be gone on with."""
        files = {"output": self.path} | ({"rejects": self.rejects} if self.rejects is not None else {})
        return files if all(map(is_replaceable, files.values())) else None


@dataclass(slots=True)
class _Tally:
    """What was written and what was not; a journal keeps it."""

    written: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    bad: int = 0
    first_bad: str = ""

    def note(self, bad: BadLine) -> None:
        self.first_bad = self.first_bad or bad.error.message
        self.bad += 1

    def fields(self) -> dict[str, Any]:
        """For the journal."""
        return {"written": self.written, "lost": dict(self.lost), "bad": self.bad, "first_bad": self.first_bad}

    @classmethod
    def of(cls, fields: dict[str, Any]) -> _Tally:
        """Of a journal; of nothing a new one."""
        return cls(**fields | {"lost": Counter(fields["lost"])}) if fields else cls()


class _Writer:
    """Writes records in the frame of their format, counts what of them it cannot express, and treats bad lines."""

    def __init__(self, target: Format, on_error: OnError, out: Out, rejects: Out | None, tally: _Tally) -> None:
        if target.write is None:
            raise ValueError(f"format {target.name} cannot be written")
        self.target, self._write = target, target.write
        self.on_error, self.out, self.rejects, self.tally = on_error, out, rejects, tally

    def begin(self) -> None:
        """Write what stands before the first record."""
        self.out.write(self.target.frame[0])

    def end(self) -> None:
        """Write what stands after the last record."""
        self.out.write(self.target.frame[2])

    def add(self, item: Document | BadLine) -> None:
        """Write a record.

        Raises:
            DataError: it is a bad line, and those are to stop the command.
        """
        if isinstance(item, BadLine):
            self._reject(item)
            if self.on_error == "skip":
                return
            text = dump({"error": item.error.message, "line": item.raw})
        else:
            self.tally.lost.update(self.target.lost(item))
            text = self._write(item)
        self.out.write((self.target.frame[1] if self.tally.written else "") + text)
        self.tally.written += 1

    def _reject(self, bad: BadLine) -> None:
        if self.on_error == "stop":
            raise DataError(bad.error.message, hint=_on_error_hint(bad.error))
        self.tally.note(bad)
        if self.rejects is not None:
            self.rejects.write(dump({"where": bad.where, "error": bad.error.message, "line": bad.raw}))


def run_predict(choice: ModelChoice, source: Input, output: Output, *, output_format: str, quiet: bool) -> None:
    """`ie predict`: examples in, examples out, in order, line by line."""
    target = _writable(output_format)
    output.must_be_sensible(target, source.path)
    source.must_exist()
    targets = output.targets()
    if targets is None:
        _predict_stream(choice, source, output, target, quiet=quiet)
        return
    refuse_interrupted(targets, resume=output.resume)
    if output.resume and is_complete(targets):
        say(
            f"{output.path} is complete, and left as it is; of which input, model and options it is was not checked "
            "(without --resume it is written anew)"
        )
    else:
        _predict_job(choice, source, targets, output, target, quiet=quiet)


def _predict_stream(choice: ModelChoice, source: Input, output: Output, target: Format, *, quiet: bool) -> None:
    """Predict to a pipe, a device or a store: what is there is answered at once, and nothing can be gone on with."""
    engine, extractor = choice.engine()
    from ie_cli.inference.pipeline import extract

    records = _records(source, extractor.recipe, quiet=quiet)
    live = _is_live(source)
    tally = _Tally()
    with ExitStack() as stack:
        out = stack.enter_context(open_output(output.path))
        rejects = stack.enter_context(open_output(output.rejects)) if output.rejects is not None else None
        writer = _Writer(target, output.on_error, out, rejects, tally)
        count = stack.enter_context(counting("predicting", quiet=quiet))
        _write_all(extract(engine, records, idle=IDLE_SECONDS if live else None), writer, count, live=live)
    _tell_left_out(tally, output)
    warn_capped(engine)


def _predict_job(
    choice: ModelChoice, source: Input, targets: dict[str, str], output: Output, target: Format, *, quiet: bool
) -> None:
    """Predict to local files, with a journal between the chunks from which the job can be gone on with."""
    # Before the model is loaded: should it be replaced meanwhile, the job is not gone on with.
    model = fingerprint(local_folder(choice.folder()))
    engine, extractor = choice.engine()
    from ie_cli.inference.pipeline import extract_chunks

    facts = {
        "model": model,
        "format": target.name,
        "on-error": output.on_error,
        **choice.options(),
        **source.options(),
    }
    with ExitStack() as stack:
        job = stack.enter_context(open_job(targets, facts, resume=output.resume))
        if job is None:
            say(f"{output.path} is complete now: all was done, or another process was quicker")
            return
        tally, digest = _Tally.of(job.done.get("tally", {})), Digest()
        if job.records and not quiet:
            say(f"goes on after {job.records} records")
        writer = _Writer(target, output.on_error, job.parts["output"], job.parts.get("rejects"), tally)
        records = job.skip(_records(source, extractor.recipe, quiet=quiet), digest)
        done = job.records
        if not done:
            writer.begin()
        count = stack.enter_context(counting("predicting", quiet=quiet, done=done))
        chunks = stack.enter_context(closing(extract_chunks(engine, records)))
        with _telling_what_is_done(job):
            for chunk in chunks:
                if done > job.records and job.due():  # here, as what ends in an error is no whole chunk
                    job.commit(done, digest, tally.fields())
                for item in chunk:
                    writer.add(item)
                    digest.add(item)
                    done += 1
                    count()
            writer.end()
            job.commit(done, digest, tally.fields(), complete=True)
    if not quiet:
        say(f"{tally.written} record{'' if tally.written == 1 else 's'} written to {output.path}")
    _tell_left_out(tally, output)
    warn_capped(engine)


@contextmanager
def _telling_what_is_done(job: Job) -> Iterator[None]:
    """Say with an error or a signal what the job keeps."""
    try:
        yield
    except (DataError, StorageError, KeyboardInterrupt) as error:
        if isinstance(error, OtherInput):
            raise
        if not job.records:
            if isinstance(error, KeyboardInterrupt):
                signum = error.signum if isinstance(error, Stopped) else signal.SIGINT
                raise Stopped(signum, "interrupted; nothing was kept yet") from error
            raise
        kept = f"{job.records} records are done"
        if isinstance(error, KeyboardInterrupt):
            signum = error.signum if isinstance(error, Stopped) else signal.SIGINT
            raise Stopped(signum, f"stopped; {kept}: go on with --resume") from error
        remedy = "mend the input" if isinstance(error, DataError) else "make room"
        raise type(error)(error.message, hint=hints(error.hint, kept, f"{remedy} and go on with --resume")) from error


def _records(source: Input, recipe: Recipe, *, quiet: bool) -> Iterator[Document | BadLine]:
    # What tags there are is of no account here, and the columns of the training data need not be there.
    reading = replace(source.reading(quiet=quiet, trained=first_data(recipe)), label_columns=None, annotation=False)
    return read_records(source.path, format=source.format, reading=reading)


def _is_live(source: Input) -> bool:
    return source.path == "-" or not Path(source.path).is_file()


def run_convert(source: Input, output: Output, *, output_format: str | None, quiet: bool) -> None:
    """`ie convert`: examples of one format in, the same of another out, as a stream."""
    target = _writable(output_format or _format_by_name(output.path))
    output.must_be_sensible(target, source.path)
    source.must_exist()
    tally = _Tally()
    detected: list[str] = []
    records = read_records(
        source.path, format=source.format, reading=source.reading(quiet=quiet), detected=detected.append
    )
    with open_output(output.path) as out, counting("converting", quiet=quiet) as count:
        _write_all(records, _Writer(target, output.on_error, out, None, tally), count, live=_is_live(source))
    if not quiet:
        say(f"{tally.written} records, {detected[0] if detected else source.path} to {target.name}")
    _tell_left_out(tally, output)


def _writable(name: str) -> Format:
    target = find_format(name)
    if target.write is None:
        raise DataError(
            f"format '{name}' cannot be written",
            hint=f"formats to write: {', '.join(format.name for format in FORMATS.values() if format.write)}.",
        )
    return target


def _format_by_name(output: str) -> str:
    """The format that a file's name tells: columns of `.conll`, a page of `.html`, JSON lines of every other ending."""
    suffix = Path(output.removesuffix(".gz").removesuffix(".zst")).suffix
    return suffix[1:] if suffix in (".conll", ".html") else "jsonl"


def _write_all(items: Iterator[Document | BadLine], writer: _Writer, count: Callable[[], None], *, live: bool) -> None:
    """Write all records; `live`: so that a reader has each at once."""
    writer.begin()
    for item in items:
        writer.add(item)
        if live:
            writer.out.flush()
        count()
    writer.end()


def _on_error_hint(error: IEError) -> str | None:
    return hints(error.hint, "`--on-error skip` leaves such lines out, `keep` marks them.")


def _tell_left_out(tally: _Tally, output: Output) -> None:
    for what, count in tally.lost.items():
        if count:
            warn(f"{count} {what}")
    if tally.bad:
        kept = "kept with an `error` field" if output.on_error == "keep" else "left out"
        place = f", and written to {output.rejects}" if output.rejects is not None else ""
        warn(f"{tally.bad} bad lines {kept}{place}; the first: {tally.first_bad}")
