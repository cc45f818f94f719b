"""Documents from rows of named columns, wherever the rows come from: datasets, Parquet, CSV and Excel."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any

from ie_cli.document import Document
from ie_cli.errors import DataError, counted
from ie_cli.formats.common.annotation_fields import ENTITY_FIELDS, AnnotationTally
from ie_cli.formats.common.base import BadLine, Reading, Record, checked_entity, error_at, quoted, short
from ie_cli.formats.common.joining import Joining, join_tokens, look_ahead, tokens_in
from ie_cli.formats.common.pair_fields import LOOK_AHEAD, PairNames, is_pair_record
from ie_cli.formats.common.tag_schemes import spans_of, split_tag
from ie_cli.formats.jsonl import HINT, dump, from_fields, id_of, without_annotation
from ie_cli.formats.kept_columns import rows_of
from ie_cli.formats.pairs_json import HINT as PAIR_HINT
from ie_cli.formats.pairs_json import PairReader
from ie_cli.system.json_reading import NestedTooDeeply, require_shallow

TAGS = ("ner_tags", "tags", "labels")
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
    """

    source: str
    columns: Sequence[str]
    rows: Iterable[Row]
    classes: Mapping[str, Sequence[str]] = field(default_factory=dict)


def tag_column(columns: Iterable[str]) -> str | None:
    """Return the column of the tags if rows have tokens and tags, or None."""
    names = list(columns)
    return next((name for name in TAGS if name in names), None) if "tokens" in names else None


def read_rows(given: Rows, reading: Reading) -> Iterator[Record]:
    """Yield a document for each row: tokens and tags, a text with native fields, or a pair of texts.

    Raises:
        DataError: the columns are not supported.
    """
    source, columns = given.source, given.columns
    if (tags := tag_column(columns)) is not None:
        yield from _tagged(given, tags, reading)
        return
    pair_names = PairNames.of(columns)
    rows = _with_classes(given, pair_names)
    head = list(islice(rows, LOOK_AHEAD)) if pair_names is not None else []
    rows = chain(head, rows)
    if any(is_pair_record(fields) for _, fields in head):
        yield from _pairs([fields for _, fields in head], rows, source, reading)
        return
    if "text" not in columns:
        raise DataError(
            f"{source}: expected the columns tokens and ner_tags, or text and entities, got {', '.join(columns)}",
            hint="rename the columns (pairs of texts: sentence1, sentence2 and label), or convert the data to JSON Lines.",
        )
    tally = AnnotationTally(source)
    for where, fields in rows:
        try:
            _require_shallow(fields)
            fields |= {name: _records(value) for name, value in fields.items() if name in _NATIVE_LISTS}
            document = from_fields(fields, tally) if reading.annotation else from_fields(without_annotation(fields))
            document.where = where
            yield document
        except DataError as error:
            yield BadLine(where, dump(fields).rstrip(), error_at(where, error, HINT))
    tally.report(reading)


def _tagged(given: Rows, column: str, reading: Reading) -> Iterator[Record]:
    """Yield the documents of tokens and tags."""
    names = given.classes.get(column)
    joining, tagged = look_ahead(iter(given.rows), lambda row: tokens_in(row[1].get("tokens")), given.source, reading)
    for where, row in tagged:
        try:
            _require_shallow(row)
            document = _from_tokens(row, column, names, joining, keep_columns=reading.keep_columns)
            document.where = where
            yield document
        except DataError as error:
            yield BadLine(where, dump(row).rstrip(), error_at(where, error, _TOKENS_HINT))


def _with_classes(given: Rows, names: PairNames | None) -> Iterator[Row]:
    """Yield the rows; the label of a pair that is an index of a ClassLabel becomes its name, or None if there is none (-1)."""
    label = None if names is None else names.label
    classes = None if label is None else given.classes.get(label)
    for where, fields in given.rows:
        index = fields.get(label) if label is not None else None
        if label is not None and classes is not None and isinstance(index, int):
            fields[label] = classes[index] if 0 <= index < len(classes) else None
        yield where, fields


def _pairs(head: list[dict[str, Any]], rows: Iterable[Row], source: str, reading: Reading) -> Iterator[Record]:
    """Yield the pairs of rows with the fields of `pairs_json`."""
    reader = PairReader.of(head, source, reading)
    for where, fields in rows:
        try:
            _require_shallow(fields)
            yield reader.document(fields, where)
        except DataError as error:
            yield BadLine(where, dump(fields).rstrip(), error_at(where, error, PAIR_HINT))
    reader.report()


def _from_tokens(
    row: Mapping[str, Any], column: str, names: Sequence[str] | None, joining: Joining, *, keep_columns: bool
) -> Document:
    tokens, tags = _list(row, "tokens"), _list(row, column)
    if len(tokens) != len(tags) or not all(isinstance(token, str) and token for token in tokens):
        raise DataError(
            f"got {counted(len(tokens), 'token')} and {counted(len(tags), 'tag')}; every token needs a text and a tag"
        )
    tokens = joining.tokens_of(tokens)
    text, starts = join_tokens(tokens, joining.joiner)
    spans, _ = spans_of([_tag(tag, names, column) for tag in tags])
    entities = [checked_entity(starts[a], starts[b] + len(tokens[b]), label, text) for a, b, label in spans]
    meta = {key: value for key, value in row.items() if key not in {"tokens", column, "id"}}
    columns = rows_of(tokens, starts) if keep_columns else None
    return Document(text, entities, [], id_of(row), meta, columns=columns)


def _require_shallow(row: Mapping[str, Any]) -> None:
    """Check the nesting depth of a row, as of other JSON.

    Raises:
        DataError: the row is nested too deeply.
    """
    try:
        require_shallow(dict(row))
    except NestedTooDeeply as error:
        raise DataError(str(error)) from error


def _list(row: Mapping[str, Any], name: str) -> list[Any]:
    value = row.get(name)
    if not isinstance(value, (list, tuple)):
        raise DataError(f"'{name}' must be a list, got {short(value)}")
    return list(value)


def _tag(value: Any, names: Sequence[str] | None, column: str) -> str:
    """Return the name of a tag, which may be given by its index."""
    if isinstance(value, int) and names is None:
        raise DataError(
            f"'{column}' contains integers without names", hint="store it as a ClassLabel feature, or as names."
        )
    if isinstance(value, int) and names is not None:
        if not 0 <= value < len(names):
            raise DataError(
                f"'{column}' must be an index below {len(names)}, the number of its names, got {short(value)}"
            )
        value = names[value]
    if not isinstance(value, str) or split_tag(value) is None:
        raise DataError(f"expected a tag such as O or B-PER, got {quoted(value)}")
    return value


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
