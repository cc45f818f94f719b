"""`--resume` on a finished run: every change that would change the result is reported, and no other one is."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from support.corpora import documents, recipe, write_jsonl
from support.runner import ie, said

from ie_cli.errors import DataError, RecipeError
from ie_cli.recipe.schema import Recipe
from ie_cli.training.events import FinishedBefore
from ie_cli.training.run import train
from ie_cli.training.run_changes import with_started_thresholds


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_jsonl(tmp_path_factory.mktemp("data") / "train.jsonl", documents(8))


@pytest.fixture(scope="module")
def finished(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("runs") / "run"
    list(train(short(data), output))
    return output


def short(train_file: Path, **sections: Any) -> Recipe:
    data = {"dev": None, **sections.pop("data", {})}
    training = {"epochs": 1, "precision": "auto", **sections.pop("training", {})}
    made = recipe(train_file, data=data, training=training).model_dump()
    for section, values in sections.items():
        made[section] = {**made[section], **values}
    return Recipe.model_validate(made)


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"training": {"epochs": 30}}, "training.epochs was 1 and is now 30"),
        ({"training": {"learning_rate": 1e-4}}, "training.learning_rate was 0.002 and is now 0.0001"),
        ({"training": {"precision": "float16"}}, 'training.precision was "auto" and is now "float16"'),
        ({"training": {"eval_batch_size": 7}}, "training.eval_batch_size was 32 and is now 7"),
        ({"training": {"init_from": "runs/x"}}, 'training.init_from was null and is now "runs/x"'),
        ({"head": {"threshold": 0.3}}, 'head.threshold was "auto" and is now 0.3'),
        ({"card": {"license": "mit"}}, 'card.license was null and is now "mit"'),
        ({"encoder": {"name": "bert-base-chinese"}}, 'encoder.name was "tiny" and is now "bert-base-chinese"'),
        ({"data": {"dev": 0.2}}, "data.dev was null and is now 0.2"),
        ({"data": {"test": "test.jsonl"}}, 'data.test was null and is now "test.jsonl"'),
    ],
)
def test_a_change_of_a_finished_run_is_named(
    sections: dict[str, Any], message: str, data: Path, finished: Path
) -> None:
    with pytest.raises(RecipeError) as error:
        list(train(short(data, **sections), finished, resume=True))
    assert error.value.message == f"{finished} is finished, and was trained with a different recipe: {message}"
    assert f"training.init_from={finished / 'model'}" in str(error.value.hint)


@pytest.mark.parametrize("several", [True, False])
def test_a_run_of_an_earlier_version_keeps_its_default_threshold(several: bool) -> None:
    """Such a version stored 0.5 for a recipe that sets no threshold, and chose none."""

    def made(threshold: object) -> Recipe:
        part = {"data": {"train": "train.jsonl"}, "head": {"name": "crf", "threshold": threshold}}
        fields = {"tasks": {"one": part, "two": {"data": part["data"]}}} if several else part
        return Recipe.model_validate({"name": "test", "encoder": {"name": "tiny"}, **fields})

    def resumed(now: object, stored: object, **facts: object) -> object:
        found = with_started_thresholds(made(now), {"recipe": made(stored).model_dump(mode="json"), **facts})
        assert not several or found.tasks["two"].head.threshold == "auto"
        return next(iter(found.instances().values())).head.threshold

    assert resumed("auto", 0.5) == 0.5
    assert resumed("auto", 0.5, rate_factors=True) == "auto"  # set in a recipe of this version: also a change
    assert resumed("auto", "auto") == "auto"
    assert resumed("auto", 0.3) == "auto"  # a change of the recipe, which is reported
    assert resumed(0.3, 0.5) == 0.3


@pytest.mark.parametrize("training", [{}, {"checkpoints": 5, "checkpoint_every": 9, "trackers": []}])
def test_what_does_not_change_the_result_is_no_change(training: dict[str, Any], data: Path, finished: Path) -> None:
    assert list(train(short(data, training=training), finished, resume=True)) == [FinishedBefore(finished / "model")]


def test_the_precision_that_auto_resulted_in_is_no_change(data: Path, finished: Path) -> None:
    from ie_cli.modeling.devices import choose_device, choose_precision

    same = choose_precision("auto", choose_device("cpu"))
    made = short(data, training={"precision": same})
    assert list(train(made, finished, resume=True)) == [FinishedBefore(finished / "model")]


def test_training_data_are_compared_by_content(data: Path, finished: Path, tmp_path: Path) -> None:
    moved = write_jsonl(tmp_path / "moved.jsonl", documents(8))
    assert list(train(short(moved), finished, resume=True)) == [FinishedBefore(finished / "model")]
    moved.write_bytes(moved.read_bytes() * 2)
    with pytest.raises(DataError, match=r"is finished, and was trained with different data: data\.train .*moved"):
        list(train(short(moved), finished, resume=True))


def test_a_finished_run_does_not_need_its_data(finished: Path, tmp_path: Path, data: Path) -> None:
    shutil.copytree(finished, tmp_path / "run")
    gone = data.rename(data.with_name("gone.jsonl"))
    try:
        events = list(train(short(data), tmp_path / "run", resume=True))
    finally:
        gone.rename(data)
    assert events == [FinishedBefore(tmp_path / "run" / "model")]


def test_other_test_data_are_a_change_and_moved_ones_are_not(data: Path, tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        shutil.copy(data, tmp_path / name / "test.jsonl")
    one, other = (short(data, data={"test": str(tmp_path / name / "test.jsonl")}) for name in ("one", "other"))
    list(train(one, tmp_path / "run"))
    with pytest.raises(RecipeError, match=r"data\.test was .* and is now"):
        list(train(other, tmp_path / "run", resume=True))
    shutil.rmtree(tmp_path / "one")
    assert list(train(other, tmp_path / "run", resume=True)) == [FinishedBefore(tmp_path / "run" / "model")]


def test_the_command_does_not_ignore_more_epochs(data: Path, finished: Path, tmp_path: Path) -> None:
    from ie_cli.recipe.loader import dump_recipe

    (tmp_path / "recipe.yaml").write_text(dump_recipe(short(data)), encoding="utf-8")
    command = ("train", str(tmp_path / "recipe.yaml"), "--output", str(finished), "--resume")
    unchanged = ie(*command)
    assert (unchanged.exit_code, "already complete" in said(unchanged)) == (0, True)
    result = ie(*command, "--set", "training.epochs=30")
    assert result.exit_code == 1
    assert "training.epochs was 1 and is now 30" in said(result)
