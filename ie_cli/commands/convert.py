"""`ie convert`: convert documents from one format to another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ie_cli.commands.console import counting, say
from ie_cli.commands.inputs import Input
from ie_cli.commands.records import Output, RecordWriter, Tally, is_live, output_format_of, report_omissions, write_all
from ie_cli.document import Document
from ie_cli.errors import DataError, counted
from ie_cli.formats import BadLine, Record, jsonl, read_records
from ie_cli.system.streams import open_output


def run_convert(source: Input, output: Output, *, output_format: str | None, trim: bool, quiet: bool) -> None:
    """Read documents in one format and write them in another, as a stream."""
    target = output_format_of(output_format or _format_by_name(output.path))
    output.validate_target(target, source.path)
    source.require_exists()
    tally = Tally()
    detected: list[str] = []
    records = read_records(
        source.path,
        format=source.format,
        reading=replace(source.reading(quiet=quiet), trim=trim),
        detected=detected.append,
    )
    with open_output(output.path) as out, counting("converting", quiet=quiet) as count:
        writer = RecordWriter(target, output.on_error, out, None, tally)
        write_all(_with_texts(records), writer, count, live=is_live(source))
    if not quiet:
        say(f"{counted(tally.written, 'record')}, {detected[0] if detected else source.path} to {target.name}")
    report_omissions(tally, output)


def _with_texts(records: Iterator[Record]) -> Iterator[Record]:
    """Yield the records; those of a submission, which have offsets but no text, become bad lines."""
    for record in records:
        if isinstance(record, Document) and record.entities and not record.text:
            error = DataError(
                f"{record.where}: a record of a submission, without the text that its offsets refer to",
                hint="run `ie predict` on the original texts and convert its output.",
            )
            yield BadLine(str(record.where), jsonl.dump({"id": record.id}).rstrip(), error)
        else:
            yield record


def _format_by_name(output: str) -> str:
    """Return the format for a file name: columns for `.conll`, a web page for `.html`, otherwise JSON Lines."""
    suffix = Path(output.removesuffix(".gz").removesuffix(".zst")).suffix
    return suffix[1:] if suffix in (".conll", ".html") else "jsonl"
