"""Precision, recall and F1 of entities: sets of (start, end, label), micro over the corpus, against all gold.

A ratio without a denominator is 0, as seqeval has it with ``zero_division=0``; a label that is neither in gold nor in
prediction has no scores at all. Macro F1 is the mean over the labels that have some.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

from ie_cli.document import Document


@dataclass(frozen=True, slots=True)
class Counts:
    """Items in gold, in prediction, in both."""

    gold: int = 0
    predicted: int = 0
    correct: int = 0

    @property
    def precision(self) -> float:
        return self.correct / self.predicted if self.predicted else 0.0

    @property
    def recall(self) -> float:
        return self.correct / self.gold if self.gold else 0.0

    @property
    def f1(self) -> float:
        total = self.gold + self.predicted
        return 2 * self.correct / total if total else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Scores and counts, unrounded."""
        return {
            "precision": self.precision,
            "recall": self.recall,
            "f1": self.f1,
            "gold": self.gold,
            "predicted": self.predicted,
            "correct": self.correct,
        }

    def recall_dict(self) -> dict[str, Any]:
        """Recall and its counts: what can be said of a part of the gold."""
        return {"recall": self.recall, "gold": self.gold, "correct": self.correct}


def macro_f1(labels: Iterable[Counts]) -> float:
    """The mean F1 of the labels that gold or prediction has."""
    scored = [counts.f1 for counts in labels if counts.gold or counts.predicted]
    return sum(scored) / len(scored) if scored else 0.0


@dataclass(frozen=True, slots=True)
class Ceiling:
    """How much of the gold a model could return at all, and why not the rest."""

    reachable: int
    total: int
    reasons: dict[str, int] = field(default_factory=dict)

    @property
    def recall(self) -> float:
        return self.reachable / self.total if self.total else 1.0

    def to_dict(self) -> dict[str, Any]:
        """Recall, unrounded, and counts."""
        return {"recall": self.recall, "reachable": self.reachable, "total": self.total, "reasons": self.reasons}


@dataclass(frozen=True, slots=True)
class EntityScores:
    """Scores of a corpus.

    Attributes:
        micro: over all entities.
        boundaries: the labels left aside.
        labels: by label, in the model's order.
        unseen: of mentions that the training data do not hold under their label; only its recall means something.
    """

    micro: Counts
    boundaries: Counts
    labels: dict[str, Counts]
    ceiling: Ceiling | None = None
    unseen: Counts | None = None

    @property
    def precision(self) -> float:
        return self.micro.precision

    @property
    def recall(self) -> float:
        return self.micro.recall

    @property
    def f1(self) -> float:
        return self.micro.f1

    @property
    def macro_f1(self) -> float:
        return macro_f1(self.labels.values())

    def to_dict(self) -> dict[str, Any]:
        """All scores, unrounded: the layout of ``ie eval --json`` and of `metrics.json`."""
        fields = self.micro.to_dict()
        fields["macro_f1"] = self.macro_f1
        fields["boundaries"] = self.boundaries.to_dict()
        fields["labels"] = {label: counts.to_dict() for label, counts in self.labels.items()}
        if self.ceiling is not None:
            fields["ceiling"] = self.ceiling.to_dict()
        if self.unseen is not None:
            fields["unseen"] = self.unseen.recall_dict()
        return fields


class EntityScorer:
    """Count pairs of gold and predicted examples; memory grows with the labels alone.

    Args:
        labels: the model's, for their order; others are added behind them as they appear.
        seen: (label, mention) of the training data, to score the others by themselves.
    """

    def __init__(self, labels: Iterable[str] = (), *, seen: Collection[tuple[str, str]] | None = None) -> None:
        self._labels = list(labels)
        self._seen = seen
        self._gold: Counter[str] = Counter()
        self._predicted: Counter[str] = Counter()
        self._correct: Counter[str] = Counter()
        self._spans = [0, 0, 0]
        self._unseen = [0, 0]

    def add(self, gold: Document, predicted: Document) -> None:
        """Count one document; duplicates on either side count once."""
        truth, guess = set(gold.entities), set(predicted.entities)
        both = truth & guess
        self._gold.update(entity.label for entity in truth)
        self._predicted.update(entity.label for entity in guess)
        self._correct.update(entity.label for entity in both)
        spans = [{(entity.start, entity.end) for entity in side} for side in (truth, guess)]
        for place, found in enumerate((*spans, spans[0] & spans[1])):
            self._spans[place] += len(found)
        if self._seen is not None:
            unseen = {e for e in truth if (e.label, gold.text[e.start : e.end]) not in self._seen}
            self._unseen[0] += len(unseen)
            self._unseen[1] += len(unseen & both)

    def scores(self, ceiling: Ceiling | None = None) -> EntityScores:
        """The scores of what was added so far."""
        others = sorted((self._gold.keys() | self._predicted.keys()) - set(self._labels))
        labels = {
            label: Counts(self._gold[label], self._predicted[label], self._correct[label])
            for label in [*self._labels, *others]
        }
        micro = Counts(self._gold.total(), self._predicted.total(), self._correct.total())
        unseen = Counts(self._unseen[0], 0, self._unseen[1]) if self._seen is not None else None
        return EntityScores(micro, Counts(*self._spans), labels, ceiling, unseen)
