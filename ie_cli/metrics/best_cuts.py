"""The cuts on a score that separate ordered classes with the best accuracy or F1: the n-class case of kexue.fm/archives/8860.

A pair has the class k if its score exceeds k of the ascending cuts. Accuracy is a sum over the pairs, so its best cuts are found
exactly, by dynamic programming over the sorted scores. F1 is not: one cut after the other is moved to its best place between its
neighbours until none improves the mean F1, which never falls on the way.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from ie_cli.metrics.best_threshold import Doubles, Measure, best_threshold, between

Index = npt.NDArray[np.int64]
LARGEST = float(np.finfo(np.float32).max)
"""Stands for infinity where a cut is stored: JSON has none, and every score is a float32 number."""


def best_cuts(scores: Doubles, levels: Index, classes: int, measure: Measure = "accuracy") -> tuple[float, ...]:
    """Return the best ascending cuts, one fewer than classes; equal scores are never separated.

    Of equally good cuts, the highest are returned. A cut is infinite if no score is above it, or none below.

    Args:
        scores: ``[n]``, finite.
        levels: the class of each, from 0 for the lowest; ``[n]``.
        classes: the number of classes, at least 2.
        measure: what to maximise; ``f1`` is the F1 of the highest of two classes, or the mean F1 of more.
    """
    if classes == 2:
        return (best_threshold(scores, levels == 1, measure).threshold,)
    values, groups = np.unique(scores, return_inverse=True)
    counts = np.zeros((classes, len(values)), dtype=np.int64)
    np.add.at(counts, (levels, groups), 1)
    below = np.zeros(
        (classes, len(values) + 1), dtype=np.int64
    )  # [k, j]: members of k among the j lowest distinct scores
    below[:, 1:] = counts.cumsum(axis=1)
    places = _most_correct(below)
    if measure == "f1":
        places = _scan(below, places)
    return tuple(_cut(values, place) for place in places)


def storable(cuts: tuple[float, ...]) -> tuple[float, ...]:
    """Return the cuts with finite numbers instead of infinite ones."""
    return tuple(min(max(cut, -LARGEST), LARGEST) for cut in cuts)


def classify(scores: Doubles, cuts: tuple[float, ...]) -> Index:
    """Return the class of each score: the number of cuts that it exceeds; ``[n]``."""
    return np.searchsorted(np.array(cuts), scores, side="left").astype(np.int64)


def _most_correct(below: Index) -> list[int]:
    """Return the places of the cuts with the most correct pairs: the number of distinct scores below each."""
    everywhere = np.arange(below.shape[1])
    correct, chosen = below[0], []
    for members in below[1:]:
        gain = correct - members
        best = np.maximum.accumulate(gain)
        chosen.append(np.maximum.accumulate(np.where(gain == best, everywhere, 0)))
        correct = members + best
    place, places = below.shape[1] - 1, list[int]()
    for before in reversed(chosen):
        place = int(before[place])
        places.insert(0, place)
    return places


def _scan(below: Index, places: list[int]) -> list[int]:
    """Move one cut after the other to its best place until the mean F1 no longer rises."""
    edges = np.array([0, *places, below.shape[1] - 1])
    value, moved = float(_mean_f1(below, edges[None])[0]), True
    while moved:
        moved = False
        for number in range(1, len(edges) - 1):
            candidates = np.arange(edges[number - 1], edges[number + 1] + 1)
            tried = np.repeat(edges[None], len(candidates), axis=0)
            tried[:, number] = candidates
            found = _mean_f1(below, tried)
            best = len(found) - 1 - int(found[::-1].argmax())
            if found[best] > value:
                edges[number], value, moved = candidates[best], float(found[best]), True
    return [int(place) for place in edges[1:-1]]


def _mean_f1(below: Index, edges: Index) -> Doubles:
    """Return the mean F1 of the classes that occur in gold or prediction, for several lists of edges ``[n, classes + 1]``."""
    total = below.sum(axis=0)
    scored, f1 = np.zeros(len(edges)), np.zeros(len(edges))
    for level, members in enumerate(below):
        first, last = edges[:, level], edges[:, level + 1]
        occurring = members[-1] + total[last] - total[first]
        scored += occurring > 0
        f1 += 2 * (members[last] - members[first]) / np.maximum(occurring, 1)
    mean: Doubles = f1 / np.maximum(scored, 1)
    return mean


def _cut(values: Doubles, place: int) -> float:
    if place == 0:
        return -math.inf
    return math.inf if place == len(values) else between(values[place - 1], values[place])
