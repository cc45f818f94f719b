"""Short descriptions of documents and annotations for a terminal; fields with their default values are left out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ie_cli.document import Document, Entity, Relation

_CHARACTERS = 60
_ITEMS = 3


def of_entity(entity: Entity) -> str:
    """Return start, end, label, text and score."""
    parts = [f"{entity.start}, {entity.end}, {entity.label!r}"]
    if entity.document_text is not None:
        parts.append(f"text={shortened(entity.document_text[entity.start : entity.end])}")
    return f"Entity({', '.join(parts)}{_score(entity.score)})"


def of_relation(relation: Relation) -> str:
    """Return subject, predicate, object and score."""
    return f"Relation({relation.subject!r}, {relation.predicate!r}, {relation.object!r}{_score(relation.score)})"


def of_document(document: Document) -> str:
    """Return the beginning of the text, and the first annotations of each kind."""
    parts = [shortened(document.text)]
    for name in ("id", "text_pair", "label", "score", "where"):
        if (value := getattr(document, name)) is not None:
            parts.append(f"{name}={shortened(value) if isinstance(value, str) else repr(value)}")
    for name in ("entities", "relations", "events", "spos"):
        if items := getattr(document, name):
            parts.append(f"{name}={_listed(items)}")
    if document.meta:
        parts.append(f"meta={{{', '.join(map(repr, document.meta))}}}")
    return f"Document({', '.join(parts)})"


def shortened(text: str) -> str:
    """Return a text in quotes, at most its first characters."""
    return repr(text if len(text) <= _CHARACTERS else text[: _CHARACTERS - 1] + "…")


def _listed(items: Sequence[Any]) -> str:
    more = [f"… {len(items) - _ITEMS} more"] if len(items) > _ITEMS else []
    return f"[{', '.join([*map(repr, items[:_ITEMS]), *more])}]"


def _score(score: float | None) -> str:
    return "" if score is None else f", score={score!r}"
