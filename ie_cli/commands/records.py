"""Write records to an output in a format, and handle bad lines."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from ie_cli.commands.console import say, warn
from ie_cli.commands.sources import Sources
from ie_cli.document import Document
from ie_cli.errors import DataError, IEError, counted, join_hints
from ie_cli.formats import FORMATS, BadLine, Format, find_format
from ie_cli.formats.common.base import Save, quoted
from ie_cli.formats.jsonl import dump
from ie_cli.formats.suffixes import COMPRESSIONS, format_of, suffix_of, suffixes_of
from ie_cli.inference.resumable_output import journal_of, part_of
from ie_cli.system.directories import require_new_directory
from ie_cli.system.places import Identity, identity, lock_of
from ie_cli.system.streams import is_replaceable, open_output

OnError = Literal["stop", "keep", "skip"]
WITH_IDS = ("jsonl", "html")
"""The formats in which a record may get an id that its input lacks; in others, an id has a meaning or no place."""
_LOGS = (".txt", ".text", ".log")
"""Suffixes that promise lines of text only."""


class Out(Protocol):
    """A stream that text is written to."""

    def write(self, text: str, /) -> Any: ...
    def flush(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Output:
    """Where a command writes, and how it handles bad lines.

    Attributes:
        rejects: a file for bad lines, each with its location and error.
        resume: resume an interrupted job.
    """

    path: str
    _: KW_ONLY
    on_error: OnError
    rejects: str | None = None
    resume: bool = False

    def validate_target(self, target: Format, sources: Sources) -> None:
        """Check that the output options fit together, before a model is loaded.

        Raises:
            DataError: the format cannot hold bad lines, or a file has two purposes, is in an input directory, or has the
                wrong suffix for rejects.
        """
        require_room_for_bad_lines(self.on_error, target)
        if target.container is not None:
            self._validate_container(target, directory=target.container.directories, sources=sources)
        paths = [self.path] + ([self.rejects] if self.rejects is not None else [])
        read = {identity(path, reading=True) for path in sources.paths if path == "-" or os.path.isfile(path)}
        taken: dict[Identity, str] = {}
        for path, what in zip(paths, ("the output", "the rejects file"), strict=False):
            replaced = is_replaceable(path)
            journal = journal_of({"": path})
            for name in (path, str(part_of(path)), str(journal), str(lock_of(path))) if replaced else (path,):
                key = identity(name)
                if key is None:
                    continue
                other = "the input" if key in read or sources.own(name) else taken.get(key)
                if other is not None:
                    shown = "standard output" if name == "-" else name
                    raise DataError(f"{shown}: this file is also {other}", hint=f"use another file for {what}.")
                taken[key] = what
        for path in paths:
            if is_replaceable(path) and sources.would_include(path):
                raise DataError(
                    f"{path}: this file would be an input of the next run, because its directory is the input",
                    hint="write to another directory.",
                )
        if self.rejects is not None and suffix_of(self.rejects) not in ("", *FORMATS["jsonl"].suffixes, *_LOGS):
            raise DataError(
                f"{self.rejects}: the rejects are written as JSON Lines, and the suffix {quoted(suffix_of(self.rejects))} "
                "stands for something else",
                hint="use a name that ends in .jsonl.",
            )

    def _validate_container(self, target: Format, *, directory: bool, sources: Sources) -> None:
        """Check the path of an output that is a directory or a binary file.

        Raises:
            DataError: it is no local path, would be compressed, or is a directory with contents or in the input.
        """
        if not is_replaceable(self.path):
            raise DataError(
                f"{'standard output' if self.path == '-' else self.path}: the format {target.name} is no stream of text",
                hint="name a local output, or write jsonl and convert it with `ie convert`.",
            )
        if self.path.endswith(COMPRESSIONS):
            raise DataError(
                f"{self.path}: the format {target.name} is not compressed further",
                hint="omit the last suffix of the name.",
            )
        if not directory:
            return
        require_new_directory(self.path)
        parents = Path(os.path.realpath(self.path)).parents
        if any(Path(os.path.realpath(path)) in parents for path in sources.paths if os.path.isdir(path)):
            raise DataError(
                f"{self.path}: this directory would be an input of the next run, because it is in the input",
                hint="write to another directory.",
            )

    def targets(self, target: Format) -> dict[str, str] | None:
        """Return the files of a job by purpose; None if one is no local file of text, so that the job cannot be resumed."""
        if target.container is not None:
            return None
        files = {"output": self.path} | ({"rejects": self.rejects} if self.rejects is not None else {})
        return files if all(map(is_replaceable, files.values())) else None


@dataclass(slots=True)
class Tally:
    """Counts of written, inexpressible, bad and certain records, which the journal of a job stores.

    Attributes:
        labels, predicates: the names of the model, if there is one, and those that were written, if the target needs them.
        certain: number of records that are not written because nothing in them is in doubt.
    """

    written: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    bad: int = 0
    first_bad: str = ""
    labels: dict[str, None] = field(default_factory=dict)
    predicates: dict[str, None] = field(default_factory=dict)
    certain: int = 0

    def count_bad(self, bad: BadLine) -> None:
        """Count a bad line, and remember the error of the first one."""
        self.first_bad = self.first_bad or bad.error.message
        self.bad += 1

    def fields(self) -> dict[str, Any]:
        """Return the counts as JSON values."""
        names = {"labels": list(self.labels), "predicates": list(self.predicates), "certain": self.certain}
        counts = {"written": self.written, "lost": dict(self.lost), "bad": self.bad, "first_bad": self.first_bad}
        return counts | {name: value for name, value in names.items() if value}

    def know(self, labels: Iterable[str], predicates: Iterable[str]) -> None:
        """Add the names that may occur, whether they are written or not."""
        self.labels |= dict.fromkeys(labels)
        self.predicates |= dict.fromkeys(predicates)

    def add(self, other: Tally) -> None:
        """Add the counts of another output."""
        self.written, self.bad = self.written + other.written, self.bad + other.bad
        self.lost.update(other.lost)
        self.first_bad = self.first_bad or other.first_bad
        self.labels |= other.labels
        self.predicates |= other.predicates
        self.certain += other.certain

    def add_names(self, document: Document) -> None:
        """Remember the labels and predicates of a document."""
        for relation in document.relations:
            self.predicates.setdefault(relation.predicate)
        for entity in (*document.entities, *(side for r in document.relations for side in (r.subject, r.object))):
            self.labels.setdefault(entity.label)

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> Tally:
        """Restore the counts from a journal; start at zero if there are none."""
        if not fields:
            return cls()
        names = {name: dict.fromkeys(fields.get(name, ())) for name in ("labels", "predicates")}
        return cls(**fields | names | {"lost": Counter(fields["lost"])})


class RecordWriter:
    """Writes records in a format, counts what the format cannot express, and handles bad lines."""

    def __init__(
        self,
        target: Format,
        on_error: OnError,
        out: Out | Save,
        rejects: Out | None,
        tally: Tally,
        *,
        labels: Iterable[str] = (),
    ) -> None:
        self.target = target
        self._out: Out | None = None if callable(out) else out
        self._save: Save | None = out if callable(out) else None
        self._write = target.write if target.writer is None else target.writer(labels)
        self.on_error, self.rejects, self.tally = on_error, rejects, tally

    def begin(self) -> None:
        """Write what precedes the first record."""
        self._put(self.target.frame[0])

    def end(self) -> None:
        """Write what follows the last record."""
        self._put(self.target.frame[2])

    def flush(self) -> None:
        """Give what was written to whoever reads the output."""
        if self._out is not None:
            self._out.flush()

    def add(self, item: Document | BadLine) -> None:
        """Write a record.

        Raises:
            DataError: the record is a bad line, and `on_error` is stop.
        """
        if isinstance(item, BadLine):
            self._reject(item)
            if self.on_error == "skip":
                return
            text = dump({"error": item.error.message, "line": item.raw})
        else:
            self.tally.lost.update(self.target.losses(item))
            if self.target.setup is not None:
                self.tally.add_names(item)
            text = "" if self._write is None else self._write(item)
            if self._save is not None:
                self.tally.lost.update(self._save(item))
        self._put((self.target.frame[1] if self.tally.written else "") + text)
        self.tally.written += 1

    def _put(self, text: str) -> None:
        if self._out is not None:
            self._out.write(text)

    def _reject(self, bad: BadLine) -> None:
        if self.on_error == "stop":
            raise DataError(bad.error.message, hint=_on_error_hint(bad.error))
        self.tally.count_bad(bad)
        if self.rejects is not None:
            self.rejects.write(dump({"where": bad.where, "error": bad.error.message, "line": bad.raw}))


def require_room_for_bad_lines(on_error: OnError, target: Format) -> None:
    """Check that a format can hold bad lines if they are to be kept.

    Raises:
        DataError: it cannot.
    """
    if on_error == "keep" and target.name != "jsonl":
        raise DataError(
            f"--on-error keep requires the output format jsonl, got {target.name}",
            hint="use --on-error skip: the format cannot represent bad lines.",
        )


def output_format_of(name: str | None, path: str) -> Format:
    """Return the output format of that name; if it is None, the one that the suffix of the file stands for.

    A name without a suffix, such as ``-`` or ``/dev/fd/3``, stands for JSON Lines.

    Args:
        name: the name of the format, or None.
        path: the output.

    Raises:
        DataError: there is no such format, or it cannot be written, or the suffix stands for none.
    """
    if name is None:
        if not (suffix := suffix_of(path)):
            return find_format("jsonl")
        by_suffix = format_of(path)
        if by_suffix is None or not by_suffix.writable:
            raise DataError(
                f"{path}: the suffix {quoted(suffix)} stands for no output format",
                hint=f"use {', '.join(suffixes_of(written=True))}, with {' or '.join(COMPRESSIONS)} behind it if you like, "
                "or name the format with --to.",
            )
        return by_suffix
    target = find_format(name, written=True)
    if not target.writable:
        raise DataError(
            f"format '{name}' cannot be written",
            hint=f"use one of {', '.join(format.name for format in FORMATS.values() if format.writable)}.",
        )
    return target


@contextmanager
def open_target(target: Format, path: str) -> Iterator[Out | Save]:
    """Open an output: a stream of text, or the function that stores a document in a directory or binary file."""
    if target.container is not None and target.container.save is not None:
        with target.container.save(path) as save:
            yield save
    else:
        with open_output(path) as out:
            yield out


def write_all(
    items: Iterator[Document | BadLine], writer: RecordWriter, count: Callable[[], None], *, live: bool
) -> None:
    """Write all records; if `live`, flush after each one so that a reader gets it at once."""
    writer.begin()
    for item in items:
        writer.add(item)
        if live:
            writer.flush()
        count()
    writer.end()


def _on_error_hint(error: IEError) -> str | None:
    return join_hints(error.hint, "use `--on-error skip` to drop such lines, or `keep` to mark them.")


def report_setup(tally: Tally, target: Format) -> None:
    """Print what the reader of the output has to set up."""
    if target.setup is not None and tally.labels:
        say(target.setup(sorted(tally.labels), sorted(tally.predicates)))


def report_omissions(tally: Tally, output: Output) -> None:
    """Warn about bad lines, and about what the output format could not express."""
    for what, count in tally.lost.items():
        if count:
            warn(f"{what}: {count:,}")
    if tally.bad:
        kept = "kept with an `error` field" if output.on_error == "keep" else "skipped"
        place = f" and written to {output.rejects}" if output.rejects is not None else ""
        warn(f"{counted(tally.bad, 'bad line')} {kept}{place}; the first: {tally.first_bad}")
