"""Writing of CoNLL columns: a token and a BIO tag per line, and an empty line after each sentence."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence

from ie_cli.document import DOCUMENT_MARK, Document, Entity
from ie_cli.formats import kept_columns
from ie_cli.formats.common.base import (
    EDGE_WHITESPACE_LOST,
    OVERLAPS,
    RELATIONS_LOST,
    count_id_and_fields,
    count_native_only,
    count_unlocated,
)
from ie_cli.formats.common.joining import CJK_RANGES, join_as_read
from ie_cli.formats.common.tag_schemes import bio_tags, count_broken_labels

WHITESPACE_LOST = "entities that consist of whitespace are in no token"
SPLIT_WORDS = (
    "words with an entity boundary inside are split and read back with a space there; the format jsonl keeps them"
)
OTHER_WHITESPACE = "texts whose whitespace differs from that between tokens are changed; the format jsonl keeps it"
"""Descriptions of what is lost when texts become tokens."""
_TOKEN = re.compile(f"[{CJK_RANGES}]|[^\\s{CJK_RANGES}]+")


def write(document: Document) -> str:
    """Return lines of token, tab and BIO tag; tokens are words and single CJK characters, split at entity boundaries.

    One column cannot hold overlapping entities: the longer one is written. If the document keeps the lines of columns that it was
    read from, these are written with the tags.
    """
    if document.columns is not None:
        return kept_columns.write(document, document.columns)
    entities = _written(document)
    tokens = [piece for word in split_at_boundaries(document.text, entities) for piece in word]
    starts, ends = [start for start, _ in tokens], [end for _, end in tokens]
    spans = []
    for entity in entities:
        first, last = bisect_left(starts, entity.start), bisect_right(ends, entity.end) - 1
        if first <= last:
            spans.append((first, last, entity.label))
    tags = bio_tags(len(tokens), spans)
    lines = [f"{document.text[start:end]}\t{tag}\n" for (start, end), tag in zip(tokens, tags, strict=True)]
    return "".join(lines) + "\n"


def split_at_boundaries(text: str, entities: Sequence[Entity]) -> Iterator[list[tuple[int, int]]]:
    """Yield the words of a text, each split at the entity boundaries inside it."""
    cuts = sorted({boundary for entity in entities for boundary in (entity.start, entity.end)})
    for match in _TOKEN.finditer(text):
        inner = cuts[bisect_right(cuts, match.start()) : bisect_left(cuts, match.end())]
        boundaries = [match.start(), *inner, match.end()]
        yield list(zip(boundaries, boundaries[1:], strict=False))


def _written(document: Document) -> list[Entity]:
    return longest_non_overlapping([entity for entity in document.entities if not is_whitespace(document.text, entity)])


def is_whitespace(text: str, entity: Entity) -> bool:
    """Return whether an entity contains no character of any token."""
    return _TOKEN.search(text, entity.start, entity.end) is None


def has_edge_whitespace(text: str, entity: Entity) -> bool:
    """Return whether an entity starts or ends with whitespace, which is in no token."""
    return _TOKEN.match(text, entity.start) is None or _TOKEN.match(text, entity.end - 1) is None


def count_losses(document: Document) -> Mapping[str, int]:
    """Count what `write` cannot store."""
    if document.columns is not None:
        return kept_columns.count_losses(document, document.columns)
    text, entities = document.text, _written(document)
    words = list(split_at_boundaries(text, entities))
    pieces = [piece for word in words for piece in word]
    broken = sum(len(word) > 1 for word in words)
    whitespace = sum(is_whitespace(text, entity) for entity in set(document.entities))
    read_back = join_as_read([text[start:end] for start, end in pieces]) if pieces else text
    rare = {
        WHITESPACE_LOST: whitespace,
        EDGE_WHITESPACE_LOST: sum(has_edge_whitespace(text, entity) for entity in entities),
        OTHER_WHITESPACE: int(not broken and read_back != text),
        **_count_document_markers(text, pieces, entities),
    }
    return {
        f"{OVERLAPS}; the format jsonl keeps them": len(set(document.entities)) - whitespace - len(entities),
        SPLIT_WORDS: broken,
        "texts without tokens leave no sentence": int(not pieces),
        RELATIONS_LOST: len(set(document.relations)) + count_unlocated(document),
        **count_broken_labels(entity.label for entity in entities),
        **{what: count for what, count in rare.items() if count},
        **count_id_and_fields(document),
        **count_native_only(document),
    }


def _count_document_markers(text: str, pieces: Sequence[tuple[int, int]], entities: Sequence[Entity]) -> dict[str, int]:
    """Count what is lost with lines that are read as the start of a document."""
    starts = [start for start, _ in pieces if text.startswith(DOCUMENT_MARK, start)]
    return {
        f"words that start with {DOCUMENT_MARK} are read as the start of a document": len(starts),
        f"entities lose a word that starts with {DOCUMENT_MARK}": sum(
            bisect_left(starts, entity.start) < bisect_left(starts, entity.end) for entity in entities
        ),
    }


def longest_non_overlapping(entities: Sequence[Entity]) -> list[Entity]:
    """Select non-overlapping entities in text order, preferring longer ones. No entity may be empty."""
    chosen: list[Entity] = []
    occupied = bytearray(max((entity.end for entity in entities), default=0))
    for entity in sorted(set(entities), key=lambda e: (e.start - e.end, e.start, e.label)):
        # Chosen entities are at least as long, so an overlap covers the first or the last character.
        if not occupied[entity.start] and not occupied[entity.end - 1]:
            occupied[entity.start : entity.end] = b"\1" * (entity.end - entity.start)
            chosen.append(entity)
    return sorted(chosen)
