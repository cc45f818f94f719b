"""The threshold with the best accuracy or F1, exactly and by one sort (kexue.fm/archives/8860 searches it numerically)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Measure = Literal["accuracy", "f1"]
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Threshold:
    """A threshold, and what is measured if all scores above it are positive.

    Attributes:
        threshold: -inf if everything is positive, inf if nothing is.
        value: the accuracy or F1 on the data that it was chosen on.
    """

    threshold: float
    value: float


def best_threshold(scores: npt.ArrayLike, positive: npt.ArrayLike, measure: Measure) -> Threshold:
    """Return the best threshold: scores above it are positive.

    Equal scores are never separated, "all positive" and "none positive" are tried, and of equally good thresholds the highest is
    returned. It lies in the middle between two scores, so that it does not depend on their last digits.

    Args:
        scores: ``[n]``, finite.
        positive: whether each is positive; bool ``[n]``.
        measure: what to maximise.
    """
    values, gold = np.asarray(scores, dtype=np.float64), np.asarray(positive, dtype=bool)
    order = np.argsort(-values, kind="stable")
    values, gold = values[order], gold[order]
    count, total = len(values), int(gold.sum())
    correct = np.concatenate([[0], np.cumsum(gold)])  # positives among the first k
    k = np.arange(count + 1)
    if measure == "accuracy":
        measured = (correct + (count - total) - (k - correct)) / max(count, 1)
    else:
        measured = 2 * correct / np.maximum(k + total, 1)
    separable = np.ones(count + 1, dtype=bool)
    separable[1:-1] = values[1:] != values[:-1]
    measured = np.where(separable, measured, -1.0)
    best = int(measured.argmax())
    if best == 0:
        return Threshold(math.inf, float(measured[0]))
    if best == count:
        return Threshold(-math.inf, float(measured[best]))
    return Threshold(between(values[best], values[best - 1]), float(measured[best]))


def between(low: float, high: float) -> float:
    """Return a threshold from `low`, which it does not exceed, to below `high`."""
    middle = low / 2 + high / 2
    return float(middle if low <= middle < high else low)  # neighbouring numbers have nothing between them
