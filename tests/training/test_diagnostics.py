"""What is said about a run whose scores are 0."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from support.corpora import documents, recipe, write_jsonl
from support.runner import ie, said

from ie_cli.document import Document, Entity
from ie_cli.errors import DataError
from ie_cli.metrics.entities import Counts, EntityScores
from ie_cli.metrics.pairs import PairScores
from ie_cli.metrics.threshold_curve import ThresholdChoice
from ie_cli.recipe.loader import dump_recipe
from ie_cli.training import evaluator, joint_scoring
from ie_cli.training.diagnostics import Diagnostics, without_shy
from ie_cli.training.events import Evaluated, Finished
from ie_cli.training.run import train
from ie_cli.training.setup import TrainingSetup, prepare


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_jsonl(tmp_path_factory.mktemp("data") / "train.jsonl", documents())


@pytest.fixture(scope="module")
def setup(data: Path) -> TrainingSetup:
    return prepare(recipe(data))


def scored(gold: int = 10, predicted: int = 0, correct: int = 0) -> EntityScores:
    counts = Counts(gold, predicted, correct)
    return EntityScores(counts, Counts(gold, predicted, correct), {"person": counts}, None, None, None, None)


def said_of(
    setup: TrainingSetup, *f1: int, losses: tuple[float | None, float | None] = (None, None), **training: float
) -> list[str | None]:
    """What is said after evaluations in which so many of ten gold items are right, after many epochs."""
    made = recipe(Path("train.jsonl"), training=cast(dict[str, object], training))
    diagnostics = Diagnostics(made, setup)
    return [
        diagnostics.evaluated({"ner": scored(10, right, right)}, step=number, epoch=100.0, losses={"ner": losses})
        for number, right in enumerate(f1, 1)
    ]


def test_it_is_said_once(setup: TrainingSetup) -> None:
    first, second, third = said_of(setup, 0, 0, 0)
    assert first is not None
    assert "F1 is still 0 after" in first
    assert second is third is None


@pytest.mark.parametrize("value", [-0.4, 0.05])
def test_a_correlation_below_zero_is_low_too(setup: TrainingSetup, value: float) -> None:
    [said] = Diagnostics(recipe(Path("train.jsonl")), setup).finished({"ner": PairScores(50, value, value)})
    assert said.startswith(f"F1 is only {value:.4f} after 0 steps.")


def test_zero_after_a_score_by_chance_is_not_still_zero(setup: TrainingSetup) -> None:
    diagnostics = Diagnostics(recipe(Path("train.jsonl")), setup)
    rest = {"epoch": 100.0, "losses": {}}
    assert diagnostics.evaluated({"ner": scored(100, 100, 9)}, step=3, **rest) is None  # type: ignore[arg-type]
    said = diagnostics.evaluated({"ner": scored(100)}, step=6, **rest)  # type: ignore[arg-type]
    assert said is not None
    assert re.match(r"F1 is 0 after \d+ annotated entities \(it was 0\.0900 at step 3\)\. The model predicts", said)


def test_a_score_that_falls_to_zero_is_not_still_zero(setup: TrainingSetup) -> None:
    some, zero, again = said_of(setup, 1, 0, 0)
    assert some is again is None
    assert zero is not None
    assert zero.startswith("F1 has fallen to 0 from 0.1818 at step 1.")


@pytest.mark.parametrize(
    ("rates", "losses", "wanted", "unwanted"),
    [
        ({"learning_rate": 0.8, "head_learning_rate": 1.5}, (100.0, 20.0), "lower it", "raise"),
        ({"learning_rate": 0.8, "head_learning_rate": 1e-7}, (100.0, 200.0), "lower it", "raise"),
        ({"learning_rate": 1e-6, "head_learning_rate": 1e-6}, (100.0, 99.0), "raise it", "lower"),
        ({"learning_rate": 1e-3, "head_learning_rate": 1e-3}, (100.0, 300.0), "The loss has risen: lower", "raise"),
        ({"learning_rate": 1e-3, "head_learning_rate": 1e-3}, (100.0, 95.0), "hardly fallen: train longer", "lower"),
        ({"learning_rate": 1e-3, "head_learning_rate": 1e-3}, (100.0, 5.0), "are usual ones: train longer", "raise"),
        ({"learning_rate": 1e-3, "head_learning_rate": 1e-3}, (None, 5.0), "are usual ones: train longer", "loss was"),
    ],
)
def test_the_advice_follows_the_rates_and_the_losses(
    setup: TrainingSetup, rates: dict[str, float], losses: tuple[float | None, float | None], wanted: str, unwanted: str
) -> None:
    [advice] = said_of(setup, 0, losses=losses, **rates)
    assert advice is not None
    assert wanted in advice
    assert unwanted not in advice


def test_with_several_tasks_each_diagnosis_names_its_task_and_is_about_its_losses(setup: TrainingSetup) -> None:
    """Losses of tasks differ in size: that of a step depends on the task that was drawn, not on what was learned."""
    both = replace(setup, tasks={"names": setup.tasks["ner"], "more": setup.tasks["ner"]})
    diagnostics = Diagnostics(recipe(Path("train.jsonl"), training={"learning_rate": 1e-3}), both)
    scores = {"names": scored(), "more": scored(100, 9, 4)}
    losses = {"names": (1.0, 0.9), "more": (30.0, 60.0)}
    assert diagnostics.evaluated(scores, step=1, epoch=0.0, losses=losses) is None
    names, more = diagnostics.finished(scores)
    assert names.startswith(
        "names: F1 is 0. The model predicts nothing. The training loss was 1 at first and is 0.9 now."
    )
    assert "has risen" not in names
    assert more.startswith("more: F1 is only 0.0734 after 1 step. The training loss was 30 at first and is 60 now.")
    assert "has risen" in more


@pytest.mark.parametrize(("factor", "wanted", "unwanted"), [(500.0, "lower it", "raise"), (0.002, "raise it", "lower")])
def test_a_run_with_extreme_rates_ends_with_the_right_advice(
    factor: float, wanted: str, unwanted: str, data: Path, tmp_path: Path
) -> None:
    rates: dict[str, object] = {"learning_rate": 2e-3 * factor, "head_learning_rate": 5e-3 * factor}
    events = list(train(recipe(data, training={"epochs": 4, **rates}), tmp_path / "run"))
    finished = events[-1]
    assert isinstance(finished, Finished)
    said = " ".join([*finished.advice, *(event.advice or "" for event in events if isinstance(event, Evaluated))])
    assert wanted in said
    assert unwanted not in said


def test_a_short_run_without_a_correct_entity_ends_with_a_hint(data: Path, tmp_path: Path) -> None:
    made = recipe(data, training={"epochs": 1, "learning_rate": 2e-4, "head_learning_rate": 1e-4})
    *_, finished = train(made, tmp_path / "run")
    assert isinstance(finished, Finished)
    [advice] = finished.advice
    assert re.match(r"F1 is (0\. The model predicts|only 0\.0\d+ after 3 steps\. The training loss was)", advice)
    assert "train longer (training.epochs)" in advice


def test_patience_does_not_count_before_the_first_success(data: Path, tmp_path: Path) -> None:
    """With a small rate, the first evaluations find hardly anything, and that by chance; they do not end the run."""
    made = recipe(data, training={"epochs": 8, "patience": 1, "learning_rate": 1e-6, "head_learning_rate": 1e-6})
    events = list(train(made, tmp_path / "run"))
    scores = [event.primary for event in events if isinstance(event, Evaluated)]
    assert len(scores) == 8
    assert max(scores) < 0.1
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert not finished.stopped_early
    assert (finished.steps, finished.steps_planned) == (24, 24)


def test_patience_does_not_count_during_the_warm_up(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    falling = iter([0.5, 0.4, 0.3, 0.2, 0.1, 0.1])
    real = joint_scoring.score

    def falls(*args: Any, **options: Any) -> Any:
        scores, value = real(*args, **options), next(falling)
        return SimpleNamespace(primary=value, values=scores.values, to_dict=scores.to_dict, ceilings={})

    monkeypatch.setattr(joint_scoring, "score", falls)
    monkeypatch.setattr(evaluator.Evaluator, "final_scores", lambda *args: {})
    made = recipe(data, training={"epochs": 10, "patience": 2, "warmup": 0.2})  # 6 of 30 steps: two evaluations
    events = list(train(made, tmp_path / "run"))
    assert [event.step for event in events if isinstance(event, Evaluated)] == [3, 6, 9, 12]
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert finished.stopped_early
    assert (finished.steps, finished.steps_planned) == (12, 30)


def test_patience_does_not_count_below_zero(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A correlation below zero is that of a model which has learned nothing yet."""
    falling = iter([-0.1, -0.2, -0.3])

    def falls(*args: Any, **options: Any) -> Any:
        value = next(falling)
        return SimpleNamespace(primary=value, values=dict, to_dict=dict, ceilings={})

    monkeypatch.setattr(joint_scoring, "score", falls)
    monkeypatch.setattr(evaluator.Evaluator, "final_scores", lambda *args: {})
    events = list(train(recipe(data, training={"epochs": 3, "patience": 1, "warmup": 0.0}), tmp_path / "run"))
    assert [event.best for event in events if isinstance(event, Evaluated)] == [True, False, False]
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert not finished.stopped_early


