from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from ie_cli.errors import RecipeError
from ie_cli.recipe.heads import GlobalPointerSection, HeadSection
from ie_cli.recipe.loader import dump_recipe, load_recipe
from ie_cli.recipe.schema import DataSection, EncoderSection, Recipe, TrainingSection

SECTIONS = [Recipe, DataSection, EncoderSection, HeadSection, GlobalPointerSection, TrainingSection]


@pytest.mark.parametrize("section", SECTIONS)
def test_every_field_has_help(section: type[BaseModel]) -> None:
    assert section.model_fields
    for name, field in section.model_fields.items():
        assert field.description, name


@pytest.mark.parametrize("section", SECTIONS)
def test_sections_are_closed_and_frozen(section: type[BaseModel]) -> None:
    assert section.model_config["extra"] == "forbid"
    assert section.model_config["frozen"]


def test_few_fields_are_required() -> None:
    recipe = Recipe.model_validate({"name": "a", "data": {"train": "t.jsonl"}, "encoder": {"name": "tiny"}})
    assert recipe.head.name == "efficient_global_pointer"
    assert recipe.training == TrainingSection()


def test_numbers_are_not_guessed_from_text() -> None:
    with pytest.raises(ValidationError):
        TrainingSection.model_validate({"epochs": "3"})


def test_pairs_have_no_windows_and_so_no_stride_that_must_fit(tmp_path: Path) -> None:
    """The default stride is lowered for them, also in the stored recipe; a stride that a user gives is checked as ever."""
    base = "name: a\ntask: match\ndata: {train: t}\nencoder: {name: tiny, max_length: 32%s}\nhead: {name: cosent}\n"
    file = tmp_path / "recipe.yaml"
    file.write_text(base % "", encoding="utf-8")
    recipe = load_recipe(file)
    assert recipe.encoder.stride == 8
    file.write_text(dump_recipe(recipe), encoding="utf-8")
    assert load_recipe(file, stored=True).encoder == recipe.encoder
    file.write_text(base % ", stride: 40", encoding="utf-8")
    with pytest.raises(RecipeError, match=r"encoder\.stride: got 40, expected at most 29"):
        load_recipe(file)
    both = "name: a\nencoder: {name: tiny, max_length: %d}\ntasks:\n  ner: {data: {train: t}}\n"
    file.write_text(both % 32 + "  pairs: {task: match, data: {train: t}, head: {name: cosent}}\n", encoding="utf-8")
    with pytest.raises(RecipeError, match=r"encoder\.stride: got 64"):
        load_recipe(file)
