from __future__ import annotations

from pathlib import Path

import pytest

from ie_cli.errors import RecipeError
from ie_cli.recipe.folds import fold_of
from ie_cli.recipe.loader import dump_recipe, load_recipe


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text("name: x\ndata: {train: a.jsonl, fold: 2/5}\nencoder: {name: tiny}\n", encoding="utf-8")
    return path


def test_a_fold_is_read_and_written(file: Path, tmp_path: Path) -> None:
    made = load_recipe(file)
    assert made.data is not None
    assert made.data.fold == "2/5"
    assert fold_of(made.data.fold) == (2, 5)
    assert made.data.has_dev
    again = tmp_path / "again.yaml"
    again.write_text(dump_recipe(made), encoding="utf-8")
    assert load_recipe(again, stored=True).data == made.data


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.fold=0/5", "data.fold: got '0/5', expected a fold and the number of folds, such as 2/5"),
        ("data.fold=two", "data.fold: got 'two', expected a fold and the number of folds, such as 2/5"),
        (
            "data.fold=6/5",
            "data.fold: got '6/5', expected a fold and the number of folds, such as 2/5, with at least two",
        ),
        (
            "data.fold=1/1",
            "data.fold: got '1/1', expected a fold and the number of folds, such as 2/5, with at least two",
        ),
        ("data.dev=0.1", "data.fold: the fold is the development data: remove data.dev"),
        ("name=é", "name: got 'é', expected letters, digits"),
    ],
)
def test_other_values_are_errors(override: str, message: str, file: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(file, [override])
    assert message in caught.value.message


def test_a_fold_counts_as_dev_for_the_selection(file: Path) -> None:
    file.write_text(
        "name: x\nencoder: {name: tiny}\n"
        "tasks:\n  a: {task: ner, data: {train: a.jsonl, fold: 1/2}}\n  b: {task: ner, data: {train: a.jsonl}}\n",
        encoding="utf-8",
    )
    with pytest.raises(RecipeError, match=r"none of its tasks has data.dev; those that have it: a"):
        load_recipe(file, ["training.select={b: 1.0}"])
    load_recipe(file, ["training.select={b: 1.0}", "tasks.b.data.fold=1/2"])
