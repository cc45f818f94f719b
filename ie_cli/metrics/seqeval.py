"""The scores of seqeval for flat entities, in its default mode and in its strict mode with the scheme IOB2.

seqeval scores tag sequences. The boundaries of all gold and predicted entities split a text into pieces, and both sides are
converted to tags of these pieces, which preserves every span. Overlapping entities cannot be expressed as tags.

Source: Nakayama 2018, "seqeval: A Python framework for sequence labeling evaluation".
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from ie_cli.document import Document, Entity
from ie_cli.errors import DataError
from ie_cli.metrics.scores import Row, ScoreTable

AVERAGES = ("micro avg", "macro avg", "weighted avg")
_KEYS = ("precision", "recall", "f1-score", "support")
_Values = tuple[float, float, float, int]


@dataclass(frozen=True, slots=True)
class SeqevalMode:
    """The report of one mode: precision, recall, F1 and support by label and by average."""

    labels: dict[str, _Values]
    averages: dict[str, _Values]

    def table(self, title: str) -> ScoreTable:
        """Return a table with a row per label, and the averages below."""
        sides: list[tuple[Row, ...]] = [tuple(part.items()) for part in (self.labels, self.averages)]
        return ScoreTable(title, ("label", "precision", "recall", "F1", "support"), sides[0], sides[1])

    def to_dict(self) -> dict[str, Any]:
        """Return scores and support by seqeval's names, with the labels separate from the averages."""
        labels = {label: dict(zip(_KEYS, values, strict=True)) for label, values in self.labels.items()}
        averages = {name: dict(zip(_KEYS, values, strict=True)) for name, values in self.averages.items()}
        return {"labels": labels, **averages}


@dataclass(frozen=True, slots=True)
class SeqevalReport:
    """The reports of both modes."""

    default: SeqevalMode
    strict: SeqevalMode

    def tables(self) -> list[ScoreTable]:
        """Return a table for each mode."""
        return [self.default.table("seqeval, default mode"), self.strict.table("seqeval, strict mode (IOB2)")]

    def to_dict(self) -> dict[str, Any]:
        """Return both reports, unrounded."""
        return {"default": self.default.to_dict(), "strict": self.strict.to_dict()}


class SeqevalScorer:
    """Collects documents as tags; memory grows with their entities."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._gold: list[list[str]] = []
        self._predicted: list[list[str]] = []

    def add(self, gold: Document, predicted: Document) -> None:
        """Add one document.

        Raises:
            DataError: entities of one side overlap.
        """
        truth, guess = sorted(set(gold.entities)), sorted(set(predicted.entities))
        _require_no_overlaps(
            truth, "gold", gold.where, "omit --scorer: the default scores support overlapping entities."
        )
        _require_no_overlaps(
            guess,
            "predicted",
            predicted.where or gold.where,
            "predict without overlaps (--flat), or omit --scorer.",
        )
        cuts = sorted({boundary for entity in (*truth, *guess) for boundary in (entity.start, entity.end)})
        if cuts:
            places = {boundary: place for place, boundary in enumerate(cuts)}
            self._gold.append(self._tags(truth, places))
            self._predicted.append(self._tags(guess, places))

    def report(self, labels: Iterable[str]) -> SeqevalReport:
        """Return seqeval's report on the documents added so far, for the given labels that occur."""
        from seqeval.metrics import classification_report
        from seqeval.scheme import IOB2

        if not self._names:  # seqeval cannot average over no labels
            nothing = SeqevalMode({}, dict.fromkeys(AVERAGES, (0.0, 0.0, 0.0, 0)))
            return SeqevalReport(nothing, nothing)
        options = {"output_dict": True, "zero_division": 0}
        default = classification_report(self._gold, self._predicted, **options)
        strict = classification_report(self._gold, self._predicted, mode="strict", scheme=IOB2, **options)
        known = [label for label in labels if label in self._names]
        return SeqevalReport(self._mode(default, known), self._mode(strict, known))

    def _mode(self, report: dict[str, dict[str, Any]], labels: Sequence[str]) -> SeqevalMode:
        return SeqevalMode(
            {label: _values(report[self._names[label]]) for label in labels},
            {average: _values(report[average]) for average in AVERAGES},
        )

    def _tags(self, entities: Collection[Entity], places: dict[int, int]) -> list[str]:
        """Return the tags of the pieces between boundaries; labels are renamed, because seqeval strips some characters."""
        tags = ["O"] * (len(places) - 1)
        for entity in entities:
            name = self._names.setdefault(entity.label, f"L{len(self._names)}")
            first, last = places[entity.start], places[entity.end]
            tags[first:last] = [f"B-{name}", *[f"I-{name}"] * (last - first - 1)]
        return tags


def _values(row: dict[str, Any]) -> _Values:
    precision, recall, f1, support = (row[key] for key in _KEYS)
    return float(precision), float(recall), float(f1), int(support)


def _require_no_overlaps(entities: Sequence[Entity], side: str, where: str | None, hint: str) -> None:
    for a, b in pairwise(entities):
        if b.start < a.end:
            raise DataError(
                f"{where + ': ' if where else ''}{side} entities overlap: {a.label!r} {a.start}-{a.end} and {b.label!r} "
                f"{b.start}-{b.end}; seqeval scores tag sequences, which cannot express overlaps",
                hint=hint,
            )
