"""`data.context`: its short form, its bounds, its place in a dumped recipe, and the heads that it applies to."""

from __future__ import annotations

from pathlib import Path

import pytest

from ie_cli.errors import RecipeError
from ie_cli.recipe.context import ContextSection
from ie_cli.recipe.loader import dump_recipe, load_recipe
from ie_cli.recipe.schema import Recipe

RECIPE = "name: test\nencoder: {name: tiny}\ndata:\n  train: train.jsonl\n  context: {context}\n"


def load(tmp_path: Path, context: str, *overrides: str) -> Recipe:
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE.replace("{context}", context), encoding="utf-8")
    return load_recipe(path, overrides)


def context_of(recipe: Recipe) -> ContextSection | None:
    return recipe.instances()["ner"].data.context


@pytest.mark.parametrize(
    ("written", "expected", "dumped"),
    [
        ("null", None, "  context: null\n"),
        ("", None, "  context: null\n"),
        ("5", ContextSection(texts=5), "  context: 5\n"),
        ("{texts: 5}", ContextSection(texts=5), "  context: 5\n"),
        ("{}", ContextSection(), "  context: 3\n"),
        (r'{share: 1, joiner: "\n"}', ContextSection(share=1, joiner="\n"), "    share: 1.0\n"),
        ("{order: random, texts: 2}", ContextSection(order="random", texts=2), "    order: random\n"),
    ],
)
def test_it_is_a_number_or_a_mapping_and_is_dumped_as_it_was_read(
    written: str, expected: ContextSection | None, dumped: str, tmp_path: Path
) -> None:
    recipe = load(tmp_path, written)
    assert context_of(recipe) == expected
    text = dump_recipe(recipe)
    assert dumped in text
    (tmp_path / "again.yaml").write_text(text, encoding="utf-8")
    assert load_recipe(tmp_path / "again.yaml", stored=True) == recipe
    (tmp_path / "again.yaml").write_text(dump_recipe(recipe, explain=True), encoding="utf-8")
    assert load_recipe(tmp_path / "again.yaml", stored=True) == recipe


def test_it_is_off_by_default(tmp_path: Path) -> None:
    assert context_of(load(tmp_path, "null", "data.context=null")) is None
    assert context_of(load(tmp_path, "4", "data.context=null")) is None


def test_overrides_address_the_number_and_the_options(tmp_path: Path) -> None:
    assert context_of(load(tmp_path, "null", "data.context=4")) == ContextSection(texts=4)
    assert context_of(load(tmp_path, "null", "data.context.share=0.25", "data.context.texts=6")) == ContextSection(
        texts=6, share=0.25
    )
    assert context_of(load(tmp_path, "{order: random}", "data.context.texts=6")) == ContextSection(
        texts=6, order="random"
    )


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("1", "recipe.yaml:5: data.context: got 1, expected an integer from 2 to 100 or a mapping"),
        ("true", "data.context: got true, expected an integer from 2 to 100 or a mapping"),
        ("{texts: 101}", "data.context.texts: got 101, expected an integer from 2 to 100"),
        ("{share: 1.5}", "data.context.share: got 1.5, expected a number from 0 to 1"),
        ("{order: near}", "data.context.order: got 'near', expected 'neighbours' or 'random'"),
        ("{joiner: 1}", "data.context.joiner: got 1, expected text"),
        ("{shere: 1}", "unknown key 'data.context.shere'; did you mean 'data.context.share'?"),
    ],
)
def test_a_wrong_value_is_an_error_with_its_line(written: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as error:
        load(tmp_path, written)
    assert message in str(error.value)


def test_pairs_of_texts_are_not_joined(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"data\.context: applies only to heads that find items in a text, not to"):
        load(tmp_path, "2", "task=match", "head=sbert")