LONG = [Document("字" * 100, [Entity(0, 90, "A")], id=number) for number in range(8)]


def test_data_of_which_nothing_can_be_learned_are_an_error(tmp_path: Path) -> None:
    made = recipe(write_jsonl(tmp_path / "long.jsonl", LONG), data={"dev": None})
    with pytest.raises(DataError, match="none of the 8 entities can be learned: 8 longer than a window holds") as error:
        next(train(made, tmp_path / "run"))
    assert error.value.hint is not None
    assert error.value.hint.startswith("raise encoder.max_length and encoder.stride")
    assert not (tmp_path / "run").exists()
    (tmp_path / "recipe.yaml").write_text(dump_recipe(made), encoding="utf-8")
    result = ie("check", str(tmp_path / "recipe.yaml"))
    assert result.exit_code == 1
    assert "none of the 8 entities can be learned" in said(result)


def test_dev_data_of_which_nothing_can_be_predicted_are_named(data: Path, tmp_path: Path) -> None:
    dev = write_jsonl(tmp_path / "dev.jsonl", [replace(LONG[0], entities=[Entity(0, 90, "person")])])
    *_, finished = train(recipe(data, data={"dev": str(dev)}, training={"epochs": 1}), tmp_path / "run")
    assert isinstance(finished, Finished)
    assert "None of the 1 dev entities can be predicted (longer than a window holds)" in finished.advice[0]


# Thresholds


def test_a_task_that_is_only_shy_is_no_problem() -> None:
    nothing, something = scored(100), scored(100, 40, 38)
    choices = {
        "shy": ThresholdChoice(0.05, 0.4, 0.5, 0.0),
        "by chance": ThresholdChoice(0.05, 0.05, 0.5, 0.0),
        "good": ThresholdChoice(0.3, 0.6, 0.5, 0.5429),
    }
    scores = {"shy": nothing, "by chance": nothing, "good": something, "explicit": nothing}
    assert without_shy(scores, choices).keys() == {"by chance", "good", "explicit"}
