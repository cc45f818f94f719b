"""Gold entities to spans of tokens, and predicted spans back to characters; what cannot be had, with its reason."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ie_cli.document import Entity
from ie_cli.encoding.tokenizer import Tokens
from ie_cli.encoding.windows import WindowPlan

Index = npt.NDArray[np.int64]

INSIDE_TOKEN = "boundary inside a token"
WHITE_SPACE = "white space or control character at the boundary"
TOO_LONG = "longer than a window holds"
APART = "subject and object in no common window"
NO_LABEL = "label unknown to the model"


class Boundaries:
    """Where the tokens of a text begin and end."""

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
        """First and last token of the characters ``start:end``, None where these are no boundaries of tokens."""
        first, last = self._first_at.get(start), self._last_at.get(end)
        return None if first is None or last is None or first > last else (first, last)

    def reason(self, start: int, end: int) -> str:
        """Why there are no such tokens."""
        return INSIDE_TOKEN if self._cuts(start) or self._cuts(end) else WHITE_SPACE

    def _cuts(self, boundary: int) -> bool:
        """Say whether some token begins before a boundary and ends behind it."""
        # Each token that ends there or before has begun before, too: more have begun than have ended.
        return bool(np.searchsorted(self._starts, boundary) > np.searchsorted(self._ends, boundary, side="right"))


@dataclass(frozen=True, slots=True)
class Alignment:
    """Gold entities on tokens: ``spans`` int64 ``[entities, 3]`` of (row, first, last token), and what cannot be had."""

    spans: Index
    unreachable: list[tuple[Entity, str]]


def align(
    text: str, entities: Iterable[Entity], tokens: Tokens, plan: WindowPlan, ids: dict[str, int] | None = None
) -> Alignment:
    """Put gold entities on tokens; what no prediction could ever return comes back with its reason.

    Args:
        ids: label -> row; labels that are missing here are unreachable. None numbers every label 0.
    """
    boundaries = Boundaries(text, tokens)
    spans: list[tuple[int, int, int]] = []
    kept: list[Entity] = []
    unreachable: list[tuple[Entity, str]] = []
    for entity in entities:
        row = 0 if ids is None else ids.get(entity.label)
        place = boundaries.find(entity.start, entity.end)
        if row is None:
            unreachable.append((entity, NO_LABEL))
        elif place is None:
            unreachable.append((entity, boundaries.reason(entity.start, entity.end)))
        else:
            spans.append((row, *place))
            kept.append(entity)
    array = np.array(spans, dtype=np.int64).reshape(-1, 3)
    owners = plan.owners(len(tokens), array[:, 1], array[:, 2])
    unreachable.extend((entity, TOO_LONG) for entity, owner in zip(kept, owners, strict=True) if owner < 0)
    return Alignment(array[owners >= 0], unreachable)


def within(spans: Index, start: int, capacity: int) -> Index:
    """Keep the gold spans that lie whole in one window, counted from its first token; ``[spans, 3]``.

    A span is gold in every window that holds it, not only in the one that judges it: elsewhere it would be taught
    as a negative.
    """
    inside = (spans[:, 1] >= start) & (spans[:, 2] < start + capacity)
    moved: Index = spans[inside] - np.array([0, start, start])
    return moved


def to_entities(
    tokens: Tokens, cells: Index, scores: npt.NDArray[np.float64], labels: Sequence[str], *, flat: bool = False
) -> list[Entity]:
    """Turn predicted cells into entities, sorted by place.

    Args:
        cells: int64 ``[items, 3]`` of (row, first, last token) in the whole text, each judged by its own window.
        scores: probabilities ``[items]``.
        flat: keep no overlaps, greedily by score; a higher threshold then never adds an entity.
    """
    best: dict[tuple[int, int, int], float] = {}
    # A token of white space alone is empty: what begins or ends with it is no entity, as it is never gold.
    filled = (tokens.starts[cells[:, 1:]] < tokens.ends[cells[:, 1:]]).all(axis=1)
    cells, scores = cells[filled], scores[filled]
    starts, ends = tokens.starts[cells[:, 1]].tolist(), tokens.ends[cells[:, 2]].tolist()
    for row, start, end, score in zip(cells[:, 0].tolist(), starts, ends, scores.tolist(), strict=True):
        # Tokens that share a character (byte-level BPE) can give one span twice.
        if score > best.get((start, end, row), -1.0):
            best[start, end, row] = score
    entities = [Entity(start, end, labels[row], score) for (start, end, row), score in best.items()]
    return sorted(without_overlaps(entities) if flat else entities)


def without_overlaps(entities: Iterable[Entity]) -> list[Entity]:
    """Choose entities that share no character, greedily by score; ties go to the earlier, then the longer one."""
    taken: set[int] = set()
    chosen = []
    for entity in sorted(entities, key=lambda e: (-(e.score or 0.0), e.start, -e.end, e.label)):
        characters = range(entity.start, entity.end)
        if taken.isdisjoint(characters):
            taken.update(characters)
            chosen.append(entity)
    return chosen
