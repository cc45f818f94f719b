from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ie_cli.metrics.best_threshold import Measure, best_threshold

measures = st.sampled_from(["accuracy", "f1"])
pairs = st.lists(
    st.tuples(st.sampled_from([-1.0, 0.0, 0.25, 0.5, 0.5000001, 1.0, 1e300, 5e-324]), st.booleans()), max_size=12
)


def measured(scores: list[float], gold: list[bool], threshold: float, measure: Measure) -> float:
    predicted = [score > threshold for score in scores]
    if measure == "accuracy":
        return sum(p == g for p, g in zip(predicted, gold, strict=True)) / max(1, len(gold))
    return 2 * sum(p and g for p, g in zip(predicted, gold, strict=True)) / max(1, sum(predicted) + sum(gold))


@given(pairs, measures)
def test_no_threshold_is_better(data: list[tuple[float, bool]], measure: Measure) -> None:
    scores, gold = [score for score, _ in data], [label for _, label in data]
    found = best_threshold(scores, gold, measure)
    assert measured(scores, gold, found.threshold, measure) == pytest.approx(found.value, abs=1e-12)
    for threshold in (-math.inf, math.inf, *scores):
        assert measured(scores, gold, threshold, measure) <= found.value + 1e-12


@pytest.mark.parametrize("measure", ["accuracy", "f1"])
def test_labels_of_one_kind(measure: Measure) -> None:
    assert best_threshold([0.1, 0.9], [True, True], measure).threshold == -math.inf
    assert best_threshold([0.1, 0.9], [False, False], measure).threshold == math.inf


def test_equal_scores_are_not_separated() -> None:
    """The best F1 is 0.8: a known implementation cuts between the scores of 0.7, and reports 1.0."""
    found = best_threshold([0.7, 0.6, 0.8, 0.7], [True, False, True, False], "f1")
    assert found.value == pytest.approx(0.8)
    assert found.threshold == pytest.approx(0.65)


def test_neighbouring_numbers_are_separated() -> None:
    low = 0.5
    high = np.nextafter(low, 1)
    assert best_threshold([low, high], [False, True], "accuracy").value == 1.0
