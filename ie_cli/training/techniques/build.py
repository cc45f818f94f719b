"""Build the techniques that a recipe names."""

from __future__ import annotations

from ie_cli.errors import RecipeError
from ie_cli.recipe.messages import dotted
from ie_cli.recipe.schema import Recipe
from ie_cli.recipe.techniques import technique_problems
from ie_cli.training.techniques.adversarial import FastGradient
from ie_cli.training.techniques.averaged_weights import AveragedWeights
from ie_cli.training.techniques.base import Technique


def build_techniques(recipe: Recipe) -> list[Technique]:
    """Return the techniques that a recipe names, the innermost first.

    Raises:
        RecipeError: a head or a task of the recipe does not support one of them.
    """
    for loc, message in technique_problems(recipe):  # a recipe built in Python has not been checked
        raise RecipeError(f"{dotted(loc)}: {message}", hint=f"remove {dotted(loc)}.")
    section, found = recipe.training, list[Technique]()
    if section.adversarial is not None:
        found.append(FastGradient(section.adversarial.epsilon))
    if section.ema is not None:
        found.append(AveragedWeights(section.ema))
    return found
