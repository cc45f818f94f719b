"""Fields of `training` for better models from the same data: their forms, and what they do not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ie_cli.errors import RecipeError
from ie_cli.recipe.loader import dump_recipe, load_recipe
from ie_cli.recipe.schema import Recipe, TrainingSection
from ie_cli.recipe.techniques import AdversarialSection
from ie_cli.recipe.yaml import parse
from ie_cli.training.techniques.adversarial import FastGradient
from ie_cli.training.techniques.averaged_weights import AveragedWeights
from ie_cli.training.techniques.build import build_techniques

START = "name: test\ndata: {train: train.jsonl}\nencoder: {name: tiny}\n"


def load(tmp_path: Path, training: str, head: str = "efficient_global_pointer", **options: Any) -> Recipe:
    path = tmp_path / "recipe.yaml"
    path.write_text(f"{START}head: {head}\ntraining: {training}\n", encoding="utf-8")
    return load_recipe(path, **options)


@pytest.mark.parametrize(
    ("value", "epsilon"),
    [("fgm", 1.0), ("0.5", 0.5), ("2", 2.0), ("{epsilon: 0.5}", 0.5), ("{name: fgm}", 1.0)],
)
def test_the_forms_of_adversarial_training(value: str, epsilon: float, tmp_path: Path) -> None:
    recipe = load(tmp_path, f"{{adversarial: {value}}}")
    assert recipe.training.adversarial == AdversarialSection(epsilon=epsilon)
    dumped = tmp_path / "dumped.yaml"
    dumped.write_text(dump_recipe(recipe), encoding="utf-8")
    assert load_recipe(dumped).training == recipe.training
    assert ("adversarial: fgm\n" in dumped.read_text(encoding="utf-8")) == (epsilon == 1.0)


def test_overrides_set_and_remove_it(tmp_path: Path) -> None:
    given = "{adversarial: fgm, ema: 0.9}"
    changed = load(tmp_path, given, overrides=["training.adversarial.epsilon=3"]).training.adversarial
    assert changed == AdversarialSection(epsilon=3.0)
    removed = load(tmp_path, given, overrides=["training.adversarial=null", "training.ema=null"]).training
    assert (removed.adversarial, removed.ema) == (None, None)


def test_the_recipe_builds_the_techniques_the_innermost_first(tmp_path: Path) -> None:
    assert build_techniques(load(tmp_path, "{}")) == []
    both = build_techniques(load(tmp_path, "{ema: 0.9, adversarial: fgm}"))
    assert [type(technique) for technique in both] == [FastGradient, AveragedWeights]


MISFITS = [
    ("adversarial: fgm, balance: {name: min_norm, by: loss}", "gplinker", "determines only after the second pass"),
    ("adversarial: fgm, accumulation: 2", "cosent", "so that the second pass cannot be computed batch by batch"),
]


@pytest.mark.parametrize(("training", "head", "message"), MISFITS)
def test_what_does_not_fit_is_an_error_with_its_line(training: str, head: str, message: str, tmp_path: Path) -> None:
    field = training.partition(":")[0]
    with pytest.raises(RecipeError, match=rf"recipe\.yaml:5: training\.{field}: .*{message}"):
        load(tmp_path, f"{{{training}}}", head)


@pytest.mark.parametrize(("training", "head", "message"), MISFITS)
def test_a_recipe_built_in_python_is_checked_when_it_is_trained(
    training: str, head: str, message: str, tmp_path: Path
) -> None:
    recipe = load(tmp_path, "{}", head)
    changed = recipe.model_copy(update={"training": TrainingSection.model_validate(parse(f"{{{training}}}").data)})
    with pytest.raises(RecipeError, match=message):
        build_techniques(changed)


@pytest.mark.parametrize("value", ["0", "1", "1.5", "-0.1", "yes"])
def test_a_decay_is_between_0_and_1(value: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"training\.ema: got .*expected a number above 0 and below 1"):
        load(tmp_path, f"{{ema: {value}}}")


@pytest.mark.parametrize("value", ["0", "101", "pgd", "true", "{epsilon: 0}"])
def test_another_method_or_length_is_an_error(value: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"recipe\.yaml:5: training\.adversarial(\.epsilon)?: got "):
        load(tmp_path, f"{{adversarial: {value}}}")
