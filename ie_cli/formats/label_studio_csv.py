"""Tables that Label Studio exports as CSV or TSV: a row per annotation, with the regions of each control as JSON.

::

    id,text,label,annotator,annotation_id,created_at,updated_at,lead_time
    7,Ann slept,"[{""start"":0,""end"":3,""text"":""Ann"",""labels"":[""person""]}]",1,12,2026-01-02,2026-01-02,4.5

The columns are the fields of ``data``, the controls, and ``annotator``, ``annotation_id``, ``created_at``, ``updated_at`` and
``lead_time``. They are read as JSON-MIN is, by the rules of `label_studio`. Label Studio exports no relations as CSV: where a
project has some, export it as JSON. Empty cells are left out, and values are text. This format is read, not written:
`label_studio` is what Label Studio imports.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any

from ie_cli.errors import DataError, counted
from ie_cli.formats import label_studio
from ie_cli.formats.common.base import Format, Lines, Reading, Record, short
from ie_cli.formats.common.json_stream import FoundObject
from ie_cli.formats.common.label_studio_minimal import BOOKKEEPING, is_control
from ie_cli.formats.table import csv_rows
from ie_cli.system.json_reading import loads

_NAMES = frozenset({"annotator", "annotation_id", "created_at", "updated_at", "lead_time"})
"""The columns that every such table has."""
_KEPT = BOOKKEEPING | {"text"}
"""The columns whose empty cells are not left out."""
_NUMBERS = frozenset({"id", "annotation_id"})
_SEPARATORS = (",", "\t")
_DIGITS = 18
"""The largest number of digits of an id that is read as a number."""
_HINT = "export the project again, as JSON."


def looks_like_export(lines: Iterable[str]) -> bool:
    """Return whether the first lines of a file are such a table with a labelled span; they may lack their ends."""
    stream = iter(lines)
    first = next(stream, "")
    separator = _separator_of(first)
    if separator is None:
        return False
    csv.field_size_limit(2**31 - 1)
    try:
        return any(is_control(_regions(cell)) for row in csv.reader(stream, delimiter=separator) for cell in row)
    except csv.Error:
        return False


def is_export_header(line: str) -> bool:
    """Return whether a line names the columns that every such table has; which others it has is not looked at."""
    return _separator_of(line) is not None


def _separator_of(line: str) -> str | None:
    """Return what separates the columns in the first line of such a table; None if it is none."""
    try:
        heads = {separator: next(csv.reader([line], delimiter=separator), []) for separator in _SEPARATORS}
    except csv.Error:
        return None
    return next((separator for separator, names in heads.items() if set(names) >= _NAMES), None)


def read(lines: Lines, path: str, reading: Reading) -> Iterator[Record]:
    """Yield an example for each task; the lines are given with their ends.

    Raises:
        DataError: the table lacks the columns of such an export.
    """
    stream = iter(lines)
    head = list(islice(stream, 1))
    if not head:
        return
    separator = _separator_of(head[0][1].lstrip("\ufeff"))
    if separator is None:
        raise DataError(f"{path}: the table lacks columns of an export: {', '.join(sorted(_NAMES))}", hint=_HINT)
    rows = csv_rows(chain([(head[0][0], head[0][1].lstrip("\ufeff"))], stream), path, separator)
    _, names = next(rows)
    yield from label_studio.read_tasks(_objects(rows, list(names)), path, reading)


def _objects(rows: Iterable[tuple[str, Sequence[Any]]], names: Sequence[str]) -> Iterator[FoundObject]:
    """Yield each row as an object of JSON-MIN, or an error."""
    for where, row in rows:
        if not any(row):
            continue
        raw = short(list(row))
        if len(row) != len(names):
            error = DataError(f"expected {counted(len(names), 'column')}, got {len(row)}: {raw}", hint=_HINT)
            yield where, raw, error
            continue
        cells = zip(names, row, strict=True)
        yield where, raw, {name: _value(name, cell) for name, cell in cells if cell or name in _KEPT}


def _value(name: str, cell: str) -> Any:
    """Return the value of a cell: the regions of a control, the number of an id, or the text."""
    if name in _NUMBERS:
        is_number = cell.isascii() and cell.isdecimal() and len(cell) <= _DIGITS
        return int(cell) if is_number else cell or None
    regions = _regions(cell)
    return regions if is_control(regions) else cell


def _regions(cell: str) -> Any:
    """Return what a cell contains as JSON if it may be a list of regions, otherwise None."""
    if not cell.startswith("[{"):
        return None
    try:
        return loads(cell)
    except ValueError:
        return None


FORMAT = Format(
    "label_studio-csv",
    "Label Studio's exports CSV and TSV: an annotation per row, its regions as JSON",
    read,
    keep_ends=True,
)
