"""The values of the losses before the first update: measured, or in theory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from accelerate.utils import set_seed
from torch import Tensor, nn

from ie_cli.errors import TrainingError
from ie_cli.modeling.batch import Batch
from ie_cli.modeling.heads.base import build_head
from ie_cli.modeling.losses.options import LossOptions
from ie_cli.modeling.model import ExtractionModel
from ie_cli.training.balancing.base import by_objective
from ie_cli.training.checkpoint import RandomState
from ie_cli.training.setup import TaskSetup, TrainingSetup

BATCHES = 8
"""Number of batches of each task by default."""
_SMALLEST = 1e-6
_PLAIN = LossOptions()

Losses = Callable[[Batch], dict[str, Tensor]]
Batches = Mapping[str, Sequence[Batch]]


@contextmanager
def own_random_state(seed: int) -> Iterator[None]:
    """Draw random numbers from a seed, and leave the random generators as they were."""
    random = RandomState.now()
    set_seed(seed)
    try:
        yield
    finally:
        random.restore()


def loss_names(losses: Losses, batches: Batches, *, seed: int) -> list[str]:
    """Return the names of all losses, in the order of the tasks."""
    with own_random_state(seed), torch.no_grad():
        return [name for task in batches.values() for name in losses(task[0].part(0, 1))]


def initial_weights(model: nn.Module, losses: Losses, batches: Batches, *, by: str, seed: int) -> dict[str, float]:
    """Return 1 / L for the mean L of each loss over some batches, with dropout as in training.

    The random generators are left as they were, so that the run continues as with other weights.

    Raises:
        TrainingError: a loss is 0 or not finite.
    """
    training = model.training
    model.train()
    with own_random_state(seed):
        means = _means(losses, batches, by)
    model.train(training)
    return {name: 1 / _usable(value, f"the loss {name}", "initial_loss") for name, value in means.items()}


def prior_weights(
    setup: TrainingSetup, batches: Batches, *, by: str, seed: int, options: LossOptions = _PLAIN
) -> dict[str, float]:
    """Return 1 / L for the loss L of a new head whose random weights are all 0: log K for K classes, and so on.

    It is computed by the head's own loss on gold data. What a head deliberately starts with, such as a bias towards no label,
    is kept.

    Args:
        setup: the model and its training data.
        batches: some batches of each task.
        by: whether an objective is a task or a loss.
        seed: random seed.
        options: the options of the losses.

    Raises:
        TrainingError: the loss of such a head is 0 or not finite, so that its start value is not known.
    """
    config: Any = setup.model.encoder.config
    device = next(setup.model.parameters()).device
    with own_random_state(seed):
        heads = {name: _without_chance(task, config.hidden_size) for name, task in setup.tasks.items()}
        model = ExtractionModel(_Zeros(config.hidden_size), heads).to(device).eval()
        model.begin_step(0.0)
        for task in model.tasks:
            model.head(task).set_loss_options(options)
        weights = setup.weights_on(device)
        means = _means(lambda batch: model(batch, weights), batches, by)
    return {name: 1 / _usable(value, f"the loss {name}", "prior") for name, value in means.items()}


def _without_chance(task: TaskSetup, hidden_size: int) -> nn.Module:
    """Return a new head in which every parameter that is random is 0: two new heads differ in it."""
    one, other = (build_head(task.section.head, hidden_size=hidden_size, codec=task.codec) for _ in range(2))
    with torch.no_grad():
        for parameter, again in zip(one.parameters(), other.parameters(), strict=True):
            if not torch.equal(parameter, again):
                parameter.zero_()
    return one


class _Zeros(nn.Module):
    """An encoder whose output is 0."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size = size

    def forward(self, input_ids: Tensor, **options: Any) -> Any:
        """Return zeros as the output of every layer."""
        zeros = torch.zeros(*input_ids.shape, self._size, device=input_ids.device)
        return SimpleNamespace(last_hidden_state=zeros, hidden_states=(zeros, zeros))


def _means(losses: Losses, batches: Batches, by: str) -> dict[str, float]:
    """Return the mean loss of each objective over some batches."""
    found: dict[str, list[float]] = {}
    with torch.no_grad():
        for task in batches.values():
            for batch in task:
                for name, loss in by_objective(losses(batch), by).items():
                    found.setdefault(name, []).append(float(loss))
    return {name: float(np.mean(values)) for name, values in found.items()}


def _usable(value: float, what: str, method: str) -> float:
    if not np.isfinite(value) or value < _SMALLEST:
        raise TrainingError(
            f"training.balance: {method}: {what} is {value:g} before the first step, so that it cannot be scaled by it",
            hint="set the weights yourself with training.balance: {name: weights, weights: {…}}.",
        )
    return value
