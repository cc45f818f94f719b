"""CSV of characters, as doccano before 1.0 exported a project for sequence labelling: a character and its tag per row.

The table has no header. A row contains the id of the document, a character of its text, the tag of the character (``B-PER``,
``I-PER`` or ``O``) and, since metadata exist, those of the document as JSON:

::

    7,B,B-person,{}
    7,o,I-person,{}
    7, ,O,{}

Consecutive rows with the same id are a document. Its text consists of the characters, line ends in quotes included. Metadata
that are not empty are kept in the user field ``metadata``. Where spans overlap, such as those of several users, the export
contains the last one alone. This format is read, not written: doccano does not import it.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, islice
from typing import Any

from ie_cli.document import Document, Entity
from ie_cli.errors import DataError, counted
from ie_cli.formats.common.base import BadLine, Format, Lines, Reading, Record, quoted, short
from ie_cli.formats.common.table_rows import Cells
from ie_cli.formats.common.tag_schemes import spans_of, split_tag
from ie_cli.formats.conll import INVALID_TAGS
from ie_cli.formats.table import csv_rows
from ie_cli.system.json_reading import loads

_WIDTHS = (3, 4)
_LOOKED_AT = 20
"""The number of rows that decide whether a file has this format."""
_DIGITS = 18
"""The largest number of digits of an id that is read as a number."""
_HINT = "each row contains the id of the document, a character, its tag and, optionally, the metadata: 7,B,B-person,{}."


def looks_like_characters(lines: Iterable[str]) -> bool:
    """Return whether the first lines of a file are rows of characters; lines without their ends may break a row."""
    try:
        rows = list(islice(csv.reader(lines), _LOOKED_AT))
    except csv.Error:
        return False
    return bool(rows) and all(map(_is_character, rows))


def find_other_row(head: Lines, path: str) -> Cells | None:
    """Return the first row that is no character, with its place, if at least half of the first rows of a file are characters."""
    try:
        rows = list(islice((found for found in csv_rows(head, path, ",") if found[1]), _LOOKED_AT))
    except DataError:
        return None
    others = [found for found in rows if not _is_character(found[1])]
    return others[0] if others and 2 * len(others) <= len(rows) else None


def _is_character(row: Sequence[str]) -> bool:
    """Return whether a row is a character with its tag; the line end of a line without its end is missing."""
    return len(row) in _WIDTHS and row[0].isdecimal() and len(row[1]) <= 1 and split_tag(row[2]) is not None


def read(lines: Lines, path: str, reading: Reading) -> Iterator[Record]:
    """Yield a document for each group of rows; the lines are given with their ends."""
    rows = (found for found in csv_rows(lines, path, ",") if found[1])
    repaired = 0
    for id, group in groupby(rows, lambda found: found[1][0]):
        some = list(group)
        try:
            document, count = _document(id, some, annotation=reading.annotation)
        except DataError as error:
            yield BadLine(some[0][0], short([list(row) for _, row in some]), error)
            continue
        repaired += count
        yield document
    if repaired:
        reading.report(INVALID_TAGS.format(path=path, count=counted(repaired, "tag")))


def _document(id: str, rows: Sequence[Cells], *, annotation: bool) -> tuple[Document, int]:
    """Return the document of some rows, and the number of tags that should continue an entity but follow none.

    Raises:
        DataError: a row is invalid.
    """
    for where, row in rows:
        if len(row) not in _WIDTHS or len(_character(row)) != 1 or (annotation and split_tag(row[2]) is None):
            raise DataError(f"{where}: not a character with its tag: {short(list(row))}", hint=_HINT)
    where, first = rows[0]
    meta = {"metadata": value} if len(first) == max(_WIDTHS) and (value := _metadata(first[3], where)) else {}
    spans, repaired = spans_of([row[2] for _, row in rows]) if annotation else ([], 0)
    is_number = id.isascii() and id.isdecimal() and len(id) <= _DIGITS
    document = Document(
        "".join(_character(row) for _, row in rows),
        [Entity(start, last + 1, label) for start, last, label in spans],
        id=int(id) if is_number else id,
        meta=meta,
        where=where,
    )
    return document, repaired


def _character(row: Sequence[str]) -> str:
    """Return the character of a row; a line end may have been converted with those of the file."""
    return "\n" if row[1] == "\r\n" else row[1]


def _metadata(cell: str, where: str) -> Any:
    """Return the metadata of a document; none may be an empty cell.

    Raises:
        DataError: they are not JSON.
    """
    try:
        return loads(cell) if cell.strip() else None
    except ValueError as error:
        raise DataError(f"{where}: the metadata are not JSON: {quoted(cell)}", hint=_HINT) from error


FORMAT = Format(
    "doccano-csv",
    "doccano before 1.0: CSV with the id of a document, a character and its tag per row",
    read,
    keep_ends=True,
)
