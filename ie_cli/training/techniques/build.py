"""Build the techniques that a recipe names."""

from __future__ import annotations

from typing import Any

from torch import nn

from ie_cli.errors import RecipeError, TrainingError
from ie_cli.modeling.cpu.dropout import Dropout
from ie_cli.modeling.losses.options import LossOptions
from ie_cli.modeling.model import ExtractionModel
from ie_cli.recipe.messages import dotted
from ie_cli.recipe.schema import Recipe
from ie_cli.recipe.techniques import technique_problems
from ie_cli.training.processes import Processes
from ie_cli.training.techniques.adversarial import FastGradient
from ie_cli.training.techniques.averaged_weights import AveragedWeights
from ie_cli.training.techniques.base import Technique


def build_techniques(recipe: Recipe, model: ExtractionModel) -> list[Technique]:
    """Return the techniques that a recipe names, the innermost first, and set the options of the model's losses.

    Raises:
        RecipeError: a head or a task of the recipe does not support one of them, or the model has no dropout for R-Drop.
    """
    for loc, message in technique_problems(recipe):  # a recipe built in Python has not been checked
        raise RecipeError(f"{dotted(loc)}: {message}", hint=f"remove {dotted(loc)}.")
    section, found = recipe.training, list[Technique]()
    if section.r_drop is not None and not _has_dropout(model):
        raise RecipeError(
            "training.r_drop: both passes would be the same, because neither encoder nor heads have dropout",
            hint="set encoder.dropout, encoder.attention_dropout or head.input_dropout, or remove training.r_drop.",
        )
    model.r_drop = section.r_drop
    options = LossOptions.of(section)
    for task in model.tasks:
        model.head(task).set_loss_options(options)
    if section.adversarial is not None:
        found.append(FastGradient(section.adversarial.epsilon))
    if section.ema is not None:
        found.append(AveragedWeights(section.ema))
    return found


def require_supported(recipe: Recipe, model: ExtractionModel, processes: Processes) -> None:
    """Check that several processes support the techniques of a recipe.

    Raises:
        TrainingError: the second pass of adversarial training would need the first passes of all processes.
    """
    comparing = [name for name in model.tasks if not model.head(name).additive]
    if processes.several and recipe.training.adversarial is not None and comparing:
        raise TrainingError(
            "training.adversarial does not support several processes if a loss compares the pairs of all of them, as that of "
            f"{comparing[0]} does",
            hint="use one process, or remove training.adversarial.",
        )


def _has_dropout(model: ExtractionModel) -> bool:
    """Return whether any dropout is applied in training; attention may have a probability, but no module for it."""
    config: Any = model.encoder.config
    named = [value for name, value in config.to_dict().items() if "dropout" in name and "classifier" not in name]
    modules = [module.p for module in model.modules() if isinstance(module, (nn.Dropout, Dropout))]
    return any(isinstance(p, float) and p > 0 for p in [*named, *modules])
