"""The score that selects a model of several tasks."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.two_tasks import LINKS, NAMES, two_tasks

from ie_cli.metrics.threshold_curve import LEAST_GAIN, ThresholdChoice, ThresholdCurve
from ie_cli.training.events import Evaluated
from ie_cli.training.run import train
from ie_cli.training.selection import primary_score, ranked

SCORES: Any = {"a": SimpleNamespace(primary=0.9), "b": SimpleNamespace(primary=0.3)}


@pytest.mark.parametrize(
    ("select", "expected"),
    [
        ("mean", 0.6),
        ("worst", 0.3),
        ({"a": 1.0}, 0.9),
        ({"a": 2.0, "b": 1.0}, 0.7),
        ({"b": 5.0, "without dev": 1.0}, 0.3),
    ],
)
def test_scores_are_combined_as_the_recipe_says(select: Any, expected: float) -> None:
    assert primary_score(SCORES, select) == pytest.approx(expected)


def test_a_score_that_is_not_a_number_is_not_hidden() -> None:
    scores: Any = {"a": SimpleNamespace(primary=0.5), "b": SimpleNamespace(primary=math.nan)}
    for select in ("mean", "worst"):
        assert math.isnan(primary_score(scores, select))


def test_the_f1_at_the_threshold_that_would_be_chosen_counts() -> None:
    choices = {"b": ThresholdChoice(0.1, 0.5, 0.5, 0.3)}
    assert primary_score(SCORES, "mean", choices) == pytest.approx(0.7)
    assert primary_score(SCORES, "worst", choices) == 0.5
    assert primary_score(SCORES, {"a": 1.0}, choices) == 0.9


def test_of_equal_models_the_one_that_needs_no_other_threshold_is_better() -> None:
    shy, sure = ThresholdChoice(0.1, 0.9, 0.5, 0.3), ThresholdChoice(0.5, 0.9, 0.5, 0.9)
    scores: Any = {"a": SimpleNamespace(primary=0.3)}
    better: Any = {"a": SimpleNamespace(primary=0.9)}
    one, other = ranked(scores, "mean", {"a": shy}), ranked(better, "mean", {"a": sure})
    assert one[0] == other[0] == 0.9
    assert one[1] < other[1] < one[1] + 1e-5
    assert ranked(scores, "mean", {}) == (0.3, 0.3)
    nothing: Any = {"a": SimpleNamespace(primary=math.nan)}
    assert ranked(nothing, "mean", {})[1] == -math.inf


def test_an_f1_at_a_threshold_that_is_not_chosen_does_not_count() -> None:
    """One model has the best F1 of all at some threshold, but too small a gain to get it; the other one is better at 0.5."""

    def curve_of(right: int, shy: int) -> ThresholdCurve:
        curve = ThresholdCurve(0.5)
        for n in range(1_000):
            curve.add({1}, {1: 0.9} if n < right else {1: 0.3} if n < right + shy else {2: 0.9})
        return curve

    one, other = curve_of(660, shy=6), curve_of(663, shy=0)
    assert other.f1().max() < one.f1().max() < other.f1().max() + LEAST_GAIN
    ranks = []
    for curve in (one, other):
        choice = curve.choose()
        assert not choice.changed
        scores: Any = {"a": SimpleNamespace(primary=choice.f1_before)}
        ranks.append(ranked(scores, "mean", {"a": choice}))
    assert ranks[0] < ranks[1]


@pytest.mark.parametrize("select", ["worst", {LINKS: 1.0}])
def test_the_best_model_is_that_of_the_selected_score(select: Any, tmp_path: Path) -> None:
    events = list(train(two_tasks(tmp_path, select=select, epochs=3), tmp_path / "run"))
    for event in events:
        if isinstance(event, Evaluated):
            primary = {name: part.primary for name, part in event.scores.items()}
            assert event.primary == (min(primary.values()) if select == "worst" else primary[LINKS])
            assert primary.keys() == {NAMES, LINKS}
