"""Rank the places where models that have not seen an annotation contradict it: the likely errors of annotation.

A gold entity has the score that the model gives to its span and label. It is suspected if another entity in its place scores
higher, by the difference of the two scores; or, if there is none, by the probability that the model would have found it: the
share of the entities with its label that the model finds elsewhere. A predicted entity where nothing is annotated is suspected by
its score. The idea is that of confident learning (Northcutt, Jiang, Chuang 2021).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from ie_cli.data.findings import Finding
from ie_cli.document import Document, Entity
from ie_cli.errors import counted
from ie_cli.formats.common.base import quoted

Kind = Literal["wrong label", "wrong boundary", "missing", "spurious"]
_LEAST = 0.3  # margins, below which a model is unsure
_FOUND = 0.5  # score of a prediction
SHOWN = 100


@dataclass(frozen=True, slots=True)
class Suspect:
    """A place where the annotation is likely wrong.

    Attributes:
        margin: how clearly the model contradicts, from 0 to 1.
        gold, predicted: the entities; None if there is none.
        around: the text around them.
    """

    kind: Kind
    margin: float
    where: str
    gold: Entity | None
    predicted: Entity | None
    around: str

    def describe(self) -> str:
        """Return the place, the kind and both entities."""
        sides = [_shown("annotated", self.gold), _shown("model", self.predicted)]
        return (
            f"{self.where}: {self.kind} ({self.margin:.2f}): {', '.join(filter(None, sides))}, in {quoted(self.around)}"
        )


def _shown(side: str, entity: Entity | None) -> str:
    return "" if entity is None else f"{side} {entity.label} {quoted(entity.text)}"


@dataclass(slots=True)
class Suspects:
    """The suspected places in all documents, and how well the models agree with the annotation as a whole."""

    _gold: Counter[str] = field(default_factory=Counter)
    _found: Counter[str] = field(default_factory=Counter)
    _predicted: int = 0
    _all: list[Suspect] = field(default_factory=list)

    def add(self, gold: Document, predicted: Document) -> None:
        """Compare a document with its prediction, which has scores and was made with a low threshold."""
        annotated = sorted(set(gold.entities))
        scores = {entity: entity.score or 0.0 for entity in predicted.entities}
        others = [entity for entity in predicted.entities if entity not in set(annotated)]
        self._predicted += sum(score >= _FOUND for score in scores.values())
        for entity in annotated:
            score = scores.get(entity, 0.0)
            self._gold[entity.label] += 1
            self._found[entity.label] += score >= _FOUND
            if score < _FOUND:
                self._contradict(gold, entity, score, others)
        for entity in others:
            if not any(entity.start < one.end and one.start < entity.end for one in annotated):
                self._keep(gold, "missing", scores[entity], None, entity)

    def _contradict(self, gold: Document, entity: Entity, score: float, others: list[Entity]) -> None:
        """Add a gold entity that the model does not predict, with the best prediction in its place."""
        there = [one for one in others if one.start < entity.end and entity.start < one.end]
        best = max(there, key=lambda one: one.score or 0.0, default=None)
        if best is None or (best.score or 0.0) < _FOUND:
            self._keep(gold, "spurious", 1 - score - (0.0 if best is None else best.score or 0.0), entity, None)
            return
        same = (best.start, best.end) == (entity.start, entity.end)
        self._keep(gold, "wrong label" if same else "wrong boundary", (best.score or 0.0) - score, entity, best)

    def _keep(
        self, document: Document, kind: Kind, margin: float, gold: Entity | None, predicted: Entity | None
    ) -> None:
        if margin < _LEAST:
            return
        spans = [entity for entity in (gold, predicted) if entity is not None]
        start, end = min(one.start for one in spans), max(one.end for one in spans)
        around = document.text[max(0, start - 10) : end + 10]
        self._all.append(Suspect(kind, margin, document.where or "", gold, predicted, around))

    @property
    def entities(self) -> int:
        """The number of annotated entities."""
        return self._gold.total()

    @property
    def f1(self) -> float:
        """The F1 of the predictions."""
        return 2 * self._found.total() / max(1, self.entities + self._predicted)

    def ranked(self) -> list[Suspect]:
        """Return the suspects, the likeliest errors first."""
        recall = {label: self._found[label] / count for label, count in self._gold.items()}
        weighted = [
            Suspect(one.kind, one.margin * recall[one.gold.label], one.where, one.gold, None, one.around)
            if one.kind == "spurious" and one.gold is not None
            else one
            for one in self._all
        ]
        kept = (one for one in weighted if one.margin >= _LEAST)
        return sorted(kept, key=lambda one: (-one.margin, one.where, one.kind))

    def findings(self, split: str, *, folds: int) -> Iterator[Finding]:
        """Yield a note with the places that are most likely wrong."""
        ranked = self.ranked()
        model = f"models trained without the {folds} folds that they were asked about (F1 {self.f1:.2f})"
        if not ranked:
            yield Finding("note", f"{split}: {model} nowhere contradict the annotation clearly")
            return
        kinds = Counter(one.kind for one in ranked)
        listed = "".join(f"\n  {one.describe()}" for one in ranked[:SHOWN])
        shown = f"; the first {SHOWN}" if len(ranked) > SHOWN else ""
        yield Finding(
            "note",
            f"{split}: {model} contradict the annotation in {counted(len(ranked), 'place')}, which may be errors: "
            f"{', '.join(f'{kind} {count}' for kind, count in kinds.most_common())}{shown}:{listed}",
        )
