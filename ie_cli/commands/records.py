"""Writing records one after another: where to, in which format, and what becomes of a bad line."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from ie_cli.commands.console import warn
from ie_cli.commands.inputs import Input
from ie_cli.document import Document
from ie_cli.errors import DataError, IEError, join_hints
from ie_cli.formats import FORMATS, BadLine, Format, find_format
from ie_cli.formats.jsonl import dump
from ie_cli.inference.resumable_output import journal_of, part_of
from ie_cli.system.places import Identity, identity, lock_of
from ie_cli.system.streams import is_replaceable

OnError = Literal["stop", "keep", "skip"]


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
    _: KW_ONLY
    on_error: OnError
    rejects: str | None = None
    resume: bool = False

    def validate_target(self, target: Format, source: str) -> None:
        """Tell what cannot be meant before a model is loaded.

        Raises:
            DataError: with what to do instead.
        """
        if self.on_error == "keep" and target.name != "jsonl":
            raise DataError(
                f"--on-error keep needs jsonl as the output's format, got {target.name}",
                hint="a bad line has no place in it; use skip.",
            )
        paths = [self.path] + ([self.rejects] if self.rejects is not None else [])
        read = identity(source, reading=True) if source == "-" or os.path.isfile(source) else None
        taken: dict[Identity, str] = {}
        for path, what in zip(paths, ("the output", "the file of the rejects"), strict=False):
            replaced = is_replaceable(path)
            journal = journal_of({"": path})
            for name in (path, str(part_of(path)), str(journal), str(lock_of(path))) if replaced else (path,):
                key = identity(name)
                if key is None:
                    continue
                other = "the input" if key == read else taken.get(key)
                if other is not None:
                    shown = "standard output" if name == "-" else name
                    raise DataError(f"{shown}: is {other} too", hint=f"give {what} another name.")
                taken[key] = what

    def targets(self) -> dict[str, str] | None:
        """The files of a job by what they hold; None where one of them is no local file, and nothing can be gone on with."""
        files = {"output": self.path} | ({"rejects": self.rejects} if self.rejects is not None else {})
        return files if all(map(is_replaceable, files.values())) else None


@dataclass(slots=True)
class Tally:
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
    def of(cls, fields: dict[str, Any]) -> Tally:
        """Of a journal; of nothing a new one."""
        return cls(**fields | {"lost": Counter(fields["lost"])}) if fields else cls()


class RecordWriter:
    """Writes records in the frame of their format, counts what of them it cannot express, and treats bad lines."""

    def __init__(self, target: Format, on_error: OnError, out: Out, rejects: Out | None, tally: Tally) -> None:
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
            self.tally.lost.update(self.target.count_losses(item))
            text = self._write(item)
        self.out.write((self.target.frame[1] if self.tally.written else "") + text)
        self.tally.written += 1

    def _reject(self, bad: BadLine) -> None:
        if self.on_error == "stop":
            raise DataError(bad.error.message, hint=_on_error_hint(bad.error))
        self.tally.note(bad)
        if self.rejects is not None:
            self.rejects.write(dump({"where": bad.where, "error": bad.error.message, "line": bad.raw}))


def is_live(source: Input) -> bool:
    return source.path == "-" or not Path(source.path).is_file()


def writable(name: str) -> Format:
    target = find_format(name)
    if target.write is None:
        raise DataError(
            f"format '{name}' cannot be written",
            hint=f"formats to write: {', '.join(format.name for format in FORMATS.values() if format.write)}.",
        )
    return target


def write_all(
    items: Iterator[Document | BadLine], writer: RecordWriter, count: Callable[[], None], *, live: bool
) -> None:
    """Write all records; `live`: so that a reader has each at once."""
    writer.begin()
    for item in items:
        writer.add(item)
        if live:
            writer.out.flush()
        count()
    writer.end()


def _on_error_hint(error: IEError) -> str | None:
    return join_hints(error.hint, "`--on-error skip` leaves such lines out, `keep` marks them.")


def report_left_out(tally: Tally, output: Output) -> None:
    for what, count in tally.lost.items():
        if count:
            warn(f"{what}: {count:,}")
    if tally.bad:
        kept = "kept with an `error` field" if output.on_error == "keep" else "left out"
        place = f", and written to {output.rejects}" if output.rejects is not None else ""
        warn(f"{tally.bad} bad lines {kept}{place}; the first: {tally.first_bad}")
