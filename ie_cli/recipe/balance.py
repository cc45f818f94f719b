"""The section `training.balance`: how the losses of several tasks, or of one task, are combined into one gradient."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from ie_cli.errors import did_you_mean
from ie_cli.recipe.base import Million, Section, Text
from ie_cli.recipe.yaml import Loc

if TYPE_CHECKING:
    from ie_cli.recipe.schema import Recipe

BalanceName = Literal[
    "sum",
    "weights",
    "initial_loss",
    "prior",
    "log",
    "generalised_mean",
    "grad_norm",
    "min_norm",
    "main_auxiliary",
    "upgrad",
    "pcgrad",
    "cagrad",
    "aligned_mtl",
    "imtl",
    "gradvac",
]
CONSTANT = frozenset({"sum", "weights", "initial_loss", "prior"})
"""Methods whose weights do not change during a run."""
BY_LOSSES = frozenset({"log", "generalised_mean"})
"""Methods whose weights depend on the losses of a step; those of all others depend on its gradients."""
TORCHJD = frozenset({"upgrad", "pcgrad", "cagrad", "aligned_mtl", "imtl", "gradvac"})
"""Methods that the package torchjd computes."""
Sampling = Literal["in_turn", "size", "temperature", "together"]
Weight = Annotated[float, Field(gt=0)]


class BalanceSection(Section):
    name: BalanceName = "sum"
    """How the losses are combined. `sum`, `weights`, `initial_loss` and `prior` have constant weights; `log` and
    `generalised_mean` use the losses of a step; all others use the gradients of a step at the shared weights. `upgrad`, `pcgrad`,
    `cagrad`, `aligned_mtl`, `imtl` and `gradvac` need the extra `balance`."""
    by: Literal["task", "loss"] = "task"
    """What is balanced: the tasks, each with the sum of its losses; or every loss, which also works within a single task."""
    at: Literal["shared", "last_layer", "representation"] = "shared"
    """Gradients are compared at all weights of the encoder, at those of its last layer, or at its output; the latter only with
    `by: loss` in a recipe with one task."""
    weights: dict[Text, Weight] = {}
    """`weights`: the weight of each loss, by the name of a task or as TASK.LOSS; 1 if omitted."""
    batches: Million | None = None
    """`initial_loss`, `prior`: number of batches of each task from which the first losses are computed; 8 if omitted."""
    gamma: Annotated[float, Field(ge=-100, le=100)] | None = None
    """`generalised_mean`: the exponent γ of (mean of L^γ)^(1/γ). 1 is the mean; 0, the geometric mean, is the default."""
    normalise: bool = False
    """`min_norm`: scale all gradients to length 1 first."""
    main: Text | None = None
    """`main_auxiliary`: the main task, whose gradient is changed only as far as another loss would rise; or a loss, TASK.LOSS."""
    c: Annotated[float, Field(ge=0, lt=1)] | None = None
    """`cagrad`: how far the direction may be from the mean gradient, relative to its length; 0.5 if omitted."""
    beta: Annotated[float, Field(ge=0, le=1)] | None = None
    """`gradvac`: the rate at which the expected cosines follow those of the steps; 0.5 if omitted."""

    @property
    def short_form(self) -> str | None:
        """The name of the method, if all options have their defaults."""
        return self.name if self == BalanceSection(name=self.name) else None


def _expanded(value: Any) -> Any:
    """Expand the short form, a name alone."""
    return {"name": value} if isinstance(value, str) else value


Balance = Annotated[BalanceSection, BeforeValidator(_expanded, json_schema_input_type=BalanceName | BalanceSection)]
Select = Literal["mean", "worst"] | Annotated[dict[Text, Weight], Field(min_length=1)]

_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "weights": ("weights",),
    "batches": ("initial_loss", "prior"),
    "gamma": ("generalised_mean",),
    "normalise": ("min_norm",),
    "main": ("main_auxiliary",),
    "c": ("cagrad",),
    "beta": ("gradvac",),
}
"""The methods that each option applies to."""


def sampling_of(recipe: Recipe) -> Sampling:
    """Return how a recipe draws the batches of its tasks; methods that compare the tasks in a step need one of each."""
    if recipe.training.sampling is not None:
        return recipe.training.sampling
    return "in_turn" if recipe.training.balance.name in CONSTANT else "together"


def balance_problems(recipe: Recipe) -> Iterator[tuple[Loc, str]]:
    """Yield the fields of `training` about several tasks that do not fit the others, and a message."""
    training, tasks = recipe.training, recipe.instances()
    yield from ((("training", "balance", *loc), message) for loc, message in _option_problems(training.balance))
    yield from ((("training", "balance", *loc), message) for loc, message in _task_problems(recipe))
    if isinstance(training.select, dict):
        for name in training.select:
            if name not in tasks:
                yield ("training", "select", name), f"the recipe has no such task{did_you_mean(name, tasks)}"
        with_dev = {name for name, section in tasks.items() if section.data.has_dev}
        if with_dev and not with_dev & training.select.keys():
            yield (
                ("training", "select"),
                f"none of its tasks has data.dev; those that have it: {', '.join(sorted(with_dev))}",
            )
    if training.sampling_temperature is not None and training.sampling != "temperature":
        yield ("training", "sampling_temperature"), "applies only to training.sampling: temperature"


def _option_problems(balance: BalanceSection) -> Iterator[tuple[Loc, str]]:
    """Yield the options that the method does not have, or lacks."""
    name = balance.name
    for option, methods in _OPTIONS.items():
        given = getattr(balance, option) not in ({}, None, False)
        if given and name not in methods:
            yield (option,), f"applies only to {' and '.join(methods)}, not to {name}"
    if name == "weights" and not balance.weights:
        yield ("weights",), "is missing: name the tasks with their weights, e.g. {ner: 1.0, relation: 0.5}"
    if name == "main_auxiliary" and balance.main is None:
        yield ("main",), "is missing: name the main task"
    if balance.at != "shared" and name in CONSTANT | BY_LOSSES:
        yield ("at",), f"applies only to methods that compare gradients, not to {name}"


def _task_problems(recipe: Recipe) -> Iterator[tuple[Loc, str]]:
    """Yield what does not fit the tasks of a recipe."""
    training, tasks = recipe.training, recipe.instances()
    balance = training.balance
    name = balance.name
    if len(tasks) == 1 and balance.by == "task" and name not in {"sum", "weights"}:
        yield (
            ("by",),
            f"got task, but the recipe has only one task: {name} would have nothing to balance; use `by: loss`",
        )
    if len(tasks) > 1 and name not in CONSTANT and training.sampling not in (None, "together"):
        yield ("name",), f"{name} compares the tasks in each step: use training.sampling: together, or omit it"
    if balance.at == "representation" and name not in CONSTANT | BY_LOSSES:
        if len(tasks) > 1:
            yield (
                ("at",),
                "got representation, but the batches of several tasks contain different texts, so that their gradients there "
                "are always orthogonal; use shared or last_layer",
            )
        elif balance.by == "task":
            yield ("at",), "got representation, which needs `by: loss`"
    named = [*balance.weights] if balance.main is None else [*balance.weights, balance.main]
    for number, objective in enumerate(named):
        loc: Loc = ("weights", objective) if number < len(balance.weights) else ("main",)
        task, dot, _ = objective.partition(".")
        if objective in tasks and (balance.by == "task" or name == "weights"):
            continue
        if task not in tasks:
            yield loc, f"the recipe has no task '{task}'{did_you_mean(task, tasks)}"
        elif name != "weights" and (balance.by == "task") == bool(dot):
            yield (
                loc,
                f"got '{objective}', expected {'TASK' if balance.by == 'task' else 'TASK.LOSS'} with `by: {balance.by}`",
            )
