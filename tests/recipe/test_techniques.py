"""Fields of `training` for better models from the same data: their forms, and what they do not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.heads import HIDDEN, built
from torch import nn
from transformers import BertConfig

from ie_cli.errors import RecipeError
from ie_cli.modeling.losses.options import LossOptions
from ie_cli.modeling.model import ExtractionModel
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


def untrained(**probabilities: float) -> ExtractionModel:
    """A model whose encoder has nothing but dropout."""
    encoder = nn.Linear(HIDDEN, HIDDEN)
    encoder.get_input_embeddings = lambda: encoder  # type: ignore[assignment]
    encoder.config = BertConfig(**(probabilities or {"hidden_dropout_prob": 0.1}))  # type: ignore[assignment]
    return ExtractionModel(encoder, {"ner": built("efficient_global_pointer")})


def options(model: ExtractionModel) -> LossOptions:
    found: LossOptions = model.head("ner").tables["entities"].options  # type: ignore[attr-defined]
    return found


def test_two_equal_passes_are_an_error(tmp_path: Path) -> None:
    recipe = load(tmp_path, "{r_drop: 1.0}")
    none = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "classifier_dropout": 0.1}
    with pytest.raises(RecipeError, match="both passes would be the same"):
        build_techniques(recipe, untrained(**none))
    build_techniques(recipe, untrained(**{**none, "attention_probs_dropout_prob": 0.1}))
    model = untrained(**none)
    model.head("ner").input_dropout.p = 0.1
    build_techniques(recipe, model)


def test_the_recipe_builds_the_techniques_the_innermost_first(tmp_path: Path) -> None:
    model = untrained()
    assert build_techniques(load(tmp_path, "{}"), model) == []
    assert (model.r_drop, options(model)) == (None, LossOptions())
    training = "{ema: 0.9, adversarial: fgm, r_drop: 2, label_smoothing: 0.1, negative_sampling: 0.35}"
    both = build_techniques(load(tmp_path, training), model)
    assert (model.r_drop, options(model)) == (2.0, LossOptions(smoothing=0.1, negatives=0.35))
    assert [type(technique) for technique in both] == [FastGradient, AveragedWeights]


MISFITS = [
    ("adversarial: fgm, balance: {name: min_norm, by: loss}", "gplinker", "determines only after the second pass"),
    ("adversarial: fgm, accumulation: 2", "cosent", "so that the second pass cannot be computed batch by batch"),
    (
        "r_drop: 1.0",
        "crf",
        r"and the head crf has none \(task ner\); omit it, or use one of efficient_global_pointer, ",
    ),
    ("r_drop: 1.0", "biaffine", "compares a score for each span and label, and the head biaffine has none"),
    ("label_smoothing: 0.1", "casrel", "that of the head casrel has no such form"),
    ("label_smoothing: 0.1", "biaffine", "that of the head biaffine has no such form"),
    ("negative_sampling: 0.35", "tplinker", "the loss of the head tplinker is not one of spans"),
    ("negative_sampling: 0.35", "cross_encoder", "the loss of the head cross_encoder is not one of spans"),
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
        build_techniques(changed, untrained())


@pytest.mark.parametrize("value", ["0", "1", "1.5", "-0.1", "yes"])
def test_a_decay_is_between_0_and_1(value: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"training\.ema: got .*expected a number above 0 and below 1"):
        load(tmp_path, f"{{ema: {value}}}")


def test_smoothed_labels_stay_above_the_threshold(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"label_smoothing: got 0\.5, expected a number from 0 to below 0\.5"):
        load(tmp_path, "{label_smoothing: 0.5}")


@pytest.mark.parametrize("value", ["0", "101", "pgd", "true", "{epsilon: 0}"])
def test_another_method_or_length_is_an_error(value: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"recipe\.yaml:5: training\.adversarial(\.epsilon)?: got "):
        load(tmp_path, f"{{adversarial: {value}}}")
