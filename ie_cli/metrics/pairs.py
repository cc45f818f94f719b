"""Scores of pairs of texts: rank correlation, and accuracy and F1 of their classes, against all gold pairs.

The gold value of a pair is its class, if the pairs have classes, or else its score. Rank correlation needs no threshold. The
classes are those of the predictions; if these have only scores, the scores are cut where the accuracy on the same data is best.

A pair without a prediction has a wrong class, and the lowest score. No score is NaN. If the gold has no class of the model, or
scores instead of classes, the model is scored on other data than it has learned: the gold then decides what is scored.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ie_cli.data.class_order import order_of_classes
from ie_cli.document import Document
from ie_cli.errors import counted
from ie_cli.metrics.best_cuts import LARGEST, best_cuts, classify, storable
from ie_cli.metrics.best_threshold import Doubles, Measure
from ie_cli.metrics.correlation import average_precision, is_constant, pearson, spearman
from ie_cli.metrics.entities import COLUMNS, Counts, macro_f1, macro_row
from ie_cli.metrics.scores import Ceiling, ScoreTable

Index = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

_TITLES = {
    "spearman": "Spearman",
    "pearson": "Pearson",
    "accuracy": "accuracy",
    "f1": "F1",
    "average_precision": "average precision",
}
"""The scores and their titles in a table."""


@dataclass(frozen=True, slots=True)
class PairScores:
    """The scores of the pairs of a corpus.

    Attributes:
        pairs: the number of gold pairs.
        labels: counts by class, from the least to the most similar; empty if the pairs have scores, or none has been classified.
        measures: the names of the columns of the logs.
        accuracy, f1: of the classes; F1 is that of the most similar of two classes, or the mean of more.
        average_precision: of the most similar of two classes.
        decision: the cuts on the score, if they were chosen on these data.
        constant: the side on which all values are equal, so that correlations are 0; None if neither is.
        unseen: the rank correlation of pairs whose texts do not occur in the training data, and their number.
        notes: remarks on the scores.
    """

    pairs: int
    spearman: float
    pearson: float
    labels: Mapping[str, Counts] = field(default_factory=dict)
    measures: tuple[str, ...] = ("spearman", "pearson")
    accuracy: float | None = None
    f1: float | None = None
    average_precision: float | None = None
    decision: tuple[float, ...] | None = None
    constant: Literal["gold", "predicted"] | None = None
    unseen: tuple[float, int] | None = None
    notes: tuple[str, ...] = ()

    @property
    def primary(self) -> float:
        """The rank correlation."""
        return self.spearman

    @property
    def support(self) -> int:
        """The number of gold pairs."""
        return self.pairs

    @property
    def ceilings(self) -> dict[str, Ceiling]:
        """None: every pair can be predicted."""
        return {}

    @property
    def documents(self) -> None:
        """None: a correlation is no sum over documents."""
        return None

    def values(self) -> dict[str, float]:
        """Return the columns of the logs."""
        return {name: getattr(self, name) or 0.0 for name in self.measures}

    def tables(self) -> list[ScoreTable]:
        """Return a table with the scores of all pairs and, if they have classes, one with a row per class."""
        columns = {title: value for name, title in _TITLES.items() if (value := getattr(self, name)) is not None}
        tables = [
            ScoreTable(
                "pairs" if self.labels else "",
                ("", *columns, "pairs"),
                (("all", (*columns.values(), self.pairs)),),
                notes=(*self.notes, *self._unseen_notes()),
            )
        ]
        if self.labels:
            rows = tuple(counts.row(label) for label, counts in self.labels.items())
            macro = macro_row(macro_f1(self.labels.values()))
            tables.append(ScoreTable("classes", ("class", *COLUMNS), rows, (macro,), self._cut_notes()))
        return tables

    def to_dict(self) -> dict[str, Any]:
        """Return all scores, unrounded, in the layout of ``ie eval --json`` and `metrics.json`."""
        fields: dict[str, Any] = {name: value for name in _TITLES if (value := getattr(self, name)) is not None}
        fields["pairs"] = self.pairs
        if self.labels:
            fields["labels"] = {label: counts.to_dict() for label, counts in self.labels.items()}
        if self.decision is not None:
            fields["decision"] = self.decision
        if self.unseen is not None:
            fields["unseen"] = {"spearman": self.unseen[0], "pairs": self.unseen[1]}
        return fields

    def _unseen_notes(self) -> list[str]:
        if self.unseen is None or not self.unseen[1]:
            return []
        value, pairs = self.unseen
        return [f"Spearman on pairs whose texts never occur in training {value:.4f} ({pairs} of {self.pairs} pairs)"]

    def _cut_notes(self) -> tuple[str, ...]:
        if self.decision is None:
            return ()
        cuts = ", ".join(map(_shown, self.decision))
        return (
            f"the scores are cut where accuracy or F1 is best on these data, an upper bound for other data: {cuts}",
        )


class PairScorer:
    """Counts pairs of gold and predicted documents; memory grows by about 30 bytes with each.

    Args:
        labels: the classes of the model from the least to the most similar.
        graded: whether the model has learned scores instead of classes.
        seen: the texts of the training data, to score all other pairs separately.
        cut_by: what is maximised where predictions have only scores.
    """

    def __init__(
        self,
        labels: Sequence[str] = (),
        *,
        graded: bool = False,
        seen: Collection[str] | None = None,
        cut_by: Measure = "accuracy",
    ) -> None:
        self._known, self._graded, self._seen, self._cut_by = tuple(labels), graded, seen, cut_by
        self._ids: dict[str | None, int] = {None: -1}
        self._names: list[str] = []
        self._gold, self._guess = array("i"), array("i")
        self._values, self._scores = array("d"), array("d")
        self._unseen = bytearray()

    def add(self, gold: Document, predicted: Document) -> None:
        """Add one document; those without a gold class or score are not counted."""
        if gold.text_pair is None or (gold.label is None and gold.score is None):
            return
        self._gold.append(self._id(gold.label))
        self._guess.append(self._id(predicted.label))
        self._values.append(math.nan if gold.score is None else gold.score)
        score = predicted.score
        self._scores.append(score if score is not None and math.isfinite(score) else math.nan)
        if self._seen is not None:
            self._unseen.append(gold.text not in self._seen and gold.text_pair not in self._seen)

    def _id(self, label: str | None) -> int:
        if label not in self._ids and label is not None:
            self._ids[label] = len(self._names)
            self._names.append(label)
        return self._ids[label]

    def scores(self, ceilings: Mapping[str, Ceiling] | None = None) -> PairScores:
        """Return the scores of the documents added so far."""
        gold, values = np.array(self._gold, dtype=np.int64), np.array(self._values)
        graded = (gold < 0).all() or (self._graded and not np.isnan(values).all())
        kept = ~np.isnan(values) if graded else gold >= 0
        notes = []
        if left := len(gold) - int(kept.sum()):
            notes.append(f"{counted(left, 'pair')} without a gold {'score' if graded else 'class'} left out")
        guess, scores = np.array(self._guess, dtype=np.int64)[kept], np.array(self._scores)[kept]
        unseen = np.array(self._unseen, dtype=np.bool_)[kept] if self._seen is not None else None
        if graded:
            if np.isnan(scores).all():  # a tool that predicts classes only
                scores = np.array([*map(_number, self._names), math.nan])[guess]
            found = _ranked(values[kept], scores, unseen, notes)
        else:
            found = self._classified(gold[kept], guess, scores, unseen, notes)
        return replace(found, measures=self._measures() or found.measures)

    def _measures(self) -> tuple[str, ...]:
        """Return the names of the columns for the model, whatever it is scored on; none without a model."""
        names = tuple(_TITLES)
        return names[:2] if self._graded else names if len(self._known) == 2 else names[:4] if self._known else ()

    def _order(self, found: set[str]) -> tuple[str, ...]:
        """Return the classes from the least to the most similar: those of the model, or of the gold; empty if it is unknown."""
        return self._known if found & set(self._known) else order_of_classes(found) or ()

    def _classified(
        self, gold: Index, guess: Index, scores: Doubles, unseen: Mask | None, notes: list[str]
    ) -> PairScores:
        """Return the scores of pairs with classes."""
        occurring = {self._names[index] for index in np.unique(gold).tolist()}
        order = self._order(occurring)
        names = tuple(dict.fromkeys([*order, *sorted(self._names)]))
        place = {name: index for index, name in enumerate(names)}
        places = np.array([*(place[name] for name in self._names), -1], dtype=np.int64)
        gold, guess = places[gold], places[guess]
        ordered = gold < len(order)
        if strange := sorted({names[index] for index in gold[~ordered].tolist()}):
            notes.append(f"no rank among the classes {', '.join(order) or 'of the data'}: {', '.join(strange[:10])}")
        ranks = np.where(guess < 0, math.nan, guess) if np.isnan(scores).all() else scores
        found = _ranked(np.where(ordered, gold, math.nan), ranks, unseen, notes)
        cuts: tuple[float, ...] | None = None
        usable = ordered & ~np.isnan(scores)
        foreign = len(order) > 0 and (guess >= len(order)).all()  # classes of other data than these
        if ((guess < 0).all() or foreign) and usable.any() and len(order) > 1:
            names = order if ordered.all() else names
            cuts = best_cuts(scores[usable], gold[usable], len(order), self._cut_by)
            guess = np.where(np.isnan(scores), -1, classify(scores, cuts))
        elif 0 < (missing := int((guess < 0).sum())) < len(guess):
            found = replace(found, notes=(*found.notes, f"{counted(missing, 'pair')} without a predicted class: wrong"))
        labels = _counts(names, gold, guess) if (guess >= 0).any() else {}
        binary = len(order) == 2
        return replace(
            found,
            measures=tuple(_TITLES)[: 5 if binary else 4],
            labels=labels,
            accuracy=sum(part.correct for part in labels.values()) / len(gold) if labels else None,
            f1=(labels[order[1]].f1 if binary else macro_f1(labels.values())) if labels else None,
            average_precision=average_precision(gold == 1, filled(ranks)) if binary else None,
            decision=None if cuts is None else storable(cuts),
        )


def _shown(cut: float) -> str:
    if abs(cut) >= LARGEST:
        return "above all scores" if cut > 0 else "below all scores"
    return f"{cut:.4f}"


def _number(name: str) -> float:
    try:
        value = float(name)
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan


def _counts(names: Sequence[str], gold: Index, guess: Index) -> dict[str, Counts]:
    return {
        name: Counts(int((gold == k).sum()), int((guess == k).sum()), int(((gold == k) & (guess == k)).sum()))
        for k, name in enumerate(names)
    }


def filled(scores: Doubles) -> Doubles:
    """Return scores in which missing ones are as low as the lowest."""
    known = scores[~np.isnan(scores)]
    return np.where(np.isnan(scores), known.min() if len(known) else 0.0, scores)


def _ranked(gold: Doubles, scores: Doubles, unseen: Mask | None, notes: list[str]) -> PairScores:
    """Return the correlations of gold values with scores; either is not a number if there is none."""
    notes = list(notes)
    if missing := int(np.isnan(scores).sum()):
        notes.append(f"{counted(missing, 'pair')} without a predicted score: ranked last")
    known, whole = ~np.isnan(gold), filled(scores)
    values, ranks = gold[known], whole[known]
    constant: Literal["gold", "predicted"] | None = None
    if len(values):
        constant = "gold" if is_constant(values) else "predicted" if is_constant(ranks) else None
    if constant is not None:
        what = {"gold": "gold value", "predicted": "predicted score"}[constant]
        notes.append(f"all pairs have the same {what}, so that correlations are 0")
    rest = None
    if unseen is not None:
        part = known & unseen
        rest = spearman(gold[part], whole[part]), int(part.sum())
    return PairScores(
        pairs=len(gold),
        spearman=spearman(values, ranks),
        pearson=pearson(values, ranks),
        constant=constant,
        unseen=rest,
        notes=tuple(notes),
    )
