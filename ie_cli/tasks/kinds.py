"""The kinds of annotation that tasks count, and how they are spoken of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of annotation.

    Attributes:
        items: what several of them are called; also the key under which they are counted.
        name, names: what says which one an item is: a label, a predicate.
        spans: the items are entities: spans of the text.
        name_of: the name of an item.
        show: an item in a message, given its text.
    """

    items: str
    name: str
    names: str
    spans: bool = False
    name_of: Callable[[Any], str]
    show: Callable[[str, Any], str]


def _show_entity(text: str, entity: Any) -> str:
    mention, around = text[entity.start : entity.end], text[max(0, entity.start - 5) : entity.end + 5]
    return f"{entity.label} {mention!r} in {around!r}"


ENTITIES = Kind(
    items="entities",
    name="label",
    names="labels",
    spans=True,
    name_of=lambda entity: str(entity.label),
    show=_show_entity,
)
RELATIONS = Kind(
    items="relations",
    name="predicate",
    names="predicates",
    name_of=lambda triple: str(triple[1]),
    show=lambda text, triple: " | ".join(triple),
)
"""Triples of texts."""
