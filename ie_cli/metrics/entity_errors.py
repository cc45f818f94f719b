"""Errors of entities by kind, with examples.

Every gold entity and every prediction is counted exactly once:

    gold      = correct + label + boundary + both + missed
    predicted = correct + label + boundary + both + invented

`label`: same span, other label. `boundary`: overlapping span, same label. `both`: overlapping span, other label. A gold
entity and a prediction are paired at most once, best overlap first, so that one error is not counted twice.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Generic, Protocol, TypeVar

from ie_cli.document import Document, Entity
from ie_cli.metrics.pairing import (
    MAX_PAIRS,
    count_overlapping,
    groups_of_both,
    one_to_one,
    overlapping,
    truncated_notes,
)
from ie_cli.metrics.scores import ErrorRecord

KINDS = {
    "label": "wrong label",
    "boundary": "wrong boundary",
    "both": "wrong boundary and label",
    "missed": "missed",
    "invented": "invented",
}
"""The kinds and their descriptions, in the order in which they are shown."""
_CONTEXT = 60  # characters on each side of a span in an excerpt


class _Kind(Protocol):
    @property
    def kind(self) -> str: ...


_Case = TypeVar("_Case", bound=_Kind)


def describe(
    document: Document,
    around: tuple[int, int],
    sides: tuple[str | None, str | None],
    context: int,
    widest: int | None = None,
) -> str:
    """Return one line with the place, the text around a span, and what gold and prediction have there.

    Args:
        document: the document.
        around: start and end of the span.
        sides: what gold and prediction have.
        context: the number of characters on each side of the span.
        widest: the maximum number of characters of text; the middle of a longer text is omitted.
    """
    text, (start, end) = document.text, around
    left = "…" if start > context else ""
    right = "…" if end + context < len(text) else ""
    excerpt = left + text[max(0, start - context) : end + context].replace("\n", "⏎") + right
    if widest is not None and len(excerpt) > widest:
        excerpt = f"{excerpt[: widest // 2]} … {excerpt[-(widest // 2) :]}"
    gold, predicted = (side or "nothing" for side in sides)
    return f"{document.where or document.id or ''}: {excerpt}; gold {gold}; predicted {predicted}"


def excerpt(text: str, spans: Sequence[tuple[int, int]]) -> tuple[str, list[tuple[int, int]]]:
    """Return the text around some spans, without the text far from all of them, and the spans' positions in it.

    >>> excerpt("x" * 100 + "Anna" + "x" * 400 + "Bob", [(100, 104), (504, 507)])[1]
    [(61, 65), (188, 191)]
    """
    windows: list[tuple[int, int]] = []
    for start, end in sorted(spans) or [(0, 0)]:
        left, right = max(0, start - _CONTEXT), min(len(text), end + _CONTEXT)
        if windows and left <= windows[-1][1]:
            before = windows.pop()
            left, right = before[0], max(before[1], right)
        windows.append((left, right))
    shown = "…" if windows[0][0] else ""
    moved: dict[tuple[int, int], int] = {}
    for number, (left, right) in enumerate(windows):
        shown += " … " if number else ""
        moved |= {span: len(shown) - left for span in spans if left <= span[0] and span[1] <= right}
        shown += text[left:right]
    shown += "…" if windows[-1][1] < len(text) else ""
    return shown, [(start + moved[start, end], end + moved[start, end]) for start, end in spans]


def record(
    kind: str,
    document: Document,
    line: str,
    sides: tuple[str | None, str | None],
    spans: tuple[Sequence[tuple[int, int]], Sequence[tuple[int, int]]],
) -> ErrorRecord:
    """Return an error as plain values.

    Args:
        kind: the kind of error.
        document: the document.
        line: the error as one line of text.
        sides: what gold and prediction have.
        spans: where this is in the text, for gold and for prediction.
    """
    text, places = excerpt(document.text, [*spans[0], *spans[1]])
    where = document.id if document.where is None else document.where
    names = ["gold"] * len(spans[0]) + ["predicted"] * len(spans[1])
    return ErrorRecord(
        kind=kind,
        where="" if where is None else str(where),
        line=line,
        text=text,
        gold=sides[0],
        predicted=sides[1],
        marks=tuple((start, end, name) for (start, end), name in zip(places, names, strict=True)),
    )


@dataclass(frozen=True, slots=True)
class ErrorCase:
    """One error: the gold entity, the predicted entity (None if there is none), and the document."""

    kind: str
    document: Document
    gold: Entity | None
    predicted: Entity | None

    def describe(self, context: int = 12) -> str:
        """Describe the error: ``data.jsonl:7: …Anna met Bob…; gold 'Anna' name; predicted nothing``."""
        spans = [entity for entity in (self.gold, self.predicted) if entity is not None]
        around = min(e.start for e in spans), max(e.end for e in spans)
        return describe(self.document, around, (self._side(self.gold), self._side(self.predicted)), context)

    def record(self) -> ErrorRecord:
        """Return the error as plain values."""
        spans = [[(side.start, side.end)] if side is not None else [] for side in (self.gold, self.predicted)]
        sides = self._side(self.gold), self._side(self.predicted)
        return record(self.kind, self.document, self.describe(), sides, (spans[0], spans[1]))

    def _side(self, entity: Entity | None) -> str | None:
        if entity is None:
            return None
        return f"{self.document.text[entity.start : entity.end]!r} {entity.label}"


@dataclass(slots=True)
class Sampled(Generic[_Case]):
    """The counts of all errors and a uniform sample of each kind.

    Attributes:
        keep: the number of examples per kind; every error of a kind has the same probability of being one of them.
        truncated: the number of documents whose overlapping errors exceeded the limit.
    """

    paired_items: ClassVar[str]
    """What is still paired in such a document."""

    keep: int = 3
    counts: Counter[str] = field(default_factory=Counter)
    samples: dict[str, list[_Case]] = field(default_factory=dict)
    confusions: Counter[tuple[str, str]] = field(default_factory=Counter)
    truncated: int = 0
    _random: random.Random = field(default_factory=lambda: random.Random(0))

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks on the counts."""
        return truncated_notes(self.truncated, self.paired_items)

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

    kinds: ClassVar[Mapping[str, str]] = KINDS
    paired_items: ClassVar[str] = "entities with the same span"

    def add(self, gold: Document, predicted: Document) -> None:
        """Count the errors of one document by kind."""
        cases, correct, truncated = entity_cases(gold, predicted)
        self.counts["correct"] += correct
        self.truncated += truncated
        for case in cases:
            self._note(case)
            if case.gold is not None and case.predicted is not None and case.gold.label != case.predicted.label:
                self.confusions[case.gold.label, case.predicted.label] += 1


