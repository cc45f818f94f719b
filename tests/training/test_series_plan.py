from __future__ import annotations

from pathlib import Path

import pytest
from support.corpora import recipe

from ie_cli.errors import RecipeError
from ie_cli.recipe.schema import Recipe
from ie_cli.training.series_plan import folds_plan, seeds_plan

FILE = Path("train.jsonl")


def several_tasks(**second: object) -> Recipe:
    section = recipe(FILE, data={"dev": 0.1}).model_dump(include={"task", "data", "head"})
    other = {**section, "data": {**section["data"], **second}}
    encoder = {"name": "tiny"}
    return Recipe.model_validate({"name": "two", "encoder": encoder, "tasks": {"one": section, "other": other}})


def test_seeds_are_consecutive_and_nothing_else_but_the_name_changes() -> None:
    made = recipe(FILE, training={"seed": 7})
    plan = seeds_plan(made, 3)
    assert plan.names == ["seed-7", "seed-8", "seed-9"]
    assert [member.label for member in plan.members] == ["7", "8", "9"]
    assert plan.option == "--seeds 3"
    for seed, member in zip((7, 8, 9), plan.members, strict=True):
        fields = member.recipe.model_dump()
        assert fields["name"] == f"test-seed-{seed}"
        assert fields["training"]["seed"] == seed
        fields["name"], fields["training"]["seed"] = "test", 7
        assert fields == made.model_dump()


def test_folds_replace_a_fraction_of_train_in_every_task() -> None:
    single = folds_plan(recipe(FILE, data={"dev": 0.2}), 3)
    assert single.names == ["fold-1", "fold-2", "fold-3"]
    sections = [member.recipe.instances()["ner"].data for member in single.members]
    assert [(data.dev, data.fold) for data in sections] == [(None, "1/3"), (None, "2/3"), (None, "3/3")]
    several = folds_plan(several_tasks(), 2)
    for member in several.members:
        for section in member.recipe.instances().values():
            assert (section.data.dev, section.data.fold) == (None, f"{member.label}/2")
        assert Recipe.model_validate(member.recipe.model_dump()) == member.recipe  # a valid recipe, which is stored


@pytest.mark.parametrize(
    ("made", "count", "message"),
    [
        (recipe(FILE), 1, "--seeds: got 1, expected at least 2"),
        (recipe(FILE, training={"seed": 2**32 - 2}), 3, "and the 2 seeds after it exceed 4294967295"),
        (recipe(FILE, data={"dev": None}), 2, "neither data.dev nor data.test"),
    ],
)
def test_seeds_that_are_not_possible(made: Recipe, count: int, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        seeds_plan(made, count)


def test_seeds_can_be_compared_on_test_or_a_fold_alone() -> None:
    assert seeds_plan(recipe(FILE, data={"dev": None, "test": "test.jsonl"}), 2).names == ["seed-42", "seed-43"]
    assert seeds_plan(recipe(FILE, data={"dev": None, "fold": "1/5"}), 2).names == ["seed-42", "seed-43"]


@pytest.mark.parametrize(
    ("made", "count", "message"),
    [
        (recipe(FILE, data={"dev": 0.1}), 1, "--folds: got 1"),
        (recipe(FILE, data={"dev": 0.1}), 1001, "--folds: got 1001"),
        (recipe(FILE, data={"dev": "dev.jsonl"}), 5, "from data.train, but data.dev names dev.jsonl"),
        (recipe(FILE, data={"dev": None, "fold": "1/5"}), 5, r"sets data.fold, but the recipe has it, too \(1/5\)"),
        (several_tasks(dev=["a.jsonl", "b.jsonl"]), 5, "but tasks.other.data.dev names a.jsonl, b.jsonl"),
    ],
)
def test_folds_that_are_not_possible(made: Recipe, count: int, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        folds_plan(made, count)
