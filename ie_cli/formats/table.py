"""Tables as CSV, with commas, semicolons or tabs, and one span or one document per row; `tsv` is written with tabs.

The first row names the columns. The usual names are known, in upper or lower case; ``data.columns`` in a recipe gives others.
Three layouts are read:

- a span per row: ``text``, ``start``, ``end`` (exclusive) and ``label``, optionally ``id``, ``mention`` and ``score``.
  Consecutive rows with the same id, or the same text if there are no ids, are one document. A row without start, end and label
  is a text without a span. The column ``number`` of a table that `ie` has written, or one that is named, counts the spans of
  each document.
- a document per row: ``text`` and ``entities`` (a list as in native JSON, also named ``label``, ``labels`` or ``ner``), or
  ``tokens`` and ``ner_tags`` (lists as JSON or in Python's notation, or separated by spaces). Other columns are user fields.
- a token per row: ``word`` and ``tag``, and ``sentence_id``, which may be filled in the first row of a sentence only.

Written is a span per row, with a row for each document without spans. Text in quotes may contain line ends, which are kept.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain

from ie_cli.document import Document
from ie_cli.errors import DataError
from ie_cli.formats.common.base import (
    FIELDS_LOST,
    RELATIONS_LOST,
    SCORES_LOST,
    SURROGATES_LOST,
    Format,
    Lines,
    Reading,
    Record,
    count_native_only,
    count_unlocated,
)
from ie_cli.formats.common.table_columns import SPAN_ROLES, TableColumns
from ie_cli.formats.common.table_rows import TABLE_OPTIONS, Cells, read_table, row_of
from ie_cli.system.streams import read_lines

TEXT_IDS = "ids that are numbers or empty are not read back as such"
_SEPARATORS = (",", "\t", ";")
_SURROGATE = re.compile("[\ud800-\udfff]")
_QUOTE_HINT = 'put text with separators or line ends into quotes ("), and write a quote inside them twice.'


def read(lines: Lines, path: str, reading: Reading) -> Iterator[Record]:
    """Yield a document for each group of rows; the lines are given with their ends."""
    stream = iter(lines)
    head = next(((number, line) for number, line in stream if line.strip()), None)
    if head is None:
        return
    rows = csv_rows(chain([head], stream), path, separator_of(head[1]))
    _, names = next(rows)
    yield from read_table(list(names), rows, path, reading)


def row_of_file(path: str, reading: Reading) -> str | None:
    """Return what a row of a file is; None if that is not known."""
    head = next((line for _, line in read_lines(path, lambda number, raw, error: None) if line.strip()), None)
    return None if head is None else row_of(header_of(head, separator_of(head)), reading)


def separator_of(line: str) -> str:
    """Return what separates the columns in the first line of a table: what makes known columns, or else the most columns."""

    def rank(separator: str) -> tuple[bool, bool, int]:
        names = header_of(line, separator)
        found = TableColumns.find(names)
        return found is not None and found.is_clear, found is not None, len(names)

    return max(_SEPARATORS, key=rank)


def header_of(line: str, separator: str) -> list[str]:
    """Return the names in the first line of a table."""
    try:
        return next(csv.reader([line], delimiter=separator), [])
    except csv.Error:
        return []


def table_of(line: str) -> str:
    """Return the name of the format of a table with this first line."""
    return "tsv" if separator_of(line) == "\t" else "csv"


def is_header(line: str, *, clear: bool = True) -> bool:
    """Return whether a line names the columns of a table.

    Args:
        line: the line.
        clear: whether the names must leave no doubt.
    """
    found = TableColumns.find(header_of(line, separator_of(line)))
    return found is not None and (found.is_clear or not clear)


def csv_rows(lines: Iterable[tuple[int, str]], path: str, separator: str) -> Iterator[Cells]:
    """Yield the rows of lines with their ends, each with the place of its first line.

    Raises:
        DataError: a row is invalid; where the next one starts is then not known.
    """
    csv.field_size_limit(2**31 - 1)
    first = 0  # the first line of the current row

    def ended() -> Iterator[str]:
        nonlocal first
        for number, line in lines:
            first = first or number
            yield line if line.endswith("\n") else f"{line}\n"

    reader = csv.reader(ended(), delimiter=separator, strict=True)
    while True:
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise DataError(f"{path}:{first}: not a row of a table: {error}", hint=_QUOTE_HINT) from error
        if row is None:
            return
        yield f"{path}:{first}", row
        first = 0


def _write(document: Document, separator: str) -> str:
    out = io.StringIO()
    # What is quoted depends on the terminator; with "\r\n", each of its characters is, so that a row stays one row.
    writer = csv.writer(out, delimiter=separator, lineterminator="\r\n")
    lines = []
    for row in spans_of(document):
        writer.writerow("" if value is None else repr(value) if isinstance(value, float) else value for value in row)
        lines.append(out.getvalue().removesuffix("\r\n") + "\n")
        out.seek(0)
        out.truncate()
    return "".join(lines)


def count_surrogates(text: str) -> int:
    """Count the lone surrogates of a text."""
    return len(_SURROGATE.findall(text))


def without_surrogates(text: str) -> str:
    """Return a text of the same length without lone surrogates, which UTF-8 cannot encode."""
    return _SURROGATE.sub("\ufffd", text)


def spans_of(document: Document) -> Iterator[tuple[str | int | float | None, ...]]:
    """Yield the rows of a document: one for each span, or one without a span."""
    text = without_surrogates(document.text)
    id = None if document.id is None else str(document.id)
    entities = sorted(set(document.entities))
    for number, one in enumerate(entities, 1):
        yield id, text, number, one.start, one.end, one.label, text[one.start : one.end], one.score
    if not entities:
        yield id, text, 0, None, None, None, None, None


def write(document: Document) -> str:
    """Return a row with commas for each span."""
    return _write(document, ",")


def write_tabs(document: Document) -> str:
    """Return a row with tabs for each span."""
    return _write(document, "\t")


def count_losses(document: Document) -> Mapping[str, int]:
    """Count what `write` cannot store."""
    counts = {
        RELATIONS_LOST: len(set(document.relations)) + count_unlocated(document),
        SCORES_LOST: sum(relation.score is not None for relation in document.relations),
        TEXT_IDS: int(isinstance(document.id, int) or document.id == ""),
        FIELDS_LOST: len(document.meta),
        SURROGATES_LOST: count_surrogates(document.text),
        **{what: count for what, count in count_native_only(document).items() if what != SCORES_LOST},
    }
    return {what: count for what, count in counts.items() if count}


CSV = Format(
    "csv",
    "tables as CSV: one span, document or token per row; one span per row is written",
    read,
    write,
    count_losses,
    (f"{','.join(SPAN_ROLES)}\n", "", ""),
    keep_ends=True,
    suffixes=(".csv",),
    options=TABLE_OPTIONS,
    rows=row_of_file,
)
TSV = replace(
    CSV,
    name="tsv",
    help="tables as in csv, written with tabs",
    write=write_tabs,
    frame=("\t".join(SPAN_ROLES) + "\n", "", ""),
    suffixes=(),
)
