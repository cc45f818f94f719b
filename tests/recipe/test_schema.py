from __future__ import annotations

import pytest
from pydantic import BaseModel, ValidationError

from ie_cli.recipe.heads import GlobalPointerSection, HeadSection
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
