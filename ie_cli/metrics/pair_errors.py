"""Errors of pairs of texts, with examples: wrong classes by gold and predicted class, or else pairs far from their rank.

Ranks are compared if gold or prediction has only a score: the rank of a pair by its gold value, and that by its predicted score.
Pairs with equal values may have any order among each other. Ranks are known only at the end; until then, some texts are kept.
"""

from __future__ import annotations

import math
import random
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ie_cli.data.class_order import order_of_classes
from ie_cli.document import Document
from ie_cli.errors import counted
from ie_cli.metrics.best_threshold import Doubles
from ie_cli.metrics.scores import ErrorRecord

HIGH, LOW = "high", "low"
FAR = 0.25
"""Difference of two ranks, as a share of all pairs, from which a pair is an error."""
_KINDS = {HIGH: "ranked far too high", LOW: "ranked far too low"}
_MOST_TEXTS = 10_000
_SHOWN = 60  # characters of a text in a line


@dataclass(frozen=True, slots=True)
class PairCase:
    """One error: the gold pair, and its prediction."""

    kind: str
    gold: Document
    predicted: Document

    def record(self) -> ErrorRecord:
        """Return the error as plain values."""
        sides = _side(self.gold), _side(self.predicted)
        where = self.gold.id if self.gold.where is None else self.gold.where
        texts = [_shortened(text or "") for text in (self.gold.text, self.gold.text_pair)]
        gold, predicted = (side or "nothing" for side in sides)
        return ErrorRecord(
            kind=self.kind,
            where="" if where is None else str(where),
            line=f"{'' if where is None else where}: {' | '.join(texts)}; gold {gold}; predicted {predicted}",
            text=f"{self.gold.text}\n{self.gold.text_pair}",
            gold=sides[0],
            predicted=sides[1],
            marks=(),
        )


def _side(document: Document) -> str | None:
    parts = [] if document.label is None else [document.label]
    parts += [] if document.score is None else [f"score {document.score:.4g}"]
    return " ".join(parts) or None


def _shortened(text: str) -> str:
    text = text.replace("\n", "⏎")
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


@dataclass(slots=True)
class PairErrors:
    """Counts wrong classes and far ranks.

    Attributes:
        keep: the number of examples of each kind: of wrong classes a uniform sample, of ranks the pairs that are farthest off.
        confusions: the number of pairs by gold and predicted class, if these differ.
    """

    keep: int = 3
    confusions: Counter[tuple[str, str]] = field(default_factory=Counter)
    _samples: dict[tuple[str, str], list[PairCase]] = field(default_factory=dict)
    _missing: int = 0
    _gold: array[float] = field(default_factory=lambda: array("d"))
    _names: list[str | None] = field(default_factory=list)
    _scores: array[float] = field(default_factory=lambda: array("d"))
    _texts: dict[int, tuple[Document, Document]] = field(default_factory=dict)
    _places: list[int] = field(default_factory=list)
    _random: random.Random = field(default_factory=lambda: random.Random(0))

    def add(self, gold: Document, predicted: Document) -> None:
        """Count the error of one pair, if it is one."""
        if gold.text_pair is None or (gold.label is None and gold.score is None):
            return
        if gold.label is not None and predicted.label is not None:
            if gold.label != predicted.label:
                self._confuse(gold.label, predicted.label, gold, predicted)
        elif predicted.score is not None and math.isfinite(predicted.score):
            self._rank(gold, predicted, predicted.score)
        else:
            self._missing += 1

    def _confuse(self, truth: str, guess: str, gold: Document, predicted: Document) -> None:
        self.confusions[truth, guess] += 1
        sample, case = self._samples.setdefault((truth, guess), []), PairCase(f"{truth} → {guess}", gold, predicted)
        if len(sample) < self.keep:
            sample.append(case)
        elif (place := self._random.randrange(self.confusions[truth, guess])) < self.keep:
            sample[place] = case

    def _rank(self, gold: Document, predicted: Document, score: float) -> None:
        number = len(self._scores)
        self._gold.append(math.nan if gold.score is None else gold.score)
        self._names.append(gold.label)
        self._scores.append(score)
        if not self.keep:
            return
        if len(self._places) < _MOST_TEXTS:
            self._places.append(number)
        elif (place := self._random.randrange(number + 1)) < _MOST_TEXTS:
            del self._texts[self._places[place]]
            self._places[place] = number
        else:
            return
        self._texts[number] = gold, predicted

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks on the counts."""
        notes = [f"{counted(self._missing, 'pair')} without a prediction"] if self._missing else []
        if len(self._scores) > len(self._places) > 0:
            notes.append(f"examples of ranks from a sample of {len(self._places):,} of {len(self._scores):,} pairs")
        return tuple(notes)

    @property
    def kinds(self) -> dict[str, str]:
        """The confusions that occur, the most frequent first; both directions of ranks if classes were not compared."""
        found = sorted(self.confusions, key=lambda pair: (-self.confusions[pair], pair))
        kinds = {f"{truth} → {guess}": f"of class {truth} predicted as {guess}" for truth, guess in found}
        return kinds | (_KINDS if self._scores else {}) or {"wrong": "of a wrong class"}

    @property
    def counts(self) -> Counter[str]:
        """The number of errors of each kind."""
        found = Counter({f"{truth} → {guess}": count for (truth, guess), count in self.confusions.items()})
        off = self._off()
        return found + Counter({HIGH: int((off > FAR).sum()), LOW: int((off < -FAR).sum())})

    @property
    def samples(self) -> dict[str, Sequence[PairCase]]:
        """Examples by kind."""
        found: dict[str, Sequence[PairCase]] = {case[0].kind: case for case in self._samples.values() if case}
        off = self._off()
        for kind, sign in ((HIGH, 1), (LOW, -1)):
            far = sorted((number for number in self._texts if sign * off[number] > FAR), key=lambda n: -sign * off[n])
            found[kind] = [PairCase(kind, *self._texts[number]) for number in far[: self.keep]]
        return found

    def _off(self) -> Doubles:
        """Return how far each predicted rank is above the ranks of the gold value, as a share of all; 0 if it is one of them."""
        gold, scores = self._values(), np.array(self._scores)
        known = ~np.isnan(gold)
        off, count = np.zeros(len(gold)), max(int(known.sum()), 1)
        ordered, ranked = np.sort(gold[known]), np.sort(scores[known])
        lowest, highest = (np.searchsorted(ordered, gold[known], side) for side in ("left", "right"))
        first, last = (np.searchsorted(ranked, scores[known], side) for side in ("left", "right"))
        above, below = np.maximum(first - highest + 1, 0), np.maximum(lowest + 1 - last, 0)
        off[known] = (above - below) / count
        return off

    def _values(self) -> Doubles:
        """Return the gold values: the places of classes in their order, if it is known, or else scores."""
        order = order_of_classes(name for name in self._names if name is not None) or ()
        place = {name: float(index) for index, name in enumerate(order)}
        named = [math.nan if name is None else place.get(name, math.nan) for name in self._names]
        values: Doubles = np.array(named if any(name is not None for name in self._names) else self._gold)
        return values
