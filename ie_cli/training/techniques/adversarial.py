"""Adversarial training with the fast gradient method (Miyato et al., arXiv 1605.07725), on the word embeddings.

The first pass over a batch has the gradient g of the word embeddings E. The second pass, with ``E + ε·g/‖g‖``, where the loss
rises fastest, adds its gradients to those of the first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ie_cli.errors import TrainingError
from ie_cli.modeling.batch import Batch
from ie_cli.training.techniques.base import Compute


class FastGradient:
    """Adds the gradients of a second pass over each batch, with moved word embeddings.

    The move depends on the gradients of the batch alone, not on those that the step already has. A batch that is computed in
    parts has a move for each part; so have the shares of several processes. The loss to report is that of the first pass.

    Args:
        epsilon: the length of the move.
    """

    name = "training.adversarial"

    def __init__(self, epsilon: float) -> None:
        self._epsilon = epsilon
        self._tables: list[nn.Parameter] = []

    def wrap_model(self, model: nn.Module) -> nn.Module:
        """Find the word embeddings."""
        encoder: Any = model.encoder
        self._tables = list(encoder.get_input_embeddings().parameters())
        return model

    def compute_gradients(self, batch: Batch, compute: Compute) -> Tensor:
        """Compute the gradients of both passes.

        Raises:
            TrainingError: the loss compares samples, and their batch did not fit into memory as a whole.
        """
        if batch.replay is not None:  # a second pass over this part would carry the gradients of the first
            raise TrainingError(
                "out of memory: training.adversarial cannot compute a batch in parts if its loss compares the pairs",
                hint="lower training.batch_size.",
            )
        with _gradients_of_pass(self._tables) as gradients:
            loss = compute(batch)
        with _moved(self._tables, gradients, self._epsilon):
            compute(batch)
        return loss

    def after_step(self, step: int) -> None:
        """Do nothing."""

    @contextmanager
    def evaluation_weights(self) -> Iterator[None]:
        """Keep the weights."""
        yield

    def state_dict(self) -> dict[str, Tensor]:
        """Return nothing: there is no state."""
        return {}

    def load_state_dict(self, state: object) -> None:
        """Do nothing."""


@contextmanager
def _gradients_of_pass(tables: Sequence[nn.Parameter]) -> Iterator[list[Tensor]]:
    """Collect the gradients that are computed inside the context: `grad` may contain those of earlier batches, too."""
    sums = [torch.zeros_like(table) for table in tables]
    handles = [
        table.register_hook(partial(_add, total))  # type: ignore[no-untyped-call]
        for table, total in zip(tables, sums, strict=True)
    ]
    try:
        yield sums
    finally:
        for handle in handles:
            handle.remove()


def _add(total: Tensor, gradient: Tensor) -> None:
    total.add_(gradient)


@contextmanager
def _moved(tables: Sequence[nn.Parameter], gradients: Sequence[Tensor], epsilon: float) -> Iterator[None]:
    """Move weights along their gradients inside the context, all of them together by `epsilon`; not if the gradients are 0."""
    kept = [table.detach().clone() for table in tables]
    norm = torch.stack([gradient.float().norm() for gradient in gradients]).norm()
    factor = torch.where(norm > 0, epsilon / norm, 0.0)
    try:
        with torch.no_grad():
            for table, gradient in zip(tables, gradients, strict=True):
                table.add_(gradient.mul_(factor))
        yield
    finally:
        with torch.no_grad():
            for table, before in zip(tables, kept, strict=True):
                table.copy_(before)
