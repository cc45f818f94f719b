"""Documents from rows that each have one span, or one token."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ie_cli.document import Document, Entity
from ie_cli.errors import DataError
from ie_cli.formats.common.base import BadLine, Record, checked_entity, error_at, quoted, short

HINT = (
    "give each row text, start, end (exclusive) and label; leave start, end and label empty for a text without a span."
)
SORT_HINT = "sort the rows by document, or give documents with the same text different ids."
Cells = tuple[str, Mapping[str, Any]]
"""The place of a row, and its values by the part of the table."""


@dataclass(slots=True)
class _Group:
    """The rows of a document."""

    where: str
    key: str
    rows: list[Cells] = field(default_factory=list)


def documents(rows: Iterable[Cells], *, annotation: bool) -> Iterator[Record]:
    """Yield a document for each group of consecutive rows with the same id, or without ids the same text.

    The rows of a document are numbered from 1 if the table has numbers; a row with 0 or 1 starts a document.
    """
    seen: set[int] = set()
    for group in _groups(rows):
        numbered = _number(group.rows[0][1]) is not None
        key = hash(group.key)
        try:
            if not numbered and key in seen:
                raise DataError(
                    f"{group.where}: rows of the document {quoted(group.key)} occur again after those of another one",
                    hint=SORT_HINT,
                )
            yield _document(group, annotation=annotation)
        except DataError as error:
            yield BadLine(group.where, short([dict(cells) for _, cells in group.rows]), error)
        seen.add(key)


def _groups(rows: Iterable[Cells]) -> Iterator[_Group]:
    group: _Group | None = None
    for where, cells in rows:
        number = _number(cells)
        key = str(cells.get("text") if is_empty(cells.get("id")) else cells.get("id"))
        starts = number is not None and number <= 1
        if group is None or starts or key != group.key:
            if group is not None:
                yield group
            group = _Group(where, key)
        group.rows.append((where, cells))
    if group is not None:
        yield group


def _document(group: _Group, *, annotation: bool) -> Document:
    where, first = group.rows[0]
    text = first.get("text")
    if is_empty(text):
        text = ""
    if not isinstance(text, str):
        text = str(text)
    document = Document(text, id=_id(first.get("id")), where=where)
    for place, cells in group.rows:
        try:
            other = cells.get("text")
            if not is_empty(other) and str(other) != text:
                raise DataError(f"the text differs from that of the same id in {where}", hint=SORT_HINT)
            entity = _entity(cells, text) if annotation else None
        except DataError as error:
            raise error_at(place, error, HINT) from error
        if entity is not None:
            document.entities.append(entity)
    document.attach_text()
    return document


def _entity(cells: Mapping[str, Any], text: str) -> Entity | None:
    given = {role: cells.get(role) for role in ("start", "end", "label") if not is_empty(cells.get(role))}
    if not given:
        return None
    if missing := [role for role in ("start", "end", "label") if role not in given]:
        raise DataError(f"a span lacks {', '.join(missing)}: {short(dict(given))}")
    mention = cells.get("mention")
    return checked_entity(
        integer(given["start"]),
        integer(given["end"]),
        str(given["label"]),
        text,
        mention=None if is_empty(mention) else str(mention),
        score=_score(cells.get("score")),
    )


def is_empty(value: Any) -> bool:
    """Return whether a cell has no value; tables of numbers use NaN for this."""
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def integer(value: Any) -> Any:
    """Return a cell as an integer if it is one, also one that is written as 3.0; otherwise unchanged."""
    if isinstance(value, str):
        plain = value.strip().removesuffix(".0")
        return int(plain) if plain.isascii() and plain.removeprefix("-").isdecimal() and len(plain) < 19 else value
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _number(cells: Mapping[str, Any]) -> int | None:
    value = integer(cells.get("number"))
    return value if isinstance(value, int) else None


def _id(value: Any) -> str | int | None:
    if is_empty(value):
        return None
    value = integer(value) if isinstance(value, float) else value
    return value if isinstance(value, (str, int)) and not isinstance(value, bool) else str(value)


def _score(value: Any) -> float | None:
    if is_empty(value):
        return None
    try:
        score = float(value)
    except (TypeError, ValueError):
        score = math.nan
    if not math.isfinite(score):
        raise DataError(f"a score must be a finite number, got {short(value)}")
    return score


def sentences(rows: Iterable[Cells]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the tokens and tags of each sentence, from rows that each have one token.

    The column of the sentence may be filled in the first row of a sentence only. Without one, an empty row separates sentences.
    """
    where, current = "", None
    tokens: list[Any] = []
    tags: list[Any] = []
    for place, cells in rows:
        sentence, word = cells.get("sentence"), cells.get("word")
        ends = is_empty(word) and is_empty(cells.get("tags"))
        if tokens and (ends or (not is_empty(sentence) and sentence != current)):
            yield where, {"tokens": tokens, "ner_tags": tags}
            tokens, tags = [], []
        if not is_empty(sentence):
            current = sentence
        if ends:
            continue
        where = where if tokens else place
        tokens.append("" if is_empty(word) else str(word))
        tags.append(cells.get("tags"))
    if tokens:
        yield where, {"tokens": tokens, "ner_tags": tags}
