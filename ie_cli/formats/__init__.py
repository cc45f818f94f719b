"""The formats that a recipe or a command may name, and reading and writing by them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain

from ie_cli.errors import DataError
from ie_cli.example import Example
from ie_cli.formats import cluener, conll, hub, jsonl, text
from ie_cli.formats.base import BadLine, Format, Lines, Reading, Record
from ie_cli.formats.detect import detect, look_ahead
from ie_cli.suggest import did_you_mean
from ie_cli.textio import read_lines

__all__ = ["FORMATS", "BadLine", "Format", "Reading", "Record", "find_format", "read_examples", "read_records"]

FORMATS: dict[str, Format] = {
    "jsonl": Format("jsonl", "native JSON lines: text, entities with start, end, label", jsonl.read, jsonl.write),
    "cluener": Format(
        "cluener", "CLUENER: text, label: {label: {mention: [[start, end]]}}", cluener.read, cluener.write
    ),
    "conll": Format(
        "conll", "token and tag columns, a blank line between sentences", conll.read, conll.write, conll.lost
    ),
    "text": Format("text", "plain text, a document a line", text.read),
}


def find_format(name: str) -> Format:
    """The format of a name.

    Raises:
        DataError: there is none.
    """
    if name not in FORMATS:
        raise DataError(f"no format '{name}'{did_you_mean(name, FORMATS)}", hint=f"formats: {', '.join(FORMATS)}.")
    return FORMATS[name]


def read_records(
    source: str,
    *,
    format: str | None = None,
    reading: Reading | None = None,
    detected: Callable[[str], None] = lambda name: None,
) -> Iterator[Record]:
    """Yield examples, and a `BadLine` for each record that cannot be read, in a stream.

    Args:
        source: a file, ``-``, a URL, or ``hub:…``.
        format: detected from the first lines where not given.
        detected: called with the name of the format.

    Raises:
        DataError: the source cannot be opened, or its format not be told.
    """
    reading = reading or Reading()
    if source.startswith(hub.PREFIX):
        return hub.read(source, reading)
    lines: Lines = read_lines(source)
    if format is None:
        stream = iter(lines)
        head = look_ahead(stream)
        format = detect(head, source)
        lines = chain(head, stream)
    detected(format)
    return find_format(format).read(lines, "stdin" if source == "-" else source, reading)


def read_examples(
    source: str,
    *,
    format: str | None = None,
    reading: Reading | None = None,
    detected: Callable[[str], None] = lambda name: None,
) -> Iterator[Example]:
    """Yield examples.

    Raises:
        DataError: also of the first record that cannot be read.
    """
    for record in read_records(source, format=format, reading=reading, detected=detected):
        if isinstance(record, BadLine):
            raise record.error
        yield record
