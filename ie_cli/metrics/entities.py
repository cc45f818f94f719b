"""Precision, recall and F1 of entities as sets of (start, end, label), micro-averaged over the corpus, against all gold.

A ratio whose denominator is 0 is 0, as in seqeval with ``zero_division=0``; a label that is neither in gold nor in prediction
has no scores. Macro F1 is the mean over the labels that have scores.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ie_cli.document import Document
from ie_cli.metrics.scores import Ceiling, DocumentCounts, Row, ScoreTable, reach_notes
from ie_cli.metrics.seqeval import SeqevalReport, SeqevalScorer

COLUMNS = ("precision", "recall", "F1", "gold", "predicted", "correct")
"""The columns of a table of scores and counts."""


@dataclass(frozen=True, slots=True)
class Counts:
    """The numbers of gold, predicted and correct items."""

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
        """Return scores and counts, unrounded."""
        return {
            "precision": self.precision,
            "recall": self.recall,
            "f1": self.f1,
            "gold": self.gold,
            "predicted": self.predicted,
            "correct": self.correct,
        }

    def row(self, name: str) -> Row:
        """Return the counts as a row of a table with `COLUMNS`; without gold and predicted items there are no scores."""
        scored = self.gold or self.predicted
        scores = (self.precision, self.recall, self.f1) if scored else (None, None, None)
        return name, (*scores, self.gold, self.predicted, self.correct)

    def recall_dict(self) -> dict[str, Any]:
        """Return recall and its counts, the only scores that a subset of the gold has."""
        return {"recall": self.recall, "gold": self.gold, "correct": self.correct}


def macro_row(value: float) -> Row:
    """Return the macro F1 as a row of a table with `COLUMNS`."""
    return "macro", (None, None, value, None, None, None)


def unseen_notes(unseen: Counts | None, items: str) -> list[str]:
    """Return the note below a table on the recall of gold unseen in training; `items` names the gold."""
    if unseen is None or not unseen.gold:
        return []
    return [f"recall on {items} never seen in training {unseen.recall:.4f} ({unseen.correct} of {unseen.gold})"]


def macro_f1(labels: Iterable[Counts]) -> float:
    """Return the mean F1 of the labels that occur in gold or prediction."""
    scored = [counts.f1 for counts in labels if counts.gold or counts.predicted]
    return sum(scored) / len(scored) if scored else 0.0


@dataclass(frozen=True, slots=True)
class EntityScores:
    """The entity scores of a corpus.

    Attributes:
        micro: counts of all entities.
        boundaries: counts ignoring labels.
        labels: counts by label, in the model's order.
        unseen: counts of mentions that do not occur in the training data with the same label; only the recall is meaningful.
        documents: counts by document, if requested.
        seqeval: the reports of seqeval, if requested.
    """

    micro: Counts
    boundaries: Counts
    labels: dict[str, Counts]
    ceiling: Ceiling | None = None
    unseen: Counts | None = None
    documents: DocumentCounts | None = None
    seqeval: SeqevalReport | None = None

    @property
    def primary(self) -> float:
        """The micro F1."""
        return self.micro.f1

    @property
    def support(self) -> int:
        """The number of gold items."""
        return self.micro.gold

    def values(self) -> dict[str, float]:
        """Return the columns of the logs."""
        return {"precision": self.precision, "recall": self.recall, "f1": self.f1}

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

    @property
    def ceilings(self) -> dict[str, Ceiling]:
        """The recall ceiling of entities, if it was counted."""
        return {} if self.ceiling is None else {"entities": self.ceiling}

    def tables(self) -> list[ScoreTable]:
        """Return a table with a row per label and micro, boundary and macro scores below; then the tables of seqeval."""
        table = ScoreTable(
            "",
            ("label", *COLUMNS),
            tuple(counts.row(label) for label, counts in self.labels.items()),
            (self.micro.row("all (micro)"), self.boundaries.row("boundaries only"), macro_row(self.macro_f1)),
            (*reach_notes(self.ceiling, "entities"), *unseen_notes(self.unseen, "names")),
        )
        return [table, *(self.seqeval.tables() if self.seqeval is not None else [])]

    def to_dict(self) -> dict[str, Any]:
        """Return all scores, unrounded, in the layout of ``ie eval --json`` and `metrics.json`."""
        fields = self.micro.to_dict()
        fields["macro_f1"] = self.macro_f1
        fields["boundaries"] = self.boundaries.to_dict()
        fields["labels"] = {label: counts.to_dict() for label, counts in self.labels.items()}
        if self.ceiling is not None:
            fields["ceiling"] = self.ceiling.to_dict()
        if self.unseen is not None:
            fields["unseen"] = self.unseen.recall_dict()
        if self.seqeval is not None:
            fields["seqeval"] = self.seqeval.to_dict()
        return fields


class EntityScorer:
    """Counts pairs of gold and predicted documents; memory only grows with the labels, unless an option needs more.

    Args:
        labels: the labels of the model, in order; other labels follow as they occur.
        seen: (label, mention) pairs of the training data, to score all other mentions separately.
        documents: keep the counts of each document.
        seqeval: also score with seqeval; entities must not overlap.
    """

    def __init__(
        self,
        labels: Iterable[str] = (),
        *,
        seen: Collection[tuple[str, str]] | None = None,
        documents: bool = False,
        seqeval: bool = False,
    ) -> None:
        self._labels = list(labels)
        self._documents = DocumentCounts() if documents else None
        self._seqeval = SeqevalScorer() if seqeval else None
        self._seen = seen
        self._gold: Counter[str] = Counter()
        self._predicted: Counter[str] = Counter()
        self._correct: Counter[str] = Counter()
        self._spans = [0, 0, 0]
        self._unseen = [0, 0]

    def add(self, gold: Document, predicted: Document) -> None:
        """Count one document; duplicates on either side count once.

        Raises:
            DataError: seqeval is requested, and entities overlap.
        """
        truth, guess = set(gold.entities), set(predicted.entities)
        both = truth & guess
        if self._documents is not None:
            self._documents.add(len(truth), len(guess), len(both))
        if self._seqeval is not None:
            self._seqeval.add(gold, predicted)
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

    def scores(self, ceilings: Mapping[str, Ceiling] | None = None) -> EntityScores:
        """Return the scores of the documents added so far."""
        ceiling = (ceilings or {}).get("entities")
        others = sorted((self._gold.keys() | self._predicted.keys()) - set(self._labels))
        labels = {
            label: Counts(self._gold[label], self._predicted[label], self._correct[label])
            for label in [*self._labels, *others]
        }
        micro = Counts(self._gold.total(), self._predicted.total(), self._correct.total())
        unseen = Counts(self._unseen[0], 0, self._unseen[1]) if self._seen is not None else None
        return EntityScores(
            micro,
            Counts(*self._spans),
            labels,
            ceiling,
            unseen,
            None if self._documents is None else self._documents.copy(),
            None if self._seqeval is None else self._seqeval.report(labels),
        )
