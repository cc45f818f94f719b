"""Micro F1 at every threshold of a grid, counted in one pass over the data, and the choice of a threshold by it.

The grid is even in logits: its thresholds are σ(-4.6), σ(-4.5) … σ(4.6), from 0.01 to 0.99. The choice has two parts.

1. The best threshold: the middle, in logits, of the plateau around the threshold with the highest F1, which is the longest
   interval of the grid around it where F1 is nowhere lower by more than the standard error of the difference, within the
   bounds `TOLERANCE`. The more data there are, the narrower it is.
2. Whether it is better than the current threshold: the data are divided into `FOLDS` parts. Each is scored at the best
   threshold of all others, so that no item helps to choose the threshold that it is scored at. The F1 of all parts together must
   exceed the F1 at the current threshold by at least `LEAST_GAIN`, and by its standard error, and the F1 at the best
   threshold of all data must exceed it by `LEAST_GAIN`, too. Otherwise nothing changes.

The standard error is that of a ratio of sums over blocks of documents, by linearisation (Cochran, Sampling Techniques, 6.3):
with F1 = 2C/(G+P), a block contributes (2c - F1·(g+p)) / (G+P), and the variance of the difference of two F1 on the same blocks
is the sum of the squared differences of their contributions.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]
Counted = npt.NDArray[np.int64]

LOWEST = 0.01
"""The lowest threshold of the grid."""
TOLERANCE = (0.001, 0.01)
LEAST_GAIN = 0.005
FOLDS = 10
_GRID = tuple(round(1 / (1 + math.exp(-step / 10)), 4) for step in range(-46, 47))
_BLOCKS = 200
"""From this to twice this number of blocks of neighbouring documents are counted separately, once there are enough documents."""


@dataclass(frozen=True, slots=True)
class ThresholdChoice:
    """A threshold, and what it changes on the data that it was chosen on.

    Attributes:
        threshold: the threshold; the current one if no other is clearly better.
        f1: its F1.
        before: the current threshold.
        f1_before: the F1 of that one.
    """

    threshold: float
    f1: float
    before: float
    f1_before: float

    @property
    def changed(self) -> bool:
        """Whether another threshold is clearly better."""
        return self.threshold != self.before

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)


class ThresholdCurve:
    """Counts pairs of gold and predicted items; memory does not grow with the data.

    Args:
        current: the threshold that others are compared with; at least `LOWEST`.
    """

    def __init__(self, current: float) -> None:
        self.current = current
        self.thresholds: Doubles = np.unique(np.array([*_GRID, current]))
        self._size, self._count = 1, 0
        self._blocks: list[Counted] = []

    def add(self, gold: Collection[Hashable], predicted: Mapping[Hashable, float]) -> None:
        """Count one document.

        Args:
            gold: the gold items.
            predicted: the items predicted at a low threshold, each with the probability that a threshold must stay below.
        """
        if self._count % self._size == 0:
            self._blocks.append(np.zeros((3, len(self.thresholds) + 1), dtype=np.int64))
        self._count += 1
        block, known = self._blocks[-1], set(gold)
        block[0, 0] += len(known)
        # The number of thresholds that each item exceeds.
        found = np.searchsorted(self.thresholds, np.array(list(predicted.values()), dtype=np.float64), side="left")
        correct = np.array([item in known for item in predicted], dtype=bool)
        block[1] += np.bincount(found, minlength=block.shape[1])
        block[2] += np.bincount(found[correct], minlength=block.shape[1])
        if len(self._blocks) == 2 * _BLOCKS and self._count % self._size == 0:
            self._blocks = [a + b for a, b in zip(self._blocks[::2], self._blocks[1::2], strict=True)]
            self._size *= 2

    def f1(self) -> Doubles:
        """Return the micro F1 at each of `thresholds`."""
        return self._counts(LOWEST).f1()

    def choose(self, floor: float = LOWEST) -> ThresholdChoice:
        """Return the best threshold, or the current one if the best is not clearly better.

        Args:
            floor: the lowest threshold to consider, because not all items below it were added.
        """
        counts = self._counts(min(floor, self.current))
        thresholds = self.thresholds[self.thresholds >= min(floor, self.current)]
        f1, now = counts.f1(), int(np.searchsorted(thresholds, self.current))
        best = counts.best(thresholds)
        better = f1[best] >= f1[now] + LEAST_GAIN and counts.gains(thresholds, now)
        chosen = best if better else now
        return ThresholdChoice(float(thresholds[chosen]), float(f1[chosen]), self.current, float(f1[now]))

    def _counts(self, floor: float) -> _Counts:
        """Return the counts at the thresholds from `floor`."""
        blocks = np.array(self._blocks, dtype=np.int64).reshape(-1, 3, len(self.thresholds) + 1)
        above = np.flip(np.cumsum(np.flip(blocks[:, 1:, 1:], axis=2), axis=2), axis=2).astype(np.float64)
        above = above[:, :, self.thresholds >= floor]
        return _Counts(blocks[:, 0, 0].astype(np.float64), above[:, 0], above[:, 1])


@dataclass(frozen=True, slots=True)
class _Counts:
    """The counts of each block: gold ``[blocks]``, predicted and correct by threshold ``[blocks, thresholds]``."""

    gold: Doubles
    predicted: Doubles
    correct: Doubles

    def f1(self) -> Doubles:
        """Return the F1 at each threshold; 0 without items."""
        totals = self.gold.sum() + self.predicted.sum(axis=0)
        found: Doubles = 2 * self.correct.sum(axis=0) / np.maximum(1, totals)
        return found

    def best(self, thresholds: Doubles) -> int:
        """Return the index of the threshold nearest to the middle of the plateau around the highest F1."""
        f1 = self.f1()
        low = high = int(f1.argmax())
        parts = self._contributions()
        flat = f1 >= f1[low] - np.clip(_errors(parts - parts[:, [low]]), *TOLERANCE)
        while low > 0 and flat[low - 1]:
            low -= 1
        while high < len(f1) - 1 and flat[high + 1]:
            high += 1
        logits = np.log(thresholds) - np.log1p(-thresholds)
        middle = (logits[low] + logits[high]) / 2
        return low + int(np.abs(logits[low : high + 1] - middle).argmin())

    def gains(self, thresholds: Doubles, now: int) -> bool:
        """Return whether thresholds that are chosen on other data are clearly better than the one at the index `now`."""
        blocks = len(self.gold)
        if blocks < 2:
            return False
        fold = np.arange(blocks) * min(FOLDS, blocks) // blocks
        places = np.empty(blocks, dtype=np.int64)
        for number in range(int(fold[-1]) + 1):
            places[fold == number] = self._where(fold != number).best(thresholds)
        every = np.arange(blocks)
        chosen = _Counts(self.gold, self.predicted[every, places, None], self.correct[every, places, None])
        current = _Counts(self.gold, self.predicted[:, [now]], self.correct[:, [now]])
        gain = float(chosen.f1()[0] - current.f1()[0])
        return gain >= max(LEAST_GAIN, float(_errors(chosen._contributions() - current._contributions())[0]))

    def _where(self, kept: npt.NDArray[np.bool_]) -> _Counts:
        return _Counts(self.gold[kept], self.predicted[kept], self.correct[kept])

    def _contributions(self) -> Doubles:
        """Return what each block contributes to the F1, by linearisation; ``[blocks, thresholds]``."""
        totals = np.maximum(1, self.gold.sum() + self.predicted.sum(axis=0))
        found: Doubles = (2 * self.correct - self.f1() * (self.gold[:, None] + self.predicted)) / totals
        return found


def _errors(differences: Doubles) -> Doubles:
    """Return the standard errors of differences of F1 from those of the contributions; ``[blocks, thresholds]``."""
    blocks = len(differences)
    found: Doubles = np.sqrt((differences**2).sum(axis=0) * blocks / max(1, blocks - 1))
    return found
