"""The score that selects a model of several tasks."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.two_tasks import LINKS, NAMES, two_tasks

from ie_cli.training.events import Evaluated
from ie_cli.training.run import train
from ie_cli.training.selection import primary_score

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


@pytest.mark.parametrize("select", ["worst", {LINKS: 1.0}])
def test_the_best_model_is_that_of_the_selected_score(select: Any, tmp_path: Path) -> None:
    events = list(train(two_tasks(tmp_path, select=select, epochs=3), tmp_path / "run"))
    for event in events:
        if isinstance(event, Evaluated):
            primary = {name: part.primary for name, part in event.scores.items()}
            assert event.primary == (min(primary.values()) if select == "worst" else primary[LINKS])
            assert primary.keys() == {NAMES, LINKS}
