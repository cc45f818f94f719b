"""Writing of a document that was read from columns: the same tokens and columns, with the tags of its entities.

The tags replace those of the columns that were read as tags. A prediction has none: its tags follow as an additional last column.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ie_cli.document import DOCUMENT_MARK, ColumnRows, Document
from ie_cli.formats.common.base import (
    EDGE_WHITESPACE_LOST,
    OVERLAPS,
    RELATIONS_LOST,
    count_id_and_fields,
    count_native_only,
    count_unlocated,
)
from ie_cli.formats.common.tag_schemes import OUTSIDE, Span, bio_tags, count_broken_labels, spans_of

WIDENED = "entities with a boundary inside a token are widened to the whole token; the format jsonl keeps them"
WITHOUT_TOKEN = "entities that contain no token are lost"
ADDED = "prediction"
"""The name of the additional column, if the columns have names."""
_BREAK = re.compile(r"[\t\n\r]")
_SPACES = re.compile(" +")


def rows_of(tokens: Sequence[str], starts: Sequence[int]) -> ColumnRows | None:
    """Return the tokens of another format as columns; None if columns cannot hold them as they are."""
    if not tokens or any(
        _BREAK.search(token) or not token.strip() or token.startswith(DOCUMENT_MARK) for token in tokens
    ):
        return None
    spans = tuple((start, start + len(token)) for start, token in zip(starts, tokens, strict=True))
    return ColumnRows(spans, tuple((token,) for token in tokens), 0, (), "\t")


@dataclass(frozen=True, slots=True)
class _Tagged:
    """The spans of tokens that each tag column gets, and what they cannot express."""

    layers: list[list[Span]]
    widened: int
    trimmed: int
    overlapping: int
    without_token: int


def write(document: Document, columns: ColumnRows) -> str:
    """Return the lines of the document, and an empty line."""
    layers = [_tags(spans, columns) for spans in _tagged(document, columns).layers]
    lines = [_before(line, columns) for line in columns.before]
    for number, row in enumerate(columns.rows):
        cells = list(row)
        if not columns.label_columns:
            cells.append(layers[0][number])
        for column, tags in zip(columns.label_columns, layers, strict=False):
            cells[column] = tags[number]
        lines.append(columns.separator.join(cells) + "\n")
    return "".join(lines) + "\n"


def _before(line: str, columns: ColumnRows) -> str:
    """Return a line without a token; a header and a mark of the start of a document have the columns of a token."""
    if line.startswith("#"):
        return f"{line}\n"
    is_mark = line.startswith(DOCUMENT_MARK)
    added = "" if columns.label_columns else columns.separator + (OUTSIDE if is_mark else ADDED)
    return line + added + ("\n\n" if is_mark else "\n")


def _tags(spans: Sequence[Span], columns: ColumnRows) -> list[str]:
    if columns.separator != "\t":
        spans = [(first, last, _SPACES.sub("_", label)) for first, last, label in spans]
    return bio_tags(len(columns.rows), spans)


def _tagged(document: Document, columns: ColumnRows) -> _Tagged:
    """Assign the entities to the tag columns: to the one that they were read from, otherwise to the first with room."""
    starts, ends = [start for start, _ in columns.spans], [end for _, end in columns.spans]
    entities = set(document.entities)
    places: dict[Span, int] = {}  # of entities that are equal in tokens, one is written
    widened = trimmed = without_token = 0
    for entity in sorted(entities):
        first, last = bisect_right(ends, entity.start), bisect_left(starts, entity.end) - 1
        if first > last:
            without_token += 1
            continue
        widened += starts[first] < entity.start or ends[last] > entity.end
        trimmed += starts[first] > entity.start or ends[last] < entity.end
        places.setdefault((first, last, entity.label), last - first)
    given = [set(_given_spans(columns, column)) for column in columns.label_columns] or [set[Span]()]
    layers: list[list[Span]] = [[] for _ in given]
    occupied = [bytearray(len(columns.rows)) for _ in given]
    # Longer ones first: those chosen are at least as long, so an overlap covers the first or the last token.
    for span in sorted(places, key=lambda span: (span[0] - span[1], span)):
        first, last, _ = span
        room = [n for n, taken in enumerate(occupied) if not taken[first] and not taken[last]]
        for n in sorted(room, key=lambda n: span not in given[n])[:1]:
            occupied[n][first : last + 1] = b"\1" * (last + 1 - first)
            layers[n].append(span)
    written = sum(map(len, layers))
    return _Tagged(layers, widened, trimmed, len(entities) - without_token - written, without_token)


def _given_spans(columns: ColumnRows, column: int) -> list[Span]:
    return spans_of([row[column] for row in columns.rows])[0]


def count_losses(document: Document, columns: ColumnRows) -> Mapping[str, int]:
    """Count what `write` cannot store."""
    tagged = _tagged(document, columns)
    labels = [label for layer in tagged.layers for _, _, label in layer]
    spaced = sum(" " in label for label in labels) if columns.separator != "\t" else 0
    width = max(map(len, columns.rows))
    rare = {
        EDGE_WHITESPACE_LOST: tagged.trimmed,
        WITHOUT_TOKEN: tagged.without_token,
        "labels that contain a space get _ instead, because a space separates the columns": spaced,
        "lines with fewer columns than others get their tag in an earlier column": (
            0 if columns.label_columns else sum(len(row) < width for row in columns.rows)
        ),
    }
    return {
        f"{OVERLAPS}; the format jsonl keeps them": tagged.overlapping,
        WIDENED: tagged.widened,
        RELATIONS_LOST: len(set(document.relations)) + count_unlocated(document),
        **count_broken_labels(labels),
        **{what: count for what, count in rare.items() if count},
        **count_id_and_fields(document),
        **count_native_only(document),
    }
