"""Documents from rows of named columns, wherever the rows come from: datasets, Parquet, CSV and Excel."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ie_cli.document import Document
from ie_cli.errors import DataError
from ie_cli.formats.common.annotation_fields import ENTITY_FIELDS, AnnotationTally
from ie_cli.formats.common.base import BadLine, Reading, Record, error_at, short
from ie_cli.formats.common.joining import peek_at
from ie_cli.formats.common.pair_fields import PairNames, is_pair_record
from ie_cli.formats.common.tag_fields import LOOK_AHEAD, TAG_FIELDS, TOKEN_FIELDS, TaggedReader, is_tagged
from ie_cli.formats.common.tag_names import NAMES_HINT, TagNames, find_tag_names
from ie_cli.formats.jsonl import HINT, dump, from_fields, without_annotation
from ie_cli.formats.pairs_json import HINT as PAIR_HINT
from ie_cli.formats.pairs_json import PairReader
from ie_cli.system.json_reading import NestedTooDeeply, require_shallow

_TOKENS_HINT = "give each row tokens and as many tags: names such as B-PER, or indices of a ClassLabel."
_NATIVE_LISTS = ENTITY_FIELDS | {"relations"}
Row = tuple[str, dict[str, Any]]
"""The place of a row, and its values by column."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of a source.

    Attributes:
        source: the name of the source, for messages.
        columns: the names of the columns.
        rows: the rows, as a stream.
        classes: the names that the integers of a column stand for, by column.
        names_hint: what to do if the integers of a column of tags have no names.
    """

    source: str
    columns: Sequence[str]
    rows: Iterable[Row]
    classes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    names_hint: str = NAMES_HINT


def read_rows(given: Rows, reading: Reading) -> Iterator[Record]:
    """Yield a document for each row: tokens and tags, a text with native fields, or a pair of texts.

    Raises:
        DataError: the columns are not supported.
    """
    source, columns = given.source, given.columns
    pair_names = PairNames.of(columns)
    rows = _with_classes(given, pair_names)
    head: list[Row] = []
    if pair_names is not None or _may_be_tagged(columns):
        head, rows = peek_at(rows, LOOK_AHEAD if reading.annotation else 1)
    fields = [fields for _, fields in head]
    if any(map(is_tagged, fields)) or _is_tagged(columns):
        reading.row_is("tagged text")
        tagged = TaggedReader.of(
            fields, source, reading, names_of=partial(_names_of, given), names_hint=given.names_hint
        )
        yield from _convert(tagged.look_ahead(rows, _fields), tagged.document, _TOKENS_HINT)
        tagged.report()
    elif any(map(is_pair_record, fields)):
        reading.row_is("pair")
        pairs = PairReader.of(fields, source, reading)
        yield from _convert(rows, pairs.document, PAIR_HINT)
        pairs.report()
    elif "text" in columns:
        reading.row_is("text")
        tally = AnnotationTally(source)
        yield from _convert(rows, partial(_native, tally, reading), HINT)
        tally.report(reading)
    else:
        raise DataError(
            f"{source}: expected the columns tokens and ner_tags, or text and entities, got {', '.join(columns)}",
            hint="rename the columns (pairs of texts: sentence1, sentence2 and label), or convert the data to JSON Lines.",
        )


def row_of_columns(columns: Collection[str]) -> str | None:
    """Return what a row with these columns is, as `read_rows` decides it; None if that depends on the values."""
    if _is_tagged(columns):
        return "tagged text"
    if _may_be_tagged(columns) or PairNames.of(columns) is not None:
        return None
    return "text" if "text" in columns else None


def _may_be_tagged(columns: Collection[str]) -> bool:
    """Return whether rows with these columns may have tokens and tags, which their values show."""
    return any(name in columns for name in TOKEN_FIELDS) and any(name in columns for name in TAG_FIELDS)


def _is_tagged(columns: Collection[str]) -> bool:
    """Return whether the columns alone show that rows have tokens and tags, whatever their values are."""
    return "tokens" in columns and any(name in columns for name in TAG_FIELDS[:3])


def _names_of(given: Rows, column: str) -> TagNames | None:
    """Return the names of the integers in a column: those that the rows have, or those of a file beside them."""
    names = given.classes.get(column)
    return find_tag_names(given.source, column) if names is None else TagNames(tuple(names))


def _fields(row: Row) -> dict[str, Any]:
    return row[1]


def _convert(
    rows: Iterable[Row], document_of: Callable[[dict[str, Any], str], Document], hint: str
) -> Iterator[Record]:
    """Yield the document of each row, or a bad line."""
    for where, fields in rows:
        try:
            _require_shallow(fields)
            yield document_of(fields, where)
        except DataError as error:
            yield BadLine(where, dump(fields).rstrip(), error_at(where, error, hint))


def _native(tally: AnnotationTally, reading: Reading, fields: dict[str, Any], where: str) -> Document:
    """Return the document of a row with native fields."""
    fields |= {name: _records(value) for name, value in fields.items() if name in _NATIVE_LISTS}
    document = from_fields(fields, tally) if reading.annotation else from_fields(without_annotation(fields))
    document.where = where
    return document


def _with_classes(given: Rows, names: PairNames | None) -> Iterator[Row]:
    """Yield the rows; the label of a pair that is an index of a ClassLabel becomes its name, or None if there is none (-1)."""
    label = None if names is None else names.label
    classes = None if label is None else given.classes.get(label)
    for where, fields in given.rows:
        index = fields.get(label) if label is not None else None
        if label is not None and classes is not None and isinstance(index, int):
            fields[label] = classes[index] if 0 <= index < len(classes) else None
        yield where, fields


def _require_shallow(row: Mapping[str, Any]) -> None:
    """Check the nesting depth of a row, as of other JSON.

    Raises:
        DataError: the row is nested too deeply.
    """
    try:
        require_shallow(dict(row))
    except NestedTooDeeply as error:
        raise DataError(str(error)) from error


def _records(value: Any) -> Any:
    """Return a list of records, which `datasets` may store as a record of lists."""
    if isinstance(value, dict) and all(isinstance(column, (list, tuple)) for column in value.values()):
        if len({len(column) for column in value.values()}) > 1:
            raise DataError(f"the lists of a record of lists must have the same length, got {short(value)}")
        return [dict(zip(value, row, strict=True)) for row in zip(*value.values(), strict=True)]
    if isinstance(value, (list, tuple)):
        return [_without_nulls(item) for item in value]
    return value


def _without_nulls(value: Any) -> Any:
    """Return a record without the null fields that a column adds for the sake of other records."""
    return {k: v for k, v in value.items() if v is not None} if isinstance(value, dict) else value
