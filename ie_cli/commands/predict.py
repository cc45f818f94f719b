"""`ie predict`: documents in, annotated documents out, in order."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from ie_cli.commands.console import counting, say
from ie_cli.commands.inputs import Input, ModelChoice, first_data, warn_capped
from ie_cli.commands.records import Output, RecordWriter, Tally, is_live, report_left_out, writable, write_all
from ie_cli.document import Document
from ie_cli.errors import OUT_OF_MEMORY, DataError, IEError, StorageError, join_hints
from ie_cli.formats import BadLine, Format, read_records
from ie_cli.formats.conll import OVERLAPS
from ie_cli.inference.model_directory import fingerprint, local_directory
from ie_cli.inference.resumable_output import (
    Digest,
    Job,
    OtherInput,
    is_complete,
    open_job,
    require_no_interrupted_job,
)
from ie_cli.system.memory import is_out_of_memory
from ie_cli.system.signals import Stopped
from ie_cli.system.streams import open_output

if TYPE_CHECKING:
    from ie_cli.recipe.schema import Recipe

IDLE_SECONDS = 0.5
"""On a pipe: what has been read is answered after so long without input."""


def run_predict(
    choice: ModelChoice, source: Input, output: Output, *, output_format: str, full_batches: bool = False, quiet: bool
) -> None:
    """`ie predict`: examples in, examples out, in order, line by line."""
    target = writable(output_format)
    output.validate_target(target, source.path)
    source.require_exists()
    targets = output.targets()
    if targets is None:
        if output.resume:
            raise DataError("--resume needs local files to write to", hint="give one with --output.")
        idle = IDLE_SECONDS if is_live(source) and not full_batches else None
        _predict_stream(choice, source, output, target, idle=idle, quiet=quiet)
        return
    require_no_interrupted_job(targets, resume=output.resume)
    if output.resume and is_complete(targets):
        say(
            f"{output.path} is complete, and left as it is; of which input, model and options it is was not checked "
            "(without --resume it is written anew)"
        )
    else:
        _predict_job(choice, source, targets, output, target, quiet=quiet)


def _predict_stream(
    choice: ModelChoice, source: Input, output: Output, target: Format, *, idle: float | None, quiet: bool
) -> None:
    """Predict to a pipe, a device or a store: what is there is answered at once, and nothing can be gone on with."""
    engine, extractor = choice.engine()
    from ie_cli.inference.pipeline import extract

    records = _records(source, extractor.recipe, quiet=quiet)
    tally = Tally()
    with ExitStack() as stack:
        out = stack.enter_context(open_output(output.path))
        rejects = stack.enter_context(open_output(output.rejects)) if output.rejects is not None else None
        writer = RecordWriter(target, output.on_error, out, rejects, tally)
        count = stack.enter_context(counting("predicting", quiet=quiet))
        write_all(extract(engine, records, idle=idle), writer, count, live=is_live(source))
    _report_left_out(tally, output, choice)
    warn_capped(engine)


def _predict_job(
    choice: ModelChoice, source: Input, targets: dict[str, str], output: Output, target: Format, *, quiet: bool
) -> None:
    """Predict to local files, with a journal between the chunks from which the job can be gone on with."""
    # Before the model is loaded: should it be replaced meanwhile, the job is not gone on with.
    model = fingerprint(local_directory(choice.directory()))
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
        tally, digest = Tally.of(job.done.get("tally", {})), Digest()
        if job.records and not quiet:
            say(f"goes on after {job.records} records")
        writer = RecordWriter(target, output.on_error, job.parts["output"], job.parts.get("rejects"), tally)
        records = job.skip(_records(source, extractor.recipe, quiet=quiet), digest)
        done = job.records
        if not done:
            writer.begin()
        count = stack.enter_context(counting("predicting", quiet=quiet, done=done))
        chunks = stack.enter_context(closing(extract_chunks(engine, records)))
        with _reporting_progress(job):
            whole = done  # where the last whole chunk ended
            try:
                for chunk in chunks:
                    if done > job.records and job.due():  # here, as what ends in an error is no whole chunk
                        job.commit(done, digest, tally.fields())
                    for item in chunk:
                        writer.add(item)
                        digest.add(item)
                        done += 1
                        count()
                    whole = done
            except BaseException as error:  # what fails in Rust is no Exception
                if is_out_of_memory(error) and job.records < done == whole:
                    job.commit(done, digest, tally.fields())
                raise
            writer.end()
            job.commit(done, digest, tally.fields(), complete=True)
    if not quiet:
        say(f"{tally.written} record{'' if tally.written == 1 else 's'} written to {output.path}")
    _report_left_out(tally, output, choice)
    warn_capped(engine)


def _report_left_out(tally: Tally, output: Output, choice: ModelChoice) -> None:
    report_left_out(tally, output)
    if choice.flat is None and any(count for what, count in tally.lost.items() if what.startswith(OVERLAPS)):
        say("hint: --flat leaves out of entities that overlap those with the lower scores")


@contextmanager
def _reporting_progress(job: Job) -> Iterator[None]:
    """Say with an error or a signal what the job keeps."""
    try:
        yield
    except (DataError, StorageError, KeyboardInterrupt) as error:
        if isinstance(error, OtherInput):
            raise
        if is_out_of_memory(error):
            raise _short_of_memory(job) from error
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
        raise type(error)(
            error.message, hint=join_hints(error.hint, kept, f"{remedy} and go on with --resume")
        ) from error
    except BaseException as error:  # what fails in Rust is no Exception
        if not is_out_of_memory(error):
            raise
        raise _short_of_memory(job) from error


def _short_of_memory(job: Job) -> IEError:
    kept = f"{job.records} records are done: go on with --resume" if job.records else None
    smaller = "give a smaller --batch-size, or fewer threads by the variable OMP_NUM_THREADS"
    return IEError(OUT_OF_MEMORY, hint=join_hints(smaller, kept))


def _records(source: Input, recipe: Recipe, *, quiet: bool) -> Iterator[Document | BadLine]:
    # What tags there are is of no account here, and the columns of the training data need not be there.
    reading = replace(source.reading(quiet=quiet, trained=first_data(recipe)), label_columns=None, annotation=False)
    return read_records(source.path, format=source.format, reading=reading)
