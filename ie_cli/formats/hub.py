"""``hub:org/dataset`` or ``hub:/local/directory``, through `datasets`; ``?split=validation&config=zh`` chooses a part.

Two shapes are understood: ``tokens`` with ``ner_tags`` (names, or numbers of a ClassLabel), and the native fields
``text``, ``entities``, ``id`` and the rest of `jsonl`. Never runs code of a dataset.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ie_cli.document import Document
from ie_cli.errors import DataError
from ie_cli.formats.common.base import BadLine, Reading, Record, at, checked_entity, quoted, short
from ie_cli.formats.common.hub_dataset import load_rows
from ie_cli.formats.common.tag_schemes import spans_of, split_tag
from ie_cli.formats.conll import join_tokens
from ie_cli.formats.jsonl import HINT, dump, from_fields, id_of, without_annotation
from ie_cli.system.json_reading import NestedTooDeeply, require_shallow

_TAGS = ("ner_tags", "tags", "labels")
_TOKENS_HINT = "a row needs tokens and as many tags, names such as B-PER or numbers of a ClassLabel."


def read(source: str, reading: Reading) -> Iterator[Record]:
    """Yield an example for each row.

    Raises:
        DataError: the dataset cannot be had, or its columns are not understood.
    """
    rows = load_rows(source, reading.report)
    columns = list(rows.features)
    if "tokens" in columns and (tag_column := next((name for name in _TAGS if name in columns), None)):
        names = _names(rows.features[tag_column])
        for number, row in enumerate(rows, 1):
            where = f"{source}:{number}"
            try:
                _require_shallow(row)
                document = _from_tokens(row, tag_column, names, reading)
                document.where = where
                yield document
            except DataError as error:
                yield BadLine(where, dump(row).rstrip(), at(where, error, _TOKENS_HINT))
        return
    if "text" not in columns:
        raise DataError(
            f"{source}: columns {', '.join(columns)}: expected tokens and ner_tags, or text and entities",
            hint="rename the columns, or write the data as JSON lines.",
        )
    for number, row in enumerate(rows, 1):
        where = f"{source}:{number}"
        fields = dict(row)
        try:
            _require_shallow(fields)
            fields["entities"] = _records(fields.get("entities"))
            fields["relations"] = _records(fields.get("relations"))
            document = from_fields(fields if reading.annotation else without_annotation(fields))
            document.where = where
            yield document
        except DataError as error:
            yield BadLine(where, dump(fields).rstrip(), at(where, error, HINT))


def _names(feature: Any) -> Sequence[str] | None:
    inner = getattr(feature, "feature", feature)
    return getattr(inner, "names", None)


def _from_tokens(row: Mapping[str, Any], column: str, names: Sequence[str] | None, reading: Reading) -> Document:
    tokens, tags = _list(row, "tokens"), _list(row, column)
    if len(tokens) != len(tags) or not all(isinstance(token, str) and token for token in tokens):
        raise DataError(f"{len(tokens)} tokens, {len(tags)} tags; every token needs a text and a tag")
    text, starts = join_tokens(tokens, reading.joiner)
    spans, _ = spans_of([_tag(tag, names, column) for tag in tags])
    entities = [checked_entity(starts[a], starts[b] + len(tokens[b]), label, text) for a, b, label in spans]
    meta = {key: value for key, value in row.items() if key not in {"tokens", column, "id"}}
    return Document(text, entities, [], id_of(row), meta)


def _require_shallow(row: Mapping[str, Any]) -> None:
    """Hold the rows of a dataset to the bound of other JSON.

    Raises:
        DataError: a row is nested more deeply.
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
    """A tag by its name."""
    if isinstance(value, int) and names is None:
        raise DataError(
            f"'{column}' holds numbers without names", hint="store it as a ClassLabel feature, or as names."
        )
    if isinstance(value, int) and names is not None:
        if not 0 <= value < len(names):
            raise DataError(f"'{column}' has {len(names)} names, counted from 0, got {short(value)}")
        value = names[value]
    if not isinstance(value, str) or split_tag(value) is None:
        raise DataError(f"expected a tag such as O or B-PER, got {quoted(value)}")
    return value


def _records(value: Any) -> Any:
    """A list of records; `datasets` may store it as a record of lists."""
    if isinstance(value, dict) and all(isinstance(column, (list, tuple)) for column in value.values()):
        if len({len(column) for column in value.values()}) > 1:
            raise DataError(f"the columns of a record of lists must be of one length, got {short(value)}")
        return [dict(zip(value, row, strict=True)) for row in zip(*value.values(), strict=True)]
    if isinstance(value, (list, tuple)):
        return [_without_nulls(item) for item in value]
    return value


def _without_nulls(value: Any) -> Any:
    """A record without the fields that it has for the sake of others in its column."""
    return {k: v for k, v in value.items() if v is not None} if isinstance(value, dict) else value
