"""Errors sorted by kind, with examples.

Every gold entity and every prediction belongs to exactly one place:

    gold      = correct + label + boundary + both + missed
    predicted = correct + label + boundary + both + invented

`label`: same span, other label. `boundary`: overlapping span, same label. `both`: overlapping span, other label. A gold
entity and a prediction are paired at most once, best overlap first, so that one slip counts as one error.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from ie_cli.document import Document, Entity

KINDS = ("label", "boundary", "both", "missed", "invented")


class _Kind(Protocol):
    @property
    def kind(self) -> str: ...


class _Ordered(Protocol):
    def __lt__(self, other: Any, /) -> bool: ...


_Case = TypeVar("_Case", bound=_Kind)
_Item = TypeVar("_Item", bound=_Ordered)


def describe(
    document: Document,
    around: tuple[int, int],
    sides: tuple[str | None, str | None],
    context: int,
    widest: int | None = None,
) -> str:
    """The place, the text around a span of it, and what gold and prediction have there.

    Args:
        widest: characters of text to show at most; the middle is left out.
    """
    text, (start, end) = document.text, around
    left = "…" if start > context else ""
    right = "…" if end + context < len(text) else ""
    excerpt = left + text[max(0, start - context) : end + context].replace("\n", "⏎") + right
    if widest is not None and len(excerpt) > widest:
        excerpt = f"{excerpt[: widest // 2]} … {excerpt[-(widest // 2) :]}"
    gold, predicted = (side or "nothing" for side in sides)
    return f"{document.where or document.id or ''}: {excerpt}; gold {gold}; predicted {predicted}"


@dataclass(frozen=True, slots=True)
class ErrorCase:
    """One error: what gold has, what was predicted (None where there is nothing), and where."""

    kind: str
    document: Document
    gold: Entity | None
    predicted: Entity | None

    def describe(self, context: int = 12) -> str:
        """``data.jsonl:7: …Anna met Bob…; gold 'Anna' name; predicted nothing``."""
        spans = [entity for entity in (self.gold, self.predicted) if entity is not None]
        around = min(e.start for e in spans), max(e.end for e in spans)
        return describe(self.document, around, (self._side(self.gold), self._side(self.predicted)), context)

    def _side(self, entity: Entity | None) -> str | None:
        if entity is None:
            return None
        return f"{self.document.text[entity.start : entity.end]!r} {entity.label}"


@dataclass(slots=True)
class Sampled(Generic[_Case]):
    """Counts of all errors and a fair sample of each kind.

    Attributes:
        keep: examples per kind; every error of a kind has the same chance to be among them.
    """

    keep: int = 3
    counts: Counter[str] = field(default_factory=Counter)
    samples: dict[str, list[_Case]] = field(default_factory=dict)
    confusions: Counter[tuple[str, str]] = field(default_factory=Counter)
    _random: random.Random = field(default_factory=lambda: random.Random(0))

    def _note(self, case: _Case) -> None:
        self.counts[case.kind] += 1
        sample = self.samples.setdefault(case.kind, [])
        if len(sample) < self.keep:
            sample.append(case)
        elif (place := self._random.randrange(self.counts[case.kind])) < self.keep:
            sample[place] = case


@dataclass(slots=True)
class EntityErrors(Sampled[ErrorCase]):
    """The errors of entities."""

    def add(self, gold: Document, predicted: Document) -> None:
        """Sort the errors of one document."""
        truth, guess = set(gold.entities), set(predicted.entities)
        self.counts["correct"] += len(truth & guess)
        missed, invented = truth - guess, guess - truth
        for a, b in _pairs(missed, invented):
            missed.remove(a)
            invented.remove(b)
            same = (a.start, a.end) == (b.start, b.end)
            self._note(ErrorCase("label" if same else "boundary" if a.label == b.label else "both", gold, a, b))
            if a.label != b.label:
                self.confusions[a.label, b.label] += 1
        for entity in sorted(missed):
            self._note(ErrorCase("missed", gold, entity, None))
        for entity in sorted(invented):
            self._note(ErrorCase("invented", gold, None, entity))


def one_to_one(candidates: Iterable[tuple[tuple[float, ...], _Item, _Item]]) -> list[tuple[_Item, _Item]]:
    """Take (rank, gold, predicted) by rank, the lowest first, each item once; equal ranks by the items' own order."""
    pairs = []
    taken: set[tuple[bool, _Item]] = set()
    for _, a, b in sorted(candidates):
        if (True, a) not in taken and (False, b) not in taken:
            taken |= {(True, a), (False, b)}
            pairs.append((a, b))
    return pairs


def _pairs(missed: set[Entity], invented: set[Entity]) -> list[tuple[Entity, Entity]]:
    """One-to-one pairs that overlap: the largest share of the union first, the same label before another."""
    candidates = []
    for a in missed:
        for b in invented:
            shared = min(a.end, b.end) - max(a.start, b.start)
            if shared > 0:
                union = max(a.end, b.end) - min(a.start, b.start)
                candidates.append(((-shared / union, a.label != b.label), a, b))
    return one_to_one(candidates)
