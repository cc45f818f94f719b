"""Fields of `training` that deviate from plain gradient descent on the plain losses, and the heads and methods that they fit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from ie_cli.recipe.balance import CONSTANT
from ie_cli.recipe.base import Section
from ie_cli.recipe.heads import HEADS
from ie_cli.recipe.yaml import Loc

if TYPE_CHECKING:
    from ie_cli.recipe.schema import Recipe

Epsilon = Annotated[float, Field(gt=0, le=100)]


class AdversarialSection(Section):
    name: Literal["fgm"] = "fgm"
    """Method: `fgm` moves the word embeddings by ε·g/‖g‖, where g is their gradient in the first pass (arXiv 1605.07725)."""
    epsilon: Epsilon = 1.0
    """ε: the length of the move, for all word embeddings together."""

    @property
    def short_form(self) -> str | None:
        """The name of the method, if ε has its default."""
        return self.name if self == AdversarialSection(name=self.name) else None


def _expanded(value: Any) -> Any:
    """Expand the short forms: a name, or ε alone."""
    if isinstance(value, str):
        return {"name": value}
    return {"epsilon": value} if isinstance(value, (int, float)) and not isinstance(value, bool) else value


Adversarial = Annotated[
    AdversarialSection | None,
    BeforeValidator(_expanded, json_schema_input_type=Literal["fgm"] | Epsilon | AdversarialSection | None),
]


_REASONS = {
    "r_drop": "compares a score for each span and label, and the head {head} has none",
    "label_smoothing": "needs a loss for soft labels, and that of the head {head} has no such form",
    "negative_sampling": "leaves out spans without annotation, and the loss of the head {head} is not one of spans",
}
"""Why a head may not support a field that changes the loss."""


def technique_problems(recipe: Recipe) -> Iterator[tuple[Loc, str]]:
    """Yield the fields that do not fit the heads or the balancing of a recipe, and a message."""
    training = recipe.training
    if training.adversarial is not None:
        yield from ((("training", "adversarial"), message) for message in _adversarial_problems(recipe))
    for field, reason in _REASONS.items():
        if getattr(training, field):
            yield from ((("training", field), message) for message in _head_problems(recipe, field, reason))


def _adversarial_problems(recipe: Recipe) -> Iterator[str]:
    training = recipe.training
    if training.balance.by == "loss" and training.balance.name not in CONSTANT:
        yield (
            f"the direction of the move depends on the weights of the losses, which training.balance: {training.balance.name} "
            "with `by: loss` determines only after the second pass; use `by: task`, or weights that are constant"
        )
    for name, section in recipe.instances().items():
        if section.head.compares_pairs and training.accumulation > 1:
            yield (
                f"the loss of the head {section.head.name} (task {name}) compares the pairs of all batches of a step, so that "
                "the second pass cannot be computed batch by batch; use training.accumulation: 1"
            )


def _head_problems(recipe: Recipe, field: str, reason: str) -> Iterator[str]:
    able = [name for name, spec in HEADS.items() if field in spec.section.loss_options]
    for name, section in recipe.instances().items():
        head = section.head
        if field not in head.loss_options:
            yield f"{reason.format(head=head.name)} (task {name}); omit it, or use one of {', '.join(able)}"
