"""Documents from the rows of a table, whatever kind of file it is in."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ie_cli.errors import DataError
from ie_cli.formats.common.annotation_fields import ENTITY_FIELDS
from ie_cli.formats.common.base import Reading, Record, short
from ie_cli.formats.common.entity_fields import offset_names
from ie_cli.formats.common.pair_fields import PairNames
from ie_cli.formats.common.span_rows import documents, integer, is_empty, sentences
from ie_cli.formats.common.table_columns import HINT, TEXT_PARTS, TableColumns
from ie_cli.formats.common.tag_names import NAMED_LABELS, UNNAMED_LABELS, find_label_names
from ie_cli.formats.rows import Row, Rows, read_rows
from ie_cli.system.json_reading import loads

Cells = tuple[str, Sequence[Any]]
"""The place of a row, and its values."""
_LISTS = frozenset({"entities", "relations", "events", "tokens", "ner_tags"})
_NAMES = {"tags": "ner_tags"}
"""The names that rows of documents have for parts of a table, if they differ."""
_LITERAL = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", re.DOTALL)
_SHOWN = 5

TABLE_OPTIONS = ("joiner", "columns", "grades")
"""The options of reading that apply to tables."""
ROW_OPTIONS = {
    "span": ("columns",),
    "text": ("columns",),
    "token": ("columns", "joiner"),
    "tagged text": ("columns", "joiner"),
    "pair": ("columns", "grades"),
}
"""Those that apply to a table by what a row is."""


def row_of(names: Sequence[str], reading: Reading) -> str | None:
    """Return what a row of a table with these columns is, a key of `ROW_OPTIONS`; None if that is not known."""
    try:
        columns = TableColumns.find(names, _expected(reading))
    except DataError:
        return None
    if columns is None or (columns.layout == "records" and "entities" not in columns.places and PairNames.of(names)):
        return None
    return {"spans": "span", "tokens": "token"}.get(
        columns.layout, "tagged text" if "tags" in columns.places else "text"
    )


def read_table(
    names: Sequence[str],
    rows: Iterable[Cells],
    path: str,
    reading: Reading,
    *,
    classes: Mapping[str, Sequence[str]] | None = None,
) -> Iterator[Record]:
    """Yield the documents of a table.

    Args:
        names: the names of the columns.
        rows: the rows below the names.
        path: the name of the file.
        reading: the options of reading.
        classes: the names that the integers of a column stand for, by column.

    Raises:
        DataError: the columns are not known, or there is no column of a name that the options give.
    """
    try:
        columns = TableColumns.find(names, _expected(reading))
        if columns is not None and reading.annotation:
            columns.require_all_parts(names, reading.columns)
    except DataError as error:
        raise DataError(f"{path}: {error.message}", hint=error.hint) from error
    if columns is None:
        shown = ", ".join(names)
        raise DataError(f"{path}: the columns of the table are not known: {short(shown)[1:-1]}", hint=HINT)
    if columns.layout == "records":
        renamed = {names[index]: _NAMES.get(role, role) for role, index in columns.places.items()}
        named = {renamed.get(name, name): some for name, some in (classes or {}).items()}
        known = [*renamed.values(), *(name for name in columns.others.values() if name not in renamed.values())]
        yield from read_rows(Rows(path, known, _records(columns, rows), named), reading)
        return
    if columns.others:
        left = list(columns.others.values())
        shown = ", ".join(left[:_SHOWN]) + (", …" if len(left) > _SHOWN else "")
        reading.report(f"{path}: a {columns.layout[:-1]} per row; columns that are not read: {shown}")
    cells = _parts(columns, rows)
    if columns.layout == "spans":
        reading.row_is("span")
        yield from documents(_with_label_names(cells, path, reading), annotation=reading.annotation)
    else:
        reading.row_is("token")
        reading = replace(reading, row_is=lambda row: None)
        some = (classes or {}).get(names[columns.places["tags"]])
        named = {} if some is None else {"ner_tags": some}
        yield from read_rows(Rows(path, ["tokens", "ner_tags"], sentences(cells), named), reading)


def _expected(reading: Reading) -> Mapping[str, str]:
    """Return the names of the columns that are read: a text to predict needs none with annotation."""
    return {part: name for part, name in reading.columns.items() if reading.annotation or part in TEXT_PARTS}


def _parts(columns: TableColumns, rows: Iterable[Cells]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the values of rows by the part of the table; empty rows only if they separate sentences."""
    for where, row in rows:
        found = {role: row[index] if index < len(row) else None for role, index in columns.places.items()}
        if columns.layout == "tokens" or not all(map(is_empty, found.values())):
            yield where, found


