"""`ie convert`: convert documents from one format to another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from ie_cli.commands.console import say
from ie_cli.commands.inputs import Input
from ie_cli.commands.progress import counting
from ie_cli.commands.records import (
    WITH_IDS,
    Output,
    RecordWriter,
    Tally,
    open_target,
    output_format_of,
    report_omissions,
    report_setup,
    write_all,
)
from ie_cli.commands.sources import Sources
from ie_cli.document import Document
from ie_cli.errors import DataError, counted
from ie_cli.formats import BadLine, Record, jsonl


def run_convert(given: Sequence[Input], output: Output, *, output_format: str | None, trim: bool, quiet: bool) -> None:
    """Read documents in one format and write them in another, as a stream."""
    target = output_format_of(output_format, output.path)
    sources = Sources.find(given, quiet=quiet)
    output.validate_target(target, sources)
    sources.require_exist()
    tally = Tally()
    detected: list[str] = []
    with open_target(target, output.path) as out, counting("converting", quiet=quiet, size=sources.size()) as count:
        reading = replace(
            sources.files[0].reading(quiet=quiet),
            trim=trim,
            keep_columns=target.name == "conll",
            progress=count.on_read,
        )
        records = sources.records(reading, detected=detected.append, with_ids=target.name in WITH_IDS)
        writer = RecordWriter(target, output.on_error, out, None, tally)
        write_all(with_texts(count.follow(records)), writer, count, live=sources.are_live)
    if not quiet:
        read = ", ".join(dict.fromkeys(detected)) or sources.paths[0]
        of = f" of {sources.describe()}" if sources.are_several else ""
        say(f"{counted(tally.written, 'record')}{of}, {read} to {target.name}")
        report_setup(tally, target)
    report_omissions(tally, output)


def with_texts(records: Iterator[Record]) -> Iterator[Record]:
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
