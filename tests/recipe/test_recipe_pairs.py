"""Recipes of pairs of texts: their heads, and the options that have no meaning there."""

from __future__ import annotations

from pathlib import Path

import pytest

from ie_cli.errors import RecipeError
from ie_cli.recipe.heads import CosentSection, CrossEncoderSection, heads_of
from ie_cli.recipe.loader import dump_recipe, load_recipe

SMALL = "name: a\ntask: match\ndata: {train: t.jsonl}\nencoder: {name: tiny, max_length: 32}\n"


def write(directory: Path, text: str) -> Path:
    path = directory / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_default_head_is_cosent_with_the_published_scale(tmp_path: Path) -> None:
    head = load_recipe(write(tmp_path, SMALL)).head
    assert isinstance(head, CosentSection)
    assert (head.pooling, head.scale) == ("mean", 20.0)
    assert heads_of("match") == ["cosent", "sbert", "infersent", "cross_encoder"]


@pytest.mark.parametrize("name", heads_of("match"))
def test_a_head_names_its_task(name: str, tmp_path: Path) -> None:
    made = load_recipe(write(tmp_path, SMALL.replace("task: match", f"head: {name}")))
    assert made.task == "match"
    again = write(tmp_path, dump_recipe(made))
    assert load_recipe(again, stored=True) == made.model_copy(update={"data": load_recipe(again, stored=True).data})


@pytest.mark.parametrize("name", heads_of("match"))
@pytest.mark.parametrize("option", ["threshold: 0.4", "thresholds: {yes: 0.4}", "flat: true"])
def test_thresholds_and_overlaps_have_no_meaning(name: str, option: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as error:
        load_recipe(write(tmp_path, f"{SMALL}head: {{name: {name}, {option}}}\n"))
    field = option.partition(":")[0]
    assert f"recipe.yaml:5: head.{field}: the head {name} has no such field, only " in str(error.value)


def test_a_pooling_belongs_to_the_heads_with_vectors(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="the head cross_encoder has no such field, only cosent, sbert, infersent"):
        load_recipe(write(tmp_path, f"{SMALL}head: {{name: cross_encoder, pooling: cls}}\n"))
    with pytest.raises(RecipeError, match="head.pooling: got 'max', expected 'cls', 'mean' or 'first_last'"):
        load_recipe(write(tmp_path, f"{SMALL}head: {{name: cosent, pooling: max}}\n"))


def test_a_head_of_pairs_needs_their_task(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="task ner supports"):
        load_recipe(write(tmp_path, SMALL.replace("match", "ner") + "head: cosent\n"))


def test_only_the_cross_entropy_has_weights_of_classes() -> None:
    assert CrossEncoderSection(name="cross_encoder").classifies
    assert not CrossEncoderSection(name="cross_encoder", loss="cosent").classifies
    assert not CosentSection(name="cosent").classifies
