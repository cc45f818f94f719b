"""Errors of relations sorted by kind, with examples.

Every gold triple and every prediction belongs to exactly one place:

    gold      = correct + predicate + type + boundary + missed
    predicted = correct + predicate + type + boundary + invented

`predicate`: same two arguments, other predicate. `type`: same arguments and predicate, other labels (where these count).
`boundary`: same predicate, both arguments overlap, not all borders right. A gold triple and a prediction are paired at most
once, best overlap first.

Arguments are spans, whose overlap is shared / union of their characters; or texts, where there are no offsets, whose shared
characters are those of their longest common substring, if it is at least half of the shorter text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import ClassVar

from ie_cli.document import Document, Spo
from ie_cli.metrics.entity_errors import Sampled, describe, one_to_one, record
from ie_cli.metrics.relations import Argument, Item, Match, items, mention, with_text
from ie_cli.metrics.scores import ErrorRecord
from ie_cli.triples import Span, locate

RELATION_KINDS = {
    "predicate": "wrong predicate",
    "type": "wrong type",
    "boundary": "wrong border",
    "missed": "missed",
    "invented": "invented",
}
"""The kinds with their words, in the order in which they are shown."""
_WIDEST = 120  # characters of text in a description: arguments may stand pages apart


@dataclass(frozen=True, slots=True)
class RelationErrorCase:
    """One error: what gold has, what was predicted (None where there is nothing), and where."""

    kind: str
    document: Document
    gold: Item | None
    predicted: Item | None

    def describe(self, context: int = 12) -> str:
        """``data.jsonl:7: …Ann left Acme…; gold (Ann, works_for, Acme); predicted (Ann, lives_in, Acme)``."""
        spans = [span for item in (self.gold, self.predicted) if item is not None for span in self._spans(item)]
        spans = spans or [(0, len(self.document.text))]  # texts that do not occur
        around = min(start for start, _ in spans), max(end for _, end in spans)
        return describe(self.document, around, (self._side(self.gold), self._side(self.predicted)), context, _WIDEST)

    def record(self) -> ErrorRecord:
        """The error in plain values; texts that do not occur have no marks."""
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
        match: what makes a triple correct; texts also where offsets are guessed. None is strict.
        confusions: (gold, predicted) predicates of the same two arguments.
    """

    kinds: ClassVar[Mapping[str, str]] = RELATION_KINDS
    match: Match | None = None

    def add(self, gold: Document, predicted: Document) -> None:
        """Sort the errors of one document."""
        predicted = with_text(predicted, gold.text)
        guessed = gold.spos is not None or predicted.spos is not None
        match: Match = "text" if guessed else self.match or "strict"
        truth, guess = items(gold, match), items(predicted, match)
        self.counts["correct"] += len(truth & guess)
        missed, invented = truth - guess, guess - truth
        for a, b in _pairs(missed, invented):
            missed.remove(a)
            invented.remove(b)
            kind = _kind(a, b)
            self._note(RelationErrorCase(kind, gold, a, b))
            if kind == "predicate":
                self.confusions[a.predicate, b.predicate] += 1
        for item in sorted(missed):
            self._note(RelationErrorCase("missed", gold, item, None))
        for item in sorted(invented):
            self._note(RelationErrorCase("invented", gold, None, item))


def _kind(gold: Item, predicted: Item) -> str:
    if gold.predicate != predicted.predicate:
        return "predicate"
    return "type" if _same_arguments(gold, predicted) else "boundary"


def _pairs(missed: Iterable[Item], invented: set[Item]) -> list[tuple[Item, Item]]:
    """One-to-one pairs that are one error: the largest overlap first, the same predicate and labels before others."""
    candidates = []
    for a in missed:
        for b in invented:
            if a.predicate == b.predicate or _same_arguments(a, b):
                share = _share(a.subject, b.subject) * _share(a.object, b.object)
                if share > 0:
                    candidates.append(((-share, a.predicate != b.predicate, a.labels != b.labels), a, b))
    return one_to_one(candidates)


def _same_arguments(a: Item, b: Item) -> bool:
    return (a.subject, a.object) == (b.subject, b.object)


def _share(a: Argument, b: Argument) -> float:
    """How much two arguments overlap: 0 for not at all, 1 for the same."""
    if a == b:
        return 1.0
    if isinstance(a, str) and isinstance(b, str):
        shared = _common(a, b)
        shared = shared if 2 * shared >= min(len(a), len(b)) else 0
        return shared / (len(a) + len(b) - shared)
    if isinstance(a, str) or isinstance(b, str):
        return 0.0
    shared = min(a[1], b[1]) - max(a[0], b[0])
    return max(0, shared) / (max(a[1], b[1]) - min(a[0], b[0]))


def _common(a: str, b: str) -> int:
    """Length of the longest common substring."""
    short, long = sorted((a, b), key=len)
    if short in long:
        return len(short)
    return SequenceMatcher(None, a, b, autojunk=False).find_longest_match().size
