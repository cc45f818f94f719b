"""Averaged weights: an exponential moving average of the weights of all steps, which is evaluated and stored.

A step t, counted from 1, changes the average a to ``d·a + (1 - d)·w`` with the current weights w and
``d = min(decay, (1 + t) / (10 + t))``: the first steps, whose weights are far from the later ones, are soon forgotten.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from ie_cli.errors import ModelError
from ie_cli.modeling.batch import Batch
from ie_cli.training.divided_tensors import divided_like
from ie_cli.training.techniques.base import Compute


class AveragedWeights:
    """Evaluates and stores averages of the trained weights, in float32; buffers and frozen weights stay as they are.

    All processes of a run have the same weights, and therefore the same averages; or the same parts of both.

    Args:
        decay: the largest factor of the average so far.
    """

    name = "training.ema"

    def __init__(self, decay: float) -> None:
        self._decay = decay
        self._weights: dict[str, nn.Parameter] = {}
        self._averages: list[Tensor] = []

    def wrap_model(self, model: nn.Module) -> nn.Module:
        """Start from the initial weights; tied weights have one average."""
        self._weights = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
        self._averages = [_wide(weight.detach()).clone() for weight in self._weights.values()]
        return model

    def compute_gradients(self, batch: Batch, compute: Compute) -> Tensor:
        """Compute the plain gradients."""
        return compute(batch)

    def after_step(self, step: int) -> None:
        """Add the weights after a step to the averages."""
        decay = min(self._decay, (1 + step) / (10 + step))
        weights = [_wide(weight.detach()) for weight in self._weights.values()]
        update = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        update(self._on_device(), weights, step)

    @contextmanager
    def evaluation_weights(self) -> Iterator[None]:
        """Replace the weights by their averages inside the context."""
        weights = list(self._weights.values())
        own = [weight.detach().clone() for weight in weights]
        try:
            _copy(self._on_device(), weights)
            yield
        finally:
            _copy(own, weights)

    def state_dict(self) -> dict[str, Tensor]:
        """Return the averages by the names of the weights."""
        return dict(zip(self._weights, self._averages, strict=True))

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore the averages.

        Raises:
            ModelError: the checkpoint does not have exactly these averages.
        """
        if state.keys() != self._weights.keys():
            name = min(state.keys() ^ self._weights.keys())
            raise ModelError(
                f"the averaged weights in the checkpoint do not fit the model: {name}",
                hint="start again with --overwrite.",
            )
        averages = [
            divided_like(average, state[name]) for name, average in zip(self._weights, self._averages, strict=True)
        ]
        _copy(averages, self._averages)

    def _on_device(self) -> list[Tensor]:
        """Return the averages on the device of the weights, which were moved there after the start."""
        self._averages = [
            average.to(weight.device) for average, weight in zip(self._averages, self._weights.values(), strict=True)
        ]
        return self._averages


def _wide(weight: Tensor) -> Tensor:
    """Return a weight in float32, or in float64 if it has this precision: bfloat16 loses the small changes of an average."""
    return weight.to(torch.promote_types(weight.dtype, torch.float32))


@torch.no_grad()
def _copy(sources: Sequence[Tensor], targets: Sequence[Tensor]) -> None:
    for source, target in zip(sources, targets, strict=True):
        target.copy_(source)
