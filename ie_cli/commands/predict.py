"""`ie predict` and `ie convert`: records in, records out, in order."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Literal

from ie_cli.commands.inputs import Input, ModelChoice, warn_capped
from ie_cli.console import counting, say, warn
from ie_cli.errors import DataError, IEError
from ie_cli.example import Example
from ie_cli.formats import FORMATS, BadLine, Format, find_format, read_records
from ie_cli.formats.jsonl import dump
from ie_cli.textio import open_output

OnError = Literal["stop", "keep", "skip"]
IDLE_SECONDS = 0.5
"""On a pipe: what has been read is answered after so long without input."""


@dataclass(slots=True)
class _Tally:
    written: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    bad: list[BadLine] = field(default_factory=list)
    bad_count: int = 0

    def note(self, bad: BadLine) -> None:
        self.bad_count += 1
        if len(self.bad) < 3:
            self.bad.append(bad)


def run_predict(
    choice: ModelChoice,
    source: Input,
    output: str,
    *,
    output_format: str,
    on_error: OnError,
    quiet: bool,
) -> None:
    """`ie predict`: examples in, examples out, in order, line by line."""
    target = _writable(output_format, on_error)
    source.must_exist()
    _must_differ(source.path, output)
    engine, recipe = choice.engine()
    from ie_cli.predict import extract

    # What tags there are is of no account here, and the columns of the training data need not be there.
    reading = replace(source.reading(quiet=quiet, recipe=recipe), label_columns=None, annotation=False)
    records = read_records(source.path, format=source.format, reading=reading)
    live = source.path == "-" or not Path(source.path).is_file()
    tally = _Tally()
    stream = extract(engine, _handled(records, on_error, tally), idle=IDLE_SECONDS if live else None)
    with open_output(output) as out, counting("predicting", quiet=quiet) as count:
        _write_all(stream, out, target, tally, count, live=live)
    _tell_left_out(tally, on_error)
    warn_capped(engine)


def run_convert(source: Input, output: str, *, output_format: str | None, on_error: OnError, quiet: bool) -> None:
    """`ie convert`: examples of one format in, the same of another out, as a stream."""
    target = _writable(output_format or _format_by_name(output), on_error)
    source.must_exist()
    _must_differ(source.path, output)
    tally = _Tally()
    detected: list[str] = []
    records = read_records(
        source.path, format=source.format, reading=source.reading(quiet=quiet), detected=detected.append
    )
    live = source.path == "-" or not Path(source.path).is_file()
    with open_output(output) as out, counting("converting", quiet=quiet) as count:
        _write_all(_handled(records, on_error, tally), out, target, tally, count, live=live)
    if not quiet:
        say(f"{tally.written} records, {detected[0] if detected else source.path} to {target.name}")
    _tell_left_out(tally, on_error)


def _writable(name: str, on_error: OnError) -> Format:
    target = find_format(name)
    if target.write is None:
        raise DataError(
            f"format '{name}' cannot be written",
            hint=f"formats to write: {', '.join(format.name for format in FORMATS.values() if format.write)}.",
        )
    if on_error == "keep" and name != "jsonl":
        raise DataError(
            f"--on-error keep needs --format jsonl, got {name}", hint="a bad line has no place in it; use skip."
        )
    return target


def _format_by_name(output: str) -> str:
    """The format that a file's name tells: JSON lines of every ending, columns of `.conll`."""
    name = output.removesuffix(".gz").removesuffix(".zst")
    return "conll" if name.endswith(".conll") else "jsonl"


def _must_differ(source: str, output: str) -> None:
    if output != "-" and os.path.isfile(source) and os.path.realpath(source) == os.path.realpath(output):
        raise DataError(f"{output}: is the input too", hint="give another file with --output.")


def _write_all(
    items: Iterator[Example | BadLine],
    out: IO[str],
    target: Format,
    tally: _Tally,
    count: Callable[[], None],
    *,
    live: bool,
) -> None:
    """Write records in the frame of their format, and count what of them it cannot express."""
    write = target.write
    if write is None:
        raise ValueError(f"format {target.name} cannot be written")
    before, between, after = target.frame
    out.write(before)
    for item in items:
        if tally.written:
            out.write(between)
        if isinstance(item, BadLine):
            out.write(dump({"error": item.error.message, "line": item.raw}))
        else:
            tally.lost.update(target.lost(item))
            out.write(write(item))
        if live:
            out.flush()
        tally.written += 1
        count()
    out.write(after)


def _handled(records: Iterator[Example | BadLine], on_error: OnError, tally: _Tally) -> Iterator[Example | BadLine]:
    for record in records:
        if isinstance(record, BadLine):
            if on_error == "stop":
                raise DataError(record.error.message, hint=_on_error_hint(record.error))
            tally.note(record)
            if on_error == "skip":
                continue
        yield record


def _on_error_hint(error: IEError) -> str:
    return f"{error.hint or ''} `--on-error skip` leaves such lines out, `keep` marks them.".strip()


def _tell_left_out(tally: _Tally, on_error: str) -> None:
    for what, count in tally.lost.items():
        if count:
            warn(f"{count} {what}")
    if tally.bad_count:
        kept = "kept with an `error` field" if on_error == "keep" else "left out"
        warn(f"{tally.bad_count} bad lines {kept}; the first: {tally.bad[0].error.message}")
