"""The values of the losses before the first update: measured, or in theory."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from accelerate.utils import set_seed
from torch import Tensor, nn

from ie_cli.errors import TrainingError
from ie_cli.modeling.batch import Batch
from ie_cli.modeling.model import ExtractionModel
from ie_cli.training.balancing.base import by_objective
from ie_cli.training.checkpoint import RandomState

BATCHES = 8
"""Number of batches of each task by default."""
_SMALLEST = 1e-6

Losses = Callable[[Batch], dict[str, Tensor]]
Batches = Mapping[str, Sequence[Batch]]


def loss_names(losses: Losses, batches: Batches) -> list[str]:
    """Return the names of all losses, in the order of the tasks."""
    random = RandomState.now()
    with torch.no_grad():
        found = [name for task in batches.values() for name in losses(task[0].part(0, 1))]
    random.restore()
    return found


def initial_weights(model: nn.Module, losses: Losses, batches: Batches, *, by: str, seed: int) -> dict[str, float]:
    """Return 1 / L for the mean L of each loss over some batches, with dropout as in training.

    The random generators are left as they were, so that the run continues as with other weights.

    Raises:
        TrainingError: a loss is 0 or not finite.
    """
    random, training = RandomState.now(), model.training
    set_seed(seed)
    model.train()
    means = _means(losses, batches, by)
    model.train(training)
    random.restore()
    return {name: 1 / _usable(value, f"the loss {name}", "initial_loss") for name, value in means.items()}


def prior_weights(model: ExtractionModel, weights: Any, batches: Batches, *, by: str) -> dict[str, float]:
    """Return 1 / L for each loss L of a head whose scores are all 0: log K for K classes, and so on.

    It is computed by the head's own loss on gold data, from a copy of the head whose weights are all 0.

    Raises:
        TrainingError: the loss of such a head is 0 or not finite, so that its start value is not known.
    """
    random = RandomState.now()
    heads = {task: copy.deepcopy(model.heads[f"{task}_head"]) for task in model.tasks}
    for head in heads.values():
        for parameter in head.parameters():
            nn.init.zeros_(parameter)
    config: Any = model.encoder.config
    device = next(model.parameters()).device
    without_scores = ExtractionModel(_Zeros(config.hidden_size), heads).to(device).eval()
    means = _means(lambda batch: without_scores(batch, weights), batches, by)
    random.restore()
    return {name: 1 / _usable(value, f"the loss {name}", "prior") for name, value in means.items()}


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
