"""`ie convert`: documents of one format in, the same of another out."""

from __future__ import annotations

from pathlib import Path

from ie_cli.commands.console import counting, say
from ie_cli.commands.inputs import Input
from ie_cli.commands.records import Output, RecordWriter, Tally, is_live, tell_left_out, writable, write_all
from ie_cli.formats import read_records
from ie_cli.system.streams import open_output


def run_convert(source: Input, output: Output, *, output_format: str | None, quiet: bool) -> None:
    """`ie convert`: examples of one format in, the same of another out, as a stream."""
    target = writable(output_format or _format_by_name(output.path))
    output.must_be_sensible(target, source.path)
    source.must_exist()
    tally = Tally()
    detected: list[str] = []
    records = read_records(
        source.path, format=source.format, reading=source.reading(quiet=quiet), detected=detected.append
    )
    with open_output(output.path) as out, counting("converting", quiet=quiet) as count:
        write_all(records, RecordWriter(target, output.on_error, out, None, tally), count, live=is_live(source))
    if not quiet:
        say(f"{tally.written} records, {detected[0] if detected else source.path} to {target.name}")
    tell_left_out(tally, output)


def _format_by_name(output: str) -> str:
    """The format that a file's name tells: columns of `.conll`, a page of `.html`, JSON lines of every other ending."""
    suffix = Path(output.removesuffix(".gz").removesuffix(".zst")).suffix
    return suffix[1:] if suffix in (".conll", ".html") else "jsonl"
