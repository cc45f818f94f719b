from __future__ import annotations

import json
import math
from itertools import combinations_with_replacement

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ie_cli.metrics.best_cuts import LARGEST, best_cuts, classify, storable
from ie_cli.metrics.best_threshold import Measure, best_threshold

measures = st.sampled_from(["accuracy", "f1"])
SCORES = st.sampled_from([-1.0, -0.25, 0.0, 0.25, 0.5, 0.5000001, 1.0, 1e300])


@st.composite
def problems(draw: st.DrawFn) -> tuple[list[float], list[int], int]:
    classes = draw(st.integers(2, 4))
    pairs = draw(st.lists(st.tuples(SCORES, st.integers(0, classes - 1)), max_size=9))
    return [score for score, _ in pairs], [level for _, level in pairs], classes


def measured(scores: list[float], gold: list[int], cuts: tuple[float, ...], measure: Measure) -> float:
    """Return the value of some cuts, counted pair by pair."""
    found = [sum(score > cut for cut in cuts) for score in scores]
    if measure == "accuracy":
        return sum(a == b for a, b in zip(found, gold, strict=True)) / max(1, len(gold))
    values = []
    for level in range(len(cuts) + 1):
        correct = sum(a == b == level for a, b in zip(found, gold, strict=True))
        occurring = found.count(level) + gold.count(level)
        if occurring:
            values.append(2 * correct / occurring)
    if len(cuts) == 1:
        return values[-1] if 1 in found or 1 in gold else 0.0
    return sum(values) / len(values) if values else 0.0


def all_cuts(scores: list[float], classes: int) -> list[tuple[float, ...]]:
    return list(combinations_with_replacement([-math.inf, *sorted(set(scores)), math.inf], classes - 1))


@given(problems())
def test_no_cuts_have_a_higher_accuracy(problem: tuple[list[float], list[int], int]) -> None:
    scores, gold, classes = problem
    cuts = best_cuts(np.array(scores), np.array(gold, dtype=np.int64), classes)
    assert len(cuts) == classes - 1
    assert list(cuts) == sorted(cuts)
    found = measured(scores, gold, cuts, "accuracy")
    best = max(measured(scores, gold, other, "accuracy") for other in all_cuts(scores, classes))
    assert found == pytest.approx(best, abs=1e-12)


@given(problems())
def test_the_f1_is_at_least_that_of_the_most_accurate_cuts(problem: tuple[list[float], list[int], int]) -> None:
    scores, gold, classes = problem
    values, levels = np.array(scores), np.array(gold, dtype=np.int64)
    start = measured(scores, gold, best_cuts(values, levels, classes), "f1")
    cuts = best_cuts(values, levels, classes, "f1")
    found = measured(scores, gold, cuts, "f1")
    assert found >= start - 1e-12
    # No single cut can be moved to a better place.
    for number in range(classes - 1):
        low = cuts[number - 1] if number else -math.inf
        high = cuts[number + 1] if number + 1 < classes - 1 else math.inf
        for place in (-math.inf, *scores, math.inf):
            if low <= place <= high:
                moved = (*cuts[:number], place, *cuts[number + 1 :])
                assert measured(scores, gold, moved, "f1") <= found + 1e-12


@given(problems(), measures)
def test_two_classes_have_the_threshold_of_the_best(
    problem: tuple[list[float], list[int], int], measure: Measure
) -> None:
    scores, gold, _ = problem
    levels = np.minimum(np.array(gold, dtype=np.int64), 1)
    cut = best_threshold(scores, levels == 1, measure)
    assert best_cuts(np.array(scores), levels, 2, measure) == (cut.threshold,)
    assert measured(scores, levels.tolist(), (cut.threshold,), measure) == pytest.approx(cut.value, abs=1e-12)


@given(problems())
def test_stored_cuts_classify_as_before(problem: tuple[list[float], list[int], int]) -> None:
    """Infinite ones become finite numbers, which JSON keeps; scores are numbers of float32."""
    scores, gold, classes = problem
    values = np.array(scores).clip(-LARGEST / 2, LARGEST / 2).astype(np.float32).astype(np.float64)
    cuts = best_cuts(values, np.array(gold, dtype=np.int64), classes)
    stored = tuple(json.loads(json.dumps(storable(cuts), allow_nan=False)))
    assert all(map(math.isfinite, stored))
    np.testing.assert_array_equal(classify(values, stored), classify(values, cuts))
    np.testing.assert_array_equal(classify(values, cuts), [sum(score > cut for cut in cuts) for score in values])


def test_all_pairs_may_have_one_class() -> None:
    ones = np.ones(4, dtype=np.int64)
    assert best_cuts(np.array([0.1, 0.2, 0.3, 0.3]), ones, 3) == (-math.inf, math.inf)
    assert best_cuts(np.array([]), ones[:0], 3) == (-math.inf, -math.inf)