def entity_cases(gold: Document, predicted: Document) -> tuple[list[ErrorCase], int, bool]:
    """Return the errors of one document, the number of correct entities, and whether too many errors overlap to pair all."""
    truth, guess = set(gold.entities), set(predicted.entities)
    missed, invented = truth - guess, guess - truth
    pairs, truncated = _pairs(missed, invented)
    cases = []
    for a, b in pairs:
        missed.remove(a)
        invented.remove(b)
        same = (a.start, a.end) == (b.start, b.end)
        cases.append(ErrorCase("label" if same else "boundary" if a.label == b.label else "both", gold, a, b))
    cases += [ErrorCase("missed", gold, entity, None) for entity in sorted(missed)]
    cases += [ErrorCase("invented", gold, None, entity) for entity in sorted(invented)]
    return cases, len(truth & guess), truncated


def _pairs(missed: set[Entity], invented: set[Entity]) -> tuple[list[tuple[Entity, Entity]], bool]:
    """Return one-to-one pairs that overlap: the largest intersection over union first, then the same label.

    The second value is true if too many pairs overlap: then only entities of the same span are paired, in order.
    """
    sides = [
        [(entity.start, entity.end) for entity in side if entity.start < entity.end] for side in (missed, invented)
    ]
    if count_overlapping(*sides) > MAX_PAIRS:
        groups = groups_of_both(sorted(missed), sorted(invented), lambda entity: (entity.start, entity.end))
        return [pair for some, others in groups for pair in zip(some, others, strict=False)], True
    candidates = []
    for a, b in overlapping(missed, invented, lambda entity: (entity.start, entity.end)):
        shared = min(a.end, b.end) - max(a.start, b.start)
        union = max(a.end, b.end) - min(a.start, b.start)
        candidates.append(((-shared / union, a.label != b.label), a, b))
    return one_to_one(candidates), False
