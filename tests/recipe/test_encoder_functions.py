"""The options that change what an encoder computes, in the recipe: their limits, and the warnings for pretrained encoders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ie_cli.errors import RecipeError
from ie_cli.recipe.encoder_functions import changes_of_pretrained
from ie_cli.recipe.loader import load_recipe
from ie_cli.recipe.schema import Recipe


def made(tmp_path: Path, *overrides: str, name: str = "bert-base-chinese") -> Recipe:
    file = tmp_path / "recipe.yaml"
    file.write_text(f"name: a\ndata: {{train: a.jsonl}}\nencoder: {{name: {name}}}\n")
    return load_recipe(file, [f"encoder.{override}" for override in overrides])


LOG_N = "attention_scale=log_n"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["activation=gelu"], "encoder.activation: got 'gelu', expected .*squareplus"),
        (["attention_scale=log"], "encoder.attention_scale: got 'log', expected .*log_n"),
        (
            ["activation=squareplus", "squareplus_b=0"],
            "encoder.squareplus_b: got 0, expected a number from 0.0001 to 100",
        ),
        ([LOG_N, "attention_base=1"], "encoder.attention_base: got 1, expected an integer from 2"),
        ([LOG_N, "attention_floor=0"], "encoder.attention_floor: got 0, expected an integer from 1"),
        (["squareplus_b=4"], "encoder.squareplus_b: got 4, but it has no effect without encoder.activation"),
        (["attention_base=64"], "encoder.attention_base: got 64, but it has no effect without encoder.attention_scale"),
        (
            ["attention_floor=64"],
            "encoder.attention_floor: got 64, but it has no effect without encoder.attention_scale",
        ),
    ],
)
def test_what_is_refused(overrides: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=message):
        made(tmp_path, *overrides)


def test_both_options_are_off_by_default(tmp_path: Path) -> None:
    encoder = made(tmp_path).encoder
    assert (encoder.activation, encoder.attention_scale) == (None, None)
    assert list(changes_of_pretrained(made(tmp_path))) == []


def test_a_pretrained_encoder_gets_a_warning_with_the_factors(tmp_path: Path) -> None:
    [text] = changes_of_pretrained(made(tmp_path, LOG_N, "max_length=128", "attention_floor=2"))
    assert text.startswith("encoder.attention_scale: log_n changes what bert-base-chinese computes")
    assert "0.444 at 16, 0.667 at 64, 0.778 at 128 (encoder.max_length)" in text
    [text] = changes_of_pretrained(made(tmp_path, "activation=squareplus"))
    assert text.startswith("encoder.activation: squareplus changes what bert-base-chinese computes")
    assert len(list(changes_of_pretrained(made(tmp_path, LOG_N, "activation=squareplus")))) == 2


def test_nothing_is_said_where_nothing_changes(tmp_path: Path) -> None:
    assert not list(changes_of_pretrained(made(tmp_path, LOG_N, "activation=squareplus", name="tiny")))
    floor = [LOG_N, "attention_base=256", "attention_floor=256"]
    assert not list(changes_of_pretrained(made(tmp_path, *floor, "max_length=256")))
    [text] = changes_of_pretrained(made(tmp_path, *floor, "max_length=512"))
    assert "1.000 at 64, 1.125 at 512" in text


def test_a_model_to_start_from_has_the_options_already(tmp_path: Path) -> None:
    recipe = made(tmp_path, LOG_N, "activation=squareplus")
    training: Any = recipe.training.model_copy(update={"init_from": "runs/a/model"})
    assert not list(changes_of_pretrained(recipe.model_copy(update={"training": training})))
