"""`ie check --deep`: the models, their recipes, and what is compared."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.corpora import documents, recipe, write_jsonl
from support.runner import ie

from ie_cli.data.findings import Finding
from ie_cli.doctor import cross_folds
from ie_cli.doctor.cross_folds import (
    collect_suspects,
    find_suspects,
    recipe_of_models,
    recipe_without_fold,
    small_recipe,
)
from ie_cli.document import Document, Entity
from ie_cli.errors import DataError
from ie_cli.recipe.schema import DataSection, Recipe
from ie_cli.system.signals import Stopped
from ie_cli.training import run
from ie_cli.training.loss_tracker import LossTracker


def test_the_small_model_needs_no_download_and_fits_the_size(tmp_path: Path) -> None:
    chinese = write_jsonl(tmp_path / "zh.jsonl", documents())
    english = write_jsonl(tmp_path / "en.jsonl", [Document(f"Ann met Bo {n}", [Entity(0, 3, "x")]) for n in range(100)])
    made = small_recipe(DataSection(train=str(chinese), dev=0.1, format="jsonl"))
    assert (made.encoder.name, made.training.learning_rate) == ("hash_cnn", 1.5e-3)
    assert made.data is not None
    assert made.data.format == "jsonl"
    assert made.data.dev is None
    assert made.training.epochs == 600  # one batch each
    assert small_recipe(DataSection(train=str(english))).training.epochs == 100  # six batches each


def test_data_without_entities_are_refused(tmp_path: Path) -> None:
    plain = write_jsonl(tmp_path / "plain.jsonl", [Document("nothing here")])
    with pytest.raises(DataError, match="contains no entities with labels"):
        small_recipe(DataSection(train=str(plain)))
    [error, hint] = find_suspects(recipe(plain), report=str, alone=True)
    assert error == Finding("error", f"--deep: {plain}: contains no entities with labels")
    assert hint.text == "hint: omit --deep for these data."


def test_recipes_of_entities_are_their_own_models_and_others_are_not(tmp_path: Path) -> None:
    train = write_jsonl(tmp_path / "train.jsonl", documents())
    given = recipe(train)
    assert recipe_of_models(given) is given
    relations = given.model_copy(update={"task": "relation"})
    made = recipe_of_models(Recipe.model_validate(relations.model_dump() | {"head": {"name": "gplinker"}}))
    assert made.task == "ner"


def test_every_fold_is_predicted_once_by_a_model_without_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cross_folds, "_ENOUGH_SECONDS", 1e9)
    data = [replace(one, text=f"{one.text} {number}") for number, one in enumerate(documents())]
    train = write_jsonl(tmp_path / "train.jsonl", data)
    made = recipe(train, training={"epochs": 1})
    without = recipe_without_fold(made, 1, 2)
    assert without.data is not None
    assert (without.data.fold, without.data.dev, without.data.test) == ("1/2", None, None)
    said: list[str] = []
    found = collect_suspects(made, folds=2, report=said.append)
    assert said[0] == "training without fold 1 of 2"
    assert re.fullmatch(r"training without fold 2 of 2, about \d+:\d\d left", said[1])
    assert len(said) == 2  # the estimate in the first one has a test of its own
    assert found.entities == sum(len(set(one.entities)) for one in data)


def test_an_interrupted_check_offers_no_resumption(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(made: Recipe, directory: Path) -> Iterator[object]:
        raise Stopped(15, "stopped at step 3 of 9; continue with --resume")
        yield

    monkeypatch.setattr(run, "train", interrupted)
    data = write_jsonl(tmp_path / "train.jsonl", documents())
    with pytest.raises(Stopped) as caught:
        collect_suspects(recipe(data), folds=2, report=str)
    assert (caught.value.signum, caught.value.kept) == (
        15,
        "stopped while training without fold 1 of 2; nothing is kept",
    )
    assert list(tmp_path.iterdir()) == [data]


def test_the_time_of_all_trainings_is_announced_in_the_first_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cross_folds, "_ENOUGH_SECONDS", 0.0)
    monkeypatch.setattr(LossTracker, "due", lambda self: True)
    train = write_jsonl(tmp_path / "train.jsonl", documents())
    said: list[str] = []
    collect_suspects(recipe(train, training={"epochs": 1}), folds=2, report=said.append)
    assert len(said) == 3
    assert re.fullmatch(r"about \d+:\d\d for the 2 models", said[1])


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> list[Recipe]:
    """Records the recipes of models instead of training them."""
    given: list[Recipe] = []

    def find(made: Recipe, *, report: Callable[[str], None], alone: bool = False) -> Iterator[Finding]:
        assert alone
        given.append(made)
        report("training")
        yield Finding("note", "train: one place:\n  f:1")

    monkeypatch.setattr(cross_folds, "find_suspects", find)
    return given


def test_the_command_reports_the_places(tmp_path: Path, stub: list[Recipe]) -> None:
    train = write_jsonl(tmp_path / "train.jsonl", documents())
    plain = ie("check", str(train))
    assert plain.exit_code == 0, plain.stderr
    assert "train: one place" not in plain.stderr
    result = ie("check", str(train), "--deep")
    assert result.exit_code == 0
    assert "training\ntrain: one place:\n  f:1\n" in result.stderr
    assert ie("check", str(train), "--deep", "--json").stdout.count("one place") == 1
    train.write_text(train.read_text(encoding="utf-8") + "nonsense\n", encoding="utf-8")
    assert ie("check", str(train), "--deep").exit_code == 1
    assert len(stub) == 2  # not with errors