def _with_label_names(rows: Iterable[Row], path: str, reading: Reading) -> Iterator[Row]:
    """Yield the rows of spans; labels that are numbers get their names from doccano's file beside the table, and are counted."""
    names, named, unnamed = find_label_names(path), 0, 0
    for where, cells in rows:
        number = integer(cells.get("label")) if reading.annotation else None
        if isinstance(number, bool) or not isinstance(number, int):
            yield where, cells
            continue
        name = names.get(number)
        named += name is not None
        unnamed += name is None
        yield where, cells if name is None else cells | {"label": name}
    for count, what in ((named, NAMED_LABELS), (unnamed, UNNAMED_LABELS)):
        if count:
            reading.report(what.format(path=path, count=f"{count:,}"))


def _records(columns: TableColumns, rows: Iterable[Cells]) -> Iterator[Row]:
    """Yield the rows as the fields of records."""
    for where, row in rows:
        if all(map(is_empty, row)):
            continue
        fields = {_NAMES.get(role, role): row[index] for role, index in columns.places.items() if index < len(row)}
        for index, name in columns.others.items():
            if index < len(row) and name not in fields:
                fields[name] = row[index]
        if is_empty(fields.get("id")):
            fields.pop("id", None)
        if isinstance(fields.get("id"), float) and fields["id"].is_integer():
            fields["id"] = int(fields["id"])
        if "text" in fields and not isinstance(fields["text"], str):
            fields["text"] = "" if is_empty(fields["text"]) else str(fields["text"])
        yield (
            where,
            {name: _list(name, value) if name in _LISTS else _spans(name, value) for name, value in fields.items()},
        )


def _list(name: str, value: Any) -> Any:
    """Return the list that a cell contains: as JSON, as Python's notation, or as tokens or tags between spaces."""
    if not isinstance(value, str):
        return None if is_empty(value) else value
    text = value.strip()
    if not text:
        return None
    if text[0] not in "[{":
        return re.split(r"[\s,]+" if name == "ner_tags" and "," in text else r"\s+", text) if name in _TOKENS else value
    try:
        return loads(text)
    except ValueError:
        found = _python(text)
        if isinstance(found, list):  # JSON has no tuples
            return [list(item) if isinstance(item, tuple) else item for item in found]
        return value if found is None else found


def _spans(name: str, value: Any) -> Any:
    """Return the list that a cell contains in a column with a name that other tools give entities, otherwise the cell.

    Its items need offsets, but not a form that is read: others are an error, as in JSON, and not user fields.
    """
    if not isinstance(value, str) or not value.lstrip().startswith("[") or name.casefold() not in ENTITY_FIELDS:
        return value
    found = _list(name, value)
    return found if isinstance(found, list) and all(map(_has_offsets, found)) else value


def _has_offsets(item: Any) -> bool:
    if isinstance(item, dict):
        return offset_names(item) is not None
    return isinstance(item, list) and len(item) > 1 and all(isinstance(part, int) for part in item[:2])


_TOKENS = frozenset({"tokens", "ner_tags"})


def _python(text: str) -> Any:
    """Return the value of Python's notation, as pandas writes lists; None if it is none.

    Python joins strings that are side by side, as numpy writes those of an array: this is none.
    """
    try:
        tree = ast.parse(text, mode="eval")
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                segment = ast.get_source_segment(text, node)
                if segment is None or not _LITERAL.fullmatch(segment):
                    return None
        return ast.literal_eval(tree)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
