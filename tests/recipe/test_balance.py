"""The fields of a recipe about several tasks: short forms, and what does not fit together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ie_cli.errors import RecipeError
from ie_cli.recipe.balance import BalanceSection, sampling_of
from ie_cli.recipe.loader import dump_recipe, load_recipe

TWO = """\
name: two
encoder: {name: tiny}
tasks:
  ner: {data: {train: a.jsonl}}
  links: {task: relation, data: {train: a.jsonl}}
training:
"""
ONE = """\
name: one
encoder: {name: tiny}
task: relation
data: {train: a.jsonl}
training:
"""


def load(directory: Path, head: str, training: str, *overrides: str) -> Any:
    file = directory / "recipe.yaml"
    file.write_text(f"{head}  {training}\n", encoding="utf-8")
    return load_recipe(file, overrides)


@pytest.mark.parametrize(
    ("training", "expected"),
    [
        ("epochs: 1", {"name": "sum"}),
        ("balance: min_norm", {"name": "min_norm"}),
        ("balance: {name: generalised_mean, gamma: -1}", {"name": "generalised_mean", "gamma": -1.0}),
        ("balance: {name: weights, weights: {ner: 2, links.entities: 0.5}}", {"name": "weights"}),
        ("balance: {name: main_auxiliary, main: ner}", {"name": "main_auxiliary", "main": "ner"}),
        ("balance: {name: main_auxiliary, by: loss, main: links.entities}", {"by": "loss", "main": "links.entities"}),
    ],
)
def test_a_method_is_a_name_or_a_mapping_and_is_dumped_as_it_was_read(
    training: str, expected: dict[str, object], tmp_path: Path
) -> None:
    recipe = load(tmp_path, TWO, training)
    balance = recipe.training.balance
    assert isinstance(balance, BalanceSection)
    assert expected.items() <= balance.model_dump().items()
    again = tmp_path / "again.yaml"
    for explain in (False, True):
        again.write_text(dump_recipe(recipe, explain=explain), encoding="utf-8")
        assert load_recipe(again).training == recipe.training


def test_overrides_address_the_method_and_its_options(tmp_path: Path) -> None:
    recipe = load(tmp_path, TWO, "balance: log", "training.balance=generalised_mean")
    assert recipe.training.balance.name == "generalised_mean"
    recipe = load(tmp_path, TWO, "balance: {name: min_norm}", "training.balance.normalise=true")
    assert recipe.training.balance.normalise
    recipe = load(
        tmp_path, TWO, "balance: {name: weights, weights: {ner: 2}}", "training.balance.weights.links.entities=3"
    )
    assert recipe.training.balance.weights == {"ner": 2.0, "links.entities": 3.0}


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ("balance: min_nrom", "training.balance: got 'min_nrom', expected .*; did you mean 'min_norm'"),
        ("balance: {name: log, gama: 1}", "unknown key 'training.balance.gama'; did you mean 'training.balance.gamma'"),
        ("balance: {name: log, gamma: 1}", "balance.gamma: applies only to generalised_mean, not to log"),
        (
            "balance: {name: grad_norm, normalise: true}",
            "balance.normalise: applies only to min_norm, not to grad_norm",
        ),
        ("balance: {name: cagrad, c: 1.5}", "balance.c: got 1.5, expected a number"),
        ("balance: {name: weights}", "balance.weights: is missing: name the tasks"),
        ("balance: {name: weights, weights: {ner: 0}}", "balance.weights.ner: got 0, expected a number above 0"),
        (
            "balance: {name: weights, weights: {nerr: 1}}",
            "balance.weights.nerr: the recipe has no task 'nerr'; did you mean 'ner'",
        ),
        ("balance: main_auxiliary", "balance.main: is missing"),
        (
            "balance: {name: main_auxiliary, main: link}",
            "balance.main: the recipe has no task 'link'; did you mean 'links'",
        ),
        (
            "balance: {name: main_auxiliary, main: links.entities}",
            "got 'links.entities', expected TASK with `by: task`",
        ),
        ("balance: {name: main_auxiliary, by: loss, main: ner}", "got 'ner', expected TASK.LOSS with `by: loss`"),
        (
            "balance: {name: log, at: last_layer}",
            "balance.at: applies only to methods that compare gradients, not to log",
        ),
        (
            "balance: {name: min_norm, at: representation}",
            "balance.at: got representation, but the batches of several tasks",
        ),
        (
            "{balance: log, sampling: size}",
            "balance.name: log compares the tasks in each step: use training.sampling: together",
        ),
        ("sampling_temperature: 2", "training.sampling_temperature: applies only to training.sampling: temperature"),
        ("select: {nre: 1}", "training.select.nre: the recipe has no such task; did you mean 'ner'"),
        ("select: best", "training.select: got 'best', expected 'mean' or 'worst' or a mapping"),
    ],
)
def test_what_does_not_fit_together_is_an_error_with_its_line(training: str, message: str, tmp_path: Path) -> None:
    head = TWO if not training.startswith("{") else TWO.removesuffix("\n")
    with pytest.raises(RecipeError, match=message) as error:
        load(tmp_path, head, training)
    assert "recipe.yaml:" in error.value.message


def test_a_model_is_selected_by_tasks_with_development_data(tmp_path: Path) -> None:
    with_dev = TWO.replace("ner: {data: {train: a.jsonl}}", "ner: {data: {train: a.jsonl, dev: 0.1}}")
    with pytest.raises(RecipeError, match="training.select: none of its tasks has data.dev; those that have it: ner"):
        load(tmp_path, with_dev, "select: {links: 1}")
    assert load(tmp_path, with_dev, "select: {ner: 1, links: 1}").training.select == {"ner": 1.0, "links": 1.0}


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ("balance: log", "balance.by: got task, but the recipe has only one task: log would have nothing to balance"),
        ("balance: {name: min_norm, at: representation}", "balance.by: got task, but the recipe has only one task"),
    ],
)
def test_one_task_is_balanced_by_loss_only(training: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=message):
        load(tmp_path, ONE, training)
    recipe = load(tmp_path, ONE, "balance: {name: min_norm, by: loss, at: representation}")
    assert sampling_of(recipe) == "together"
    assert load(tmp_path, ONE, "balance: {name: weights, weights: {relation.entities: 2}}").training.balance.weights


@pytest.mark.parametrize(
    ("training", "expected"),
    [
        ("epochs: 1", "in_turn"),
        ("balance: prior", "in_turn"),
        ("balance: log", "together"),
        ("balance: upgrad", "together"),
        ("sampling: size", "size"),
    ],
)
def test_the_sampling_follows_the_method_unless_it_is_given(training: str, expected: str, tmp_path: Path) -> None:
    assert sampling_of(load(tmp_path, TWO, training)) == expected
