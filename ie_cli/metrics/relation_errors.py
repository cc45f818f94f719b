"""Errors of relations by kind, with examples.

Every gold triple and every prediction is counted exactly once:

    gold      = correct + predicate + type + boundary + missed
    predicted = correct + predicate + type + boundary + invented

`predicate`: same two arguments, other predicate. `type`: same arguments and predicate, other labels (if these are compared).
`boundary`: same predicate, both arguments overlap, not all boundaries are right. A gold triple and a prediction are paired at
most once, best overlap first.

Arguments are spans or, without offsets, texts. The overlap of spans is the intersection over union of their characters; that
of texts uses their longest common substring as intersection, if it is at least half as long as the shorter text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, product
from typing import ClassVar, cast

from ie_cli.document import Document, Spo
from ie_cli.metrics.entity_errors import Sampled, describe, record
from ie_cli.metrics.pairing import (
    MAX_CHARACTERS,
    MAX_PAIRS,
    count_overlapping,
    groups_of_both,
    one_to_one,
    overlapping,
)
from ie_cli.metrics.relations import Argument, Item, Match, items, mention, with_text
from ie_cli.metrics.scores import ErrorRecord
from ie_cli.triples import Span, locate

RELATION_KINDS = {
    "predicate": "wrong predicate",
    "type": "wrong type",
    "boundary": "wrong boundary",
    "missed": "missed",
    "invented": "invented",
}
"""The kinds and their descriptions, in the order in which they are shown."""
_WIDEST = 120  # characters of text in a description: arguments may be pages apart


@dataclass(frozen=True, slots=True)
class RelationErrorCase:
    """One error: the gold triple, the predicted triple (None if there is none), and the document."""

    kind: str
    document: Document
    gold: Item | None
    predicted: Item | None

    def describe(self, context: int = 12) -> str:
        """Describe the error: ``d:7: …Ann left Acme…; gold (Ann, works_for, Acme); predicted (Ann, lives_in, Acme)``."""
        spans = [span for item in (self.gold, self.predicted) if item is not None for span in self._spans(item)]
        spans = spans or [(0, len(self.document.text))]  # texts that do not occur
        around = min(start for start, _ in spans), max(end for _, end in spans)
        return describe(self.document, around, (self._side(self.gold), self._side(self.predicted)), context, _WIDEST)

    def record(self) -> ErrorRecord:
        """Return the error as plain values; arguments that do not occur in the text have no marks."""
        spans = [self._spans(item) if item is not None else [] for item in (self.gold, self.predicted)]
        sides = self._side(self.gold), self._side(self.predicted)
        return record(self.kind, self.document, self.describe(), sides, (spans[0], spans[1]))

    def _spans(self, item: Item) -> list[Span]:
        if not isinstance(item.subject, str) and not isinstance(item.object, str):
            return [item.subject, item.object]
        triple = Spo(*item.triple(self.document.text))
        found = locate(self.document.text, [triple], "nearest").relations
        return [(entity.start, entity.end) for r in found for entity in (r.subject, r.object)]

    def _side(self, item: Item | None) -> str | None:
        if item is None:
            return None
        arguments = [mention(self.document.text, argument) for argument in (item.subject, item.object)]
        if self.kind == "type":
            arguments = [f"{text} {label}" for text, label in zip(arguments, item.labels, strict=True)]
        return f"({arguments[0]}, {item.predicate}, {arguments[1]})".replace("\n", "⏎")


@dataclass(slots=True)
class RelationErrors(Sampled[RelationErrorCase]):
    """The errors of relations.

    Attributes:
        match: how triples are compared; always by text if offsets are guessed. None is strict.
        confusions: (gold, predicted) predicates of the same two arguments.
    """

    kinds: ClassVar[Mapping[str, str]] = RELATION_KINDS
    paired_items: ClassVar[str] = "triples with the same two arguments"
    match: Match | None = None

    def add(self, gold: Document, predicted: Document) -> None:
        """Count the errors of one document by kind."""
        cases, correct, truncated = relation_cases(gold, predicted, self.match)
        self.counts["correct"] += correct
        self.truncated += truncated
        for case in cases:
            self._note(case)
            if case.kind == "predicate" and case.gold is not None and case.predicted is not None:
                self.confusions[case.gold.predicate, case.predicted.predicate] += 1


def relation_cases(
    gold: Document, predicted: Document, match: Match | None = None
) -> tuple[list[RelationErrorCase], int, bool]:
    """Return the errors of one document, the number of correct triples, and whether too many errors overlap to pair all."""
    predicted = with_text(predicted, gold.text)
    guessed = gold.spos is not None or predicted.spos is not None
    criterion: Match = "text" if guessed else match or "strict"
    truth, guess = items(gold, criterion), items(predicted, criterion)
    missed, invented = truth - guess, guess - truth
    pairs, truncated = _pairs(missed, invented)
    cases = []
    for a, b in pairs:
        missed.remove(a)
        invented.remove(b)
        cases.append(RelationErrorCase(_kind(a, b), gold, a, b))
    cases += [RelationErrorCase("missed", gold, item, None) for item in sorted(missed)]
    cases += [RelationErrorCase("invented", gold, None, item) for item in sorted(invented)]
    return cases, len(truth & guess), truncated


def _kind(gold: Item, predicted: Item) -> str:
    if gold.predicate != predicted.predicate:
        return "predicate"
    return "type" if _same_arguments(gold, predicted) else "boundary"


def _pairs(missed: set[Item], invented: set[Item]) -> tuple[list[tuple[Item, Item]], bool]:
    """Return one-to-one pairs that form one error: the largest overlap first, then the same predicate and labels.

    The second value is true if too many pairs overlap: then only triples of the same arguments are paired.
    """
    same_arguments = groups_of_both(missed, invented, _arguments)
    same_predicate = groups_of_both(missed, invented, lambda item: item.predicate)
    truncated = (
        _exceeds_limit(same_predicate) or sum(len(some) * len(others) for some, others in same_arguments) > MAX_PAIRS
    )
    candidates = []
    if truncated:  # for each pair of arguments, pair the items of both sides in order
        found: Iterable[tuple[Item, Item]] = chain.from_iterable(
            zip(sorted(some), sorted(others), strict=False) for some, others in same_arguments
        )
    else:
        found = dict.fromkeys(
            chain(
                (pair for some, others in same_arguments for pair in product(some, others)),
                (pair for some, others in same_predicate for pair in _may_overlap(some, others)),
            )
        )
    for a, b in found:
        share = _share(a.subject, b.subject) * _share(a.object, b.object)
        if share > 0:
            candidates.append(((-share, a.predicate != b.predicate, a.labels != b.labels), a, b))
    return one_to_one(candidates), truncated


def _arguments(item: Item) -> tuple[Argument, Argument]:
    return item.subject, item.object


_SIDES: tuple[Callable[[Item], Argument], ...] = (lambda item: item.subject, lambda item: item.object)


def _exceeds_limit(groups: Iterable[tuple[Sequence[Item], Sequence[Item]]]) -> bool:
    """Return whether the pairs that may overlap, over all predicates, exceed the limit for one document."""
    pairs = characters = 0
    for some, others in groups:
        if any(isinstance(argument, str) for argument in _arguments(some[0])):
            lengths = [
                sum(len(mention("", side(item))) for item in items for side in _SIDES) for items in (some, others)
            ]
            characters += len(others) * lengths[0] + len(some) * lengths[1]
        else:
            pairs += min(count for count, _ in _counts(some, others))
    return pairs > MAX_PAIRS or characters > MAX_CHARACTERS


def _counts(some: Sequence[Item], others: Sequence[Item]) -> list[tuple[int, Callable[[Item], Span]]]:
    """Return how many pairs overlap in their subjects, and how many in their objects."""
    spans: list[Callable[[Item], Span]] = [cast("Callable[[Item], Span]", side) for side in _SIDES]
    return [
        (
            count_overlapping(
                [s for s in map(span, some) if s[0] < s[1]], [s for s in map(span, others) if s[0] < s[1]]
            ),
            span,
        )
        for span in spans
    ]


def _may_overlap(some: Sequence[Item], others: Sequence[Item]) -> Iterable[tuple[Item, Item]]:
    """Return the pairs of one predicate that may overlap; for spans, those that overlap in the side with fewer overlaps."""
    if any(isinstance(argument, str) for argument in _arguments(some[0])):
        return product(some, others)
    _, span = min(_counts(some, others), key=lambda counted: counted[0])
    return overlapping(some, others, span)


def _same_arguments(a: Item, b: Item) -> bool:
    return _arguments(a) == _arguments(b)


def _share(a: Argument, b: Argument) -> float:
    """Return how much two arguments overlap, from 0 (not at all) to 1 (equal)."""
    if a == b:
        return 1.0
    if isinstance(a, str) and isinstance(b, str):
        shared = _common(a, b)
        return shared / (len(a) + len(b) - shared)
    if isinstance(a, str) or isinstance(b, str):
        return 0.0
    shared = min(a[1], b[1]) - max(a[0], b[0])
    return max(0, shared) / (max(a[1], b[1]) - min(a[0], b[0]))


def _common(a: str, b: str) -> int:
    """Return the length of the longest common substring, or 0 if it is less than half of the shorter text."""
    short, long = sorted((a, b), key=len)
    if short in long:
        return len(short)
    least, most = (len(short) + 1) // 2, len(short) - 1
    if not any(short[start : start + least] in long for start in range(len(short) - least + 1)):
        return 0
    while least < most:  # bisection: a common substring contains shorter ones
        middle = (least + most + 1) // 2
        pieces = {short[start : start + middle] for start in range(len(short) - middle + 1)}
        if any(long[start : start + middle] in pieces for start in range(len(long) - middle + 1)):
            least = middle
        else:
            most = middle - 1
    return least
