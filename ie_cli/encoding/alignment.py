"""Align gold entities with tokens, and map predicted token spans back to characters.

A gold entity that no prediction can express is reported as unreachable, with the reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ie_cli.document import Entity
from ie_cli.document.trimming import is_invisible
from ie_cli.encoding.tokenizer import Tokens
from ie_cli.encoding.windows import WindowPlan

Index = npt.NDArray[np.int64]

INSIDE_TOKEN = "boundary inside a token"
WHITESPACE = "whitespace or control character at the boundary"
INSIDE_WORD = "boundary inside a word"
NO_TOKEN = "character without a token at the boundary"
TOO_LONG = "longer than a window holds"
APART = "subject and object in no common window"
NO_LABEL = "label unknown to the model"


class Boundaries:
    """The token boundaries of a text."""

    def __init__(self, text: str, tokens: Tokens) -> None:
        self.text, self.tokens = text, tokens
        self._first_at: dict[int, int] = {}
        self._last_at: dict[int, int] = {}
        for token, (start, end) in enumerate(zip(tokens.starts.tolist(), tokens.ends.tolist(), strict=True)):
            if start < end:
                self._first_at.setdefault(start, token)
                self._last_at[end] = token
        filled = tokens.starts < tokens.ends
        self._starts, self._ends = np.sort(tokens.starts[filled]), np.sort(tokens.ends[filled])

    def find(self, start: int, end: int) -> tuple[int, int] | None:
        """Return the first and last token of the characters ``start:end``, or None if these are not token boundaries."""
        first, last = self._first_at.get(start), self._last_at.get(end)
        if first is None or last is None or first > last or not self._may_bound(first, last):
            return None
        return first, last

    def _may_bound(self, first: int, last: int) -> bool:
        """Return whether a span may start and end with these tokens."""
        may_bound = self.tokens.may_bound
        return may_bound is None or bool(may_bound[0, first] and may_bound[1, last])

    def reason(self, start: int, end: int) -> str:
        """Return the reason why `find` returns None."""
        if self._cuts(start) or self._cuts(end):
            return INSIDE_TOKEN
        first, last = self._first_at.get(start), self._last_at.get(end)
        if first is not None and last is not None and not self._may_bound(first, last):
            return INSIDE_WORD
        outermost = self.text[start : start + 1] + self.text[end - 1 : end]
        return WHITESPACE if any(map(is_invisible, outermost)) else NO_TOKEN

    def _cuts(self, boundary: int) -> bool:
        """Return whether any token starts before a boundary and ends after it."""
        # Every token that ends at or before the boundary also starts before it, so more starts than ends mean a cut token.
        return bool(np.searchsorted(self._starts, boundary) > np.searchsorted(self._ends, boundary, side="right"))


@dataclass(frozen=True, slots=True)
class Alignment:
    """Gold entities as token spans: ``spans`` is int64 ``[entities, 3]`` of (label, first token, last token).

    Attributes:
        reachable: the entities of the spans.
        unreachable: the entities that no prediction can express, with the reason.
    """

    spans: Index
    reachable: list[Entity]
    unreachable: list[tuple[Entity, str]]


def align(
    text: str, entities: Iterable[Entity], tokens: Tokens, plan: WindowPlan, ids: dict[str, int] | None = None
) -> Alignment:
    """Align gold entities with tokens; entities that no prediction can express are returned with the reason.

    Args:
        text: the text.
        entities: its gold entities.
        tokens: its tokens.
        plan: the split into windows.
        ids: label -> label index; entities with any other label are unreachable. None gives every label the index 0.
    """
    boundaries = Boundaries(text, tokens)
    spans: list[tuple[int, int, int]] = []
    kept: list[Entity] = []
    unreachable: list[tuple[Entity, str]] = []
    for entity in entities:
        label = 0 if ids is None else ids.get(entity.label)
        span = boundaries.find(entity.start, entity.end)
        if label is None:
            unreachable.append((entity, NO_LABEL))
        elif span is None:
            unreachable.append((entity, boundaries.reason(entity.start, entity.end)))
        else:
            spans.append((label, *span))
            kept.append(entity)
    array = np.array(spans, dtype=np.int64).reshape(-1, 3)
    owners = plan.owners(len(tokens), array[:, 1], array[:, 2])
    unreachable.extend((entity, TOO_LONG) for entity, owner in zip(kept, owners, strict=True) if owner < 0)
    reachable = [entity for entity, owner in zip(kept, owners, strict=True) if owner >= 0]
    return Alignment(array[owners >= 0], reachable, unreachable)


def within(spans: Index, start: int, capacity: int) -> Index:
    """Return the gold spans that lie entirely in one window, relative to its first token; ``[spans, 3]``.

    A span is gold in every window that contains it, not only in the window that owns it: otherwise it would be a negative
    example in the other windows.
    """
    inside = (spans[:, 1] >= start) & (spans[:, 2] < start + capacity)
    shifted: Index = spans[inside] - np.array([0, start, start])
    return shifted


def to_entities(
    tokens: Tokens, entries: Index, scores: npt.NDArray[np.float64], labels: Sequence[str], *, flat: bool = False
) -> list[Entity]:
    """Convert predicted entries to entities, sorted by position.

    Args:
        tokens: the tokens of the text.
        entries: int64 ``[items, 3]`` of (label, first token, last token), counted from the beginning of the text; each comes
            from the window that owns the span.
        scores: probabilities ``[items]``.
        labels: the names of the labels.
        flat: remove overlaps greedily by score; a higher threshold then never adds an entity.
    """
    best: dict[tuple[int, int, int], float] = {}
    # A token of whitespace alone is empty. A span that starts or ends with one is never gold, so it is not an entity.
    filled = (tokens.starts[entries[:, 1:]] < tokens.ends[entries[:, 1:]]).all(axis=1)
    if tokens.may_bound is not None:  # for decoders that do not know the boundaries
        filled &= tokens.may_bound[0, entries[:, 1]] & tokens.may_bound[1, entries[:, 2]]
    entries, scores = entries[filled], scores[filled]
    starts, ends = tokens.starts[entries[:, 1]].tolist(), tokens.ends[entries[:, 2]].tolist()
    for label, start, end, score in zip(entries[:, 0].tolist(), starts, ends, scores.tolist(), strict=True):
        # Tokens that share a character (byte-level BPE) can yield the same span twice.
        if score > best.get((start, end, label), -1.0):
            best[start, end, label] = score
    entities = [Entity(start, end, labels[label], score) for (start, end, label), score in best.items()]
    return sorted(without_overlaps(entities) if flat else entities)


def without_overlaps(entities: Iterable[Entity]) -> list[Entity]:
    """Select entities that share no character, greedily by score; ties go to the earlier, then to the longer entity."""
    taken: set[int] = set()
    chosen = []
    for entity in sorted(entities, key=lambda e: (-(e.score or 0.0), e.start, -e.end, e.label)):
        characters = range(entity.start, entity.end)
        if taken.isdisjoint(characters):
            taken.update(characters)
            chosen.append(entity)
    return chosen
