"""What `training.shard_weights` does not support: whatever needs whole weights, or gradients of one process alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ie_cli.recipe.yaml import Loc

if TYPE_CHECKING:
    from ie_cli.recipe.schema import Recipe

FIELD = "training.shard_weights"
_BALANCE = ("sum", "weights", "prior")
"""The methods of balancing that need neither gradients nor losses of the whole model."""


def sharding_problems(recipe: Recipe) -> Iterator[tuple[Loc, str]]:
    """Yield the fields that cannot be combined with divided weights, and a message."""
    training = recipe.training
    if not training.shard_weights:
        return
    if training.adversarial is not None:
        yield _problem("adversarial", "moves whole word embeddings, and each process has a part of them")
    if training.compile:
        yield _problem("compile", "compiles whole layers, and the weights of a layer are gathered while it is computed")
    if training.precision == "float16":
        message = "scales the loss, and each process would see the overflows of its part only; use bfloat16 or float32"
        yield _problem("precision", f"got float16, which {message}")
    if training.balance.name not in _BALANCE:
        message = f"got {training.balance.name}, which needs the gradients or losses of whole weights"
        yield _problem("balance", f"{message}; use {', '.join(_BALANCE[:-1])} or {_BALANCE[-1]}")
    for name, section in recipe.instances().items():
        if section.head.compares_pairs:
            yield (
                ("training", "shard_weights"),
                f"got true, but the loss of the head {section.head.name} (task {name}) compares the pairs of all processes, for "
                "which each computes its pairs twice; use false, or another head",
            )


def _problem(field: str, message: str) -> tuple[Loc, str]:
    return ("training", field), f"{message}; omit it, or {FIELD}"
