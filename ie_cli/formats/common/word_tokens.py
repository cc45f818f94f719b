"""Tokenisation of texts into words for formats with token indices, with the token spans of entities."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ie_cli.document import Document, Entity, Event, Relation
from ie_cli.formats.common.base import (
    EDGE_WHITESPACE_LOST,
    OVERLAPS,
    RELATIONS_LOST,
    UNLOCATED_TRIPLES,
    count_native_only,
    count_unlocated,
)
from ie_cli.formats.common.joining import join_as_read
from ie_cli.formats.conll_writer import (
    OTHER_WHITESPACE,
    SPLIT_WORDS,
    WHITESPACE_LOST,
    has_edge_whitespace,
    is_whitespace,
    longest_non_overlapping,
    split_at_boundaries,
)
from ie_cli.triples import ROLES, role_arguments, typed_entities_of


@dataclass(frozen=True, slots=True)
class Words:
    """A text as words and single CJK characters, split at the boundaries of entities.

    Attributes:
        tokens: the words and characters.
        spans: first and last token of each entity, except entities that consist of whitespace.
        relations: the relations whose arguments have tokens.
        edge_whitespace: number of entities that start or end with whitespace, which is in no token.
        broken: number of words that were split.
        starts: the offsets of the tokens.
    """

    tokens: list[str]
    spans: dict[Entity, tuple[int, int]]
    relations: list[Relation]
    edge_whitespace: int
    broken: int
    starts: list[int]


def split_words(document: Document) -> Words:
    """Split a text into words, with all its entities, arguments of relations included."""
    return _split(document, typed_entities_of(document))


def split_flat(document: Document) -> Words:
    """Do the same for a single tag column, which cannot hold overlaps: of overlapping entities, keep the longer one."""
    return _split(
        document,
        longest_non_overlapping([e for e in typed_entities_of(document) if not is_whitespace(document.text, e)]),
    )


def split_entities(document: Document) -> Words:
    """Split a text into words, with the entities alone, for a format without relations."""
    return _split(document, list(dict.fromkeys(document.entities)))


def split_flat_entities(document: Document) -> Words:
    """Do the same for tags, which cannot hold overlaps: of overlapping entities, keep the longer one."""
    return _split(
        document, longest_non_overlapping([e for e in document.entities if not is_whitespace(document.text, e)])
    )


def split_with_events(document: Document) -> Words:
    """Split a text into words, with its entities, arguments of relations, and triggers and arguments of events."""
    events = [entity for event in document.events for entity in event.entities]
    words = _split(document, list(dict.fromkeys([*typed_entities_of(document), *events])))
    own = [entity for entity in typed_entities_of(document) if entity in words.spans]
    return replace(words, edge_whitespace=sum(has_edge_whitespace(document.text, entity) for entity in own))


def has_exact_words(document: Document, event: Event, words: Words) -> bool:
    """Return whether an event has a trigger, and words that cover its trigger and its arguments exactly."""
    return event.trigger is not None and all(
        entity in words.spans and not has_edge_whitespace(document.text, entity) for entity in event.entities
    )


def _split(document: Document, entities: Sequence[Entity]) -> Words:
    words = list(split_at_boundaries(document.text, entities))
    pieces = [piece for word in words for piece in word]
    starts, ends = [start for start, _ in pieces], [end for _, end in pieces]
    spans = {}
    edge_whitespace = 0
    for entity in entities:
        first, last = bisect_left(starts, entity.start), bisect_right(ends, entity.end) - 1
        if first <= last:
            spans[entity] = first, last
            edge_whitespace += (starts[first], ends[last]) != (entity.start, entity.end)
    return Words(
        tokens=[document.text[start:end] for start, end in pieces],
        spans=spans,
        relations=[r for r in document.relations if r.subject in spans and r.object in spans],
        edge_whitespace=edge_whitespace,
        broken=sum(len(word) > 1 for word in words),
        starts=starts,
    )


def count_word_losses(
    document: Document, words: Words, *, written: Callable[[Relation], bool] = lambda relation: True
) -> dict[str, int]:
    """Count what is lost if an example is written as these words.

    Args:
        document: the example.
        words: its words.
        written: whether the format can write a relation whose arguments have tokens.
    """
    absent = [entity for entity in typed_entities_of(document) if entity not in words.spans]
    whitespace = sum(is_whitespace(document.text, entity) for entity in absent)
    implied = {
        (role, side.start, side.end) for r in filter(written, words.relations) for role, side in role_arguments(r)
    }
    roles = {e for e in document.entities if e.label in ROLES} - words.spans.keys() - set(absent)
    orphaned = sum((entity.label, entity.start, entity.end) not in implied for entity in roles)
    return {
        f"{OVERLAPS}; the format conll04 keeps them": len(absent) - whitespace,
        WHITESPACE_LOST: whitespace,
        EDGE_WHITESPACE_LOST: words.edge_whitespace,
        "relations are lost, because an argument is lost": len(document.relations) - len(words.relations),
        **count_changed_text(document, words),
        **({"entities labelled with the role of an argument are lost with its relation": orphaned} if orphaned else {}),
        **({UNLOCATED_TRIPLES: count} if (count := count_unlocated(document)) else {}),
        **count_native_only(document),
    }


def count_entity_losses(document: Document, words: Words) -> dict[str, int]:
    """Count what is lost if the entities of an example are written as these words, without its relations."""
    entities = set(document.entities)
    whitespace = sum(is_whitespace(document.text, entity) for entity in entities)
    return {
        f"{OVERLAPS}; the format jsonl keeps them": len(entities) - whitespace - len(words.spans),
        WHITESPACE_LOST: whitespace,
        EDGE_WHITESPACE_LOST: words.edge_whitespace,
        RELATIONS_LOST: len(set(document.relations)) + count_unlocated(document),
        **count_changed_text(document, words),
        **count_native_only(document),
    }


def count_changed_text(document: Document, words: Words) -> dict[str, int]:
    """Count the words that are split, or the text if its whitespace differs from that between tokens."""
    return {
        SPLIT_WORDS: words.broken,
        OTHER_WHITESPACE: int(not words.broken and join_as_read(words.tokens) != document.text),
    }
