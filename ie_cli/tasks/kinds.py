"""The kinds of annotation that tasks count, and the words for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from ie_cli.data.label_schema import LabelSchema
from ie_cli.document import Document
from ie_cli.errors import counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of annotation.

    Attributes:
        item: the word for one item.
        items: the word for several items; also the key under which they are counted.
        name, names: the word for the name of an item: a label, a predicate.
        spans: whether the items are entities, i.e. spans of the text.
        name_of: returns the name of an item.
        show: formats an item for a message, given its text.
    """

    item: str
    items: str
    name: str
    names: str
    spans: bool = False
    name_of: Callable[[Any], str]
    show: Callable[[str, Any], str]

    def noun(self, number: int) -> str:
        """Return the word for this number of items."""
        return self.item if number == 1 else self.items


def describe_entities(counts: Mapping[str, int], schema: LabelSchema) -> str:
    """Return the number of entities and labels, e.g. ``2,097 entities with 6 labels``."""
    return f"{counted(counts['entities'], 'entity', 'entities')} with {counted(len(schema.labels), 'label')}"


def _show_entity(text: str, entity: Any) -> str:
    mention, around = text[entity.start : entity.end], text[max(0, entity.start - 5) : entity.end + 5]
    return f"{entity.label} {mention!r} in {around!r}"


ENTITIES = Kind(
    item="entity",
    items="entities",
    name="label",
    names="labels",
    spans=True,
    name_of=lambda entity: str(entity.label),
    show=_show_entity,
)
RELATIONS = Kind(
    item="relation",
    items="relations",
    name="predicate",
    names="predicates",
    name_of=lambda triple: str(triple[1]),
    show=lambda text, triple: " | ".join(triple),
)
"""Triples of texts."""


class Pair(NamedTuple):
    """A pair of texts, and its class or its score."""

    text: str
    text_pair: str
    label: str | None
    score: float | None


GRADED = "graded"
"""The name under which all pairs with a score instead of a class are counted."""


def pair_of(document: Document) -> Pair | None:
    """Return the annotated pair of a document, or None; a pair with a class has no score, which may be that of a model."""
    if document.text_pair is None or (document.label is None and document.score is None):
        return None
    return Pair(document.text, document.text_pair, document.label, document.score if document.label is None else None)


def _show_pair(text: str, pair: Pair) -> str:
    gold = f"{pair.score:g}" if pair.label is None else pair.label
    return f"{gold} {text[:40]!r} and {pair.text_pair[:40]!r}"


PAIRS = Kind(
    item="pair",
    items="pairs",
    name="label",
    names="labels",
    name_of=lambda pair: GRADED if pair.label is None else pair.label,
    show=_show_pair,
)
