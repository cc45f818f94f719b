"""Build the balancer that a recipe names."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

from accelerate import Accelerator

from ie_cli.errors import ModelError, RecipeError, TrainingError, did_you_mean
from ie_cli.modeling.batch import Batch
from ie_cli.modeling.losses.options import LossOptions
from ie_cli.recipe.balance import CONSTANT, TORCHJD, BalanceSection
from ie_cli.recipe.schema import Recipe
from ie_cli.training.balancing.base import Balancer, Weighting
from ie_cli.training.balancing.by_torchjd import ByTorchJD
from ie_cli.training.balancing.constant import ConstantWeights
from ie_cli.training.balancing.representation import RepresentationWeights
from ie_cli.training.balancing.start_values import (
    BATCHES,
    initial_weights,
    loss_names,
    own_random_state,
    prior_weights,
)
from ie_cli.training.balancing.step_weights import StepWeights
from ie_cli.training.balancing.weightings import GeneralisedMean, GradNorm, Log, MainAuxiliary, MinNorm
from ie_cli.training.batching import TaskMixture, TasksInTurn
from ie_cli.training.processes import Processes
from ie_cli.training.setup import TrainingSetup

_LAYER = re.compile(r"(?:^|\.)layers?\.(\d+)\.")


def build_balancer(
    recipe: Recipe,
    setup: TrainingSetup,
    accelerator: Accelerator,
    batches: tuple[TaskMixture, TasksInTurn],
    *,
    processes: Processes | None = None,
) -> Balancer:
    """Build the balancer of a run, whose model is on its device.

    Args:
        recipe: the recipe.
        setup: the model and its training data.
        accelerator: the accelerator.
        batches: the windows and the sampler.
        processes: the processes of the run.

    Raises:
        RecipeError: the recipe names a loss that no head has, or there is only one loss.
        TrainingError: the options do not support several processes.
    """
    section = recipe.training.balance
    if section.name == "sum":
        return ConstantWeights()
    weights = setup.weights_on(accelerator.device)
    drawn = _Drawn(batches, accelerator, seed=recipe.training.seed)

    def losses(batch: Batch) -> dict[str, Any]:
        found: dict[str, Any] = setup.model(batch, weights)
        return found

    names = loss_names(losses, drawn.first(1), seed=recipe.training.seed)
    objectives = names if section.by == "loss" else list(setup.tasks)
    _require_known(section, names, objectives)
    if section.name == "weights":
        return ConstantWeights(lambda: section.weights, list(section.weights))
    count = section.batches or BATCHES
    if section.name == "initial_loss":
        return ConstantWeights(
            lambda: initial_weights(setup.model, losses, drawn.first(count), by=section.by, seed=recipe.training.seed),
            objectives,
        )
    if section.name == "prior":
        options = LossOptions.of(recipe.training)
        return ConstantWeights(
            lambda: prior_weights(setup, drawn.first(count), by=section.by, seed=recipe.training.seed, options=options),
            objectives,
        )
    return _changing_weights(recipe, setup, accelerator, objectives, Processes() if processes is None else processes)


def _changing_weights(
    recipe: Recipe, setup: TrainingSetup, accelerator: Accelerator, objectives: Sequence[str], processes: Processes
) -> Balancer:
    """Build a balancer whose weights change from step to step."""
    section = recipe.training.balance
    if processes.several and section.at == "representation":
        raise TrainingError(
            "training.balance.at: representation does not support several processes, whose batches would have other weights",
            hint=f"use at: shared, one process, or one of {', '.join(sorted(CONSTANT))}.",
        )
    weighting = build_weighting(section, objectives)
    if section.at == "representation":
        return RepresentationWeights(
            weighting,
            objectives,
            encoder=setup.model.encoder,
            scale=lambda: _scale(accelerator) / recipe.training.accumulation,
        )
    shared = {name: p for name, p in setup.model.encoder.named_parameters() if p.requires_grad}
    compared = range(len(shared)) if section.at == "shared" else _last_layer(list(shared))
    return StepWeights(
        weighting,
        objectives,
        by=section.by,
        shared=list(shared.values()),
        compared=compared,
        scale=lambda: _scale(accelerator),
        processes=processes,
    )


def build_weighting(section: BalanceSection, objectives: Sequence[str]) -> Weighting:
    """Build the weighting of a method whose weights change from step to step."""
    if section.name in TORCHJD:
        return ByTorchJD(section, len(objectives))
    builders: dict[str, Callable[[], Weighting]] = {
        "log": Log,
        "generalised_mean": lambda: GeneralisedMean(section.gamma or 0.0),
        "grad_norm": GradNorm,
        "min_norm": lambda: MinNorm(normalise=section.normalise),
        "main_auxiliary": lambda: MainAuxiliary(objectives.index(section.main or "")),
    }
    return builders[section.name]()


class _Drawn:
    """The first batches of each task in the first epoch, on the device of a run."""

    def __init__(self, batches: tuple[TaskMixture, TasksInTurn], accelerator: Accelerator, *, seed: int) -> None:
        (self._mixture, self._sampler), self._device, self._seed = batches, accelerator.device, seed

    def first(self, count: int) -> dict[str, list[Batch]]:
        """Return the first batches of each task, fewer if it has no more; the run's random generators stay as they are."""
        with own_random_state(self._seed):  # some heads draw random targets
            return {
                task.task: [task.batch(rows).to(self._device) for rows in islice(sampler, count)]
                for task, sampler in zip(self._mixture.tasks, self._sampler.samplers, strict=True)
            }


def _require_known(section: BalanceSection, names: Sequence[str], objectives: Sequence[str]) -> None:
    """Check the losses that a recipe names, and that there is something to balance.

    Raises:
        RecipeError: a loss is unknown, or there is only one.
    """
    tasks = {name.partition(".")[0] for name in names}
    named = [f"weights.{name}" for name in section.weights] + ["main"] * (section.main is not None)
    given = [*section.weights, *([] if section.main is None else [section.main])]
    for field, name in zip(named, given, strict=True):
        if name not in names and name not in tasks:
            raise RecipeError(
                f"training.balance.{field}: there is no loss '{name}'{did_you_mean(name, names)}",
                hint=f"use one of: {', '.join(names)}",
            )
    if len(objectives) == 1 and section.name != "weights":
        raise RecipeError(
            f"training.balance: {section.name} has nothing to balance: there is only the loss {names[0]}",
            hint="remove training.balance.",
        )


def _last_layer(names: Sequence[str]) -> list[int]:
    """Return the numbers of the weights of the encoder's last layer.

    Raises:
        ModelError: its layers cannot be found.
    """
    layers = [int(match[1]) if (match := _LAYER.search(name)) else -1 for name in names]
    if max(layers) < 0:
        raise ModelError(
            "training.balance.at: last_layer: the layers of this encoder share their weights",
            hint="use training.balance.at: shared.",
        )
    return [place for place, layer in enumerate(layers) if layer == max(layers)]


def _scale(accelerator: Accelerator) -> float:
    """Return the factor of the gradients: that of the loss scaling in float16."""
    return 1.0 if accelerator.scaler is None else float(accelerator.scaler.get_scale())
