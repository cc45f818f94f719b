"""Mean, deviation and the best of several runs, on numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.toy_task import NamesScores

from ie_cli.recipe.balance import Select
from ie_cli.training.series_summary import RunScores, SeriesSummary, best_run


def runs(*values: float, split: str = "dev") -> list[RunScores]:
    return [RunScores(str(label), {split: {"ner": value}}) for label, value in enumerate(values, 42)]


def summary(made: list[RunScores], **fields: object) -> SeriesSummary:
    given = {"kind": "seed", "runs": made, "metrics": {"ner": "f1"}, "best": "42", **fields}
    return SeriesSummary(**given)  # type: ignore[arg-type]


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=10))
def test_mean_and_sample_deviation(values: list[float]) -> None:
    made = summary(runs(*values))
    assert made.mean()["dev"]["ner"] == pytest.approx(np.mean(values))
    assert made.deviation()["dev"]["ner"] == pytest.approx(np.std(values, ddof=1), abs=1e-12)


def test_the_table_has_a_row_per_run_and_the_summary_below() -> None:
    made = [
        RunScores(name, {"dev": {"ner": dev}, "test": {"ner": test}})
        for name, dev, test in (("1", 0.5, 0.2), ("2", 0.7, 0.4))
    ]
    table = summary(made, kind="fold", best="2", pooled={"ner": NamesScores(4, 3)}).table()
    assert table.columns == ("fold", "dev F1", "test F1")
    assert table.rows == (("1", (0.5, 0.2)), ("2", (0.7, 0.4)))
    names, values = zip(*table.summary, strict=True)
    assert names == ("mean", "deviation", "pooled")
    assert values[0] == pytest.approx((0.6, 0.3))
    assert values[1] == pytest.approx((math.sqrt(0.02), math.sqrt(0.02)))
    assert values[2] == (0.75, None)
    assert table.notes == ("the model of fold 2 is kept: the best on dev",)


def test_several_tasks_have_columns_of_their_own() -> None:
    made = [RunScores("1", {"dev": {"a": 0.5, "b": 0.2}})] * 2
    assert summary(made, metrics={"a": "f1", "b": "spearman"}).table().columns == ("seed", "dev a F1", "dev b spearman")


def test_json_has_no_numbers_that_are_not_finite() -> None:
    fields = summary(runs(0.5, math.nan)).to_dict()
    assert fields["scores"] == {"42": {"dev": {"ner": 0.5}}, "43": {"dev": {"ner": None}}}
    assert fields["mean"] == fields["deviation"] == {"dev": {"ner": None}}
    assert "pooled" not in fields
    json.dumps(fields, allow_nan=False)


@pytest.mark.parametrize(
    ("values", "best"),
    [((0.5, 0.7, 0.6), "43"), ((0.7, 0.7), "42"), ((math.nan, 0.0), "43"), ((math.nan, math.nan), "42")],
)
def test_the_best_on_dev_is_kept(values: tuple[float, ...], best: str) -> None:
    assert best_run(runs(*values), "mean") == best


def test_without_dev_the_first_is_kept_and_test_does_not_choose() -> None:
    made = runs(0.1, 0.9, split="test")
    assert best_run(made, "mean") == "42"
    assert summary(made).table().notes == (
        "the model of seed 42 is kept: the first one, because there are no dev data",
    )


@pytest.mark.parametrize(("select", "best"), [("mean", "1"), ("worst", "2"), ({"a": 0.0, "b": 1.0}, "2")])
def test_training_select_combines_tasks(select: Select, best: str) -> None:
    scores: list[Mapping[str, float]] = [{"a": 0.9, "b": 0.3}, {"a": 0.5, "b": 0.5}]
    assert best_run([RunScores(str(n), {"dev": part}) for n, part in enumerate(scores, 1)], select) == best
