"""The gradient of a loss that compares all samples of a step with each other, computed in parts that fit into memory.

A first pass collects what the head reads of the encoder's output: for pairs, two vectors or some logits each.
The loss of all samples together, and its gradients at these few numbers, need little memory. A second pass computes each part
again, with the same random numbers, and carries its share of these gradients back through the encoder (GradCache,
arXiv 2101.06983). The result is the gradient of the whole, not that of a sum of losses of parts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ie_cli.modeling.batch import Batch, Replay
from ie_cli.modeling.heads.base import Tensors
from ie_cli.modeling.model import ExtractionModel
from ie_cli.training.checkpoint import RandomState


class CachedGradients:
    """Replaces batches by ones whose losses, over all of them together, and gradients are known.

    Args:
        model: the model.
        weights: the weight of each label's loss, by task and score matrix.
        accumulation: number of batches in a step.

    Attributes:
        waits: whether batches have to wait for the end of a step, which has several.
    """

    def __init__(self, model: ExtractionModel, weights: Mapping[str, Tensors] | None, *, accumulation: int = 1) -> None:
        self._model, self._weights = model, weights
        self.waits = accumulation > 1

    def compares(self, batch: Batch) -> bool:
        """Return whether the losses of a batch compare its samples with each other."""
        return not self._model.head(batch.task).additive

    def replays(self, parts: Sequence[Batch], *, weight: float) -> Iterator[Batch]:
        """Yield each part with the losses of all parts together, in the random state that it was first computed in.

        The gradients of a part are divided by its share of the samples, because that of an additive loss, which is a mean over
        the samples of a part, is multiplied by it.

        Args:
            parts: batches of the same task.
            weight: a factor of the gradients.
        """
        states, read = list[RandomState](), list[Tensor]()
        for part in parts:
            states.append(RandomState.now())
            # Not without gradients: attention may then be computed by other code, which draws other random numbers.
            read.append(self._model(part, read_only=True)[part.task].detach())
        values, gradients = self._losses(parts, torch.cat(read))
        samples, rows = sum(map(len, parts)), [len(part) for part in read]
        by_part = zip(*(torch.split(gradient, rows) for gradient in gradients), strict=True)
        for part, state, own in zip(parts, states, by_part, strict=True):
            factor = weight * samples / len(part)
            scaled = {name: factor * gradient for name, gradient in zip(values, own, strict=True)}
            state.restore()
            yield replace(part, replay=Replay(values, scaled))

    def _losses(self, parts: Sequence[Batch], read: Tensor) -> tuple[dict[str, Tensor], tuple[Tensor, ...]]:
        """Return the losses of all parts together, and the gradient of each."""
        task, read = parts[0].task, read.detach().requires_grad_()
        entries = {name: torch.cat(list(_renumbered(name, parts))) for name in parts[0].entries}
        mask = read.new_ones(len(read), 1, dtype=torch.bool)
        weights = self._weights.get(task) if self._weights is not None else None
        losses = self._model.head(task).losses(read, mask, parts[0].collate(entries, mask), weights)
        gradients = [
            torch.autograd.grad(loss, read, retain_graph=True, allow_unused=True, materialize_grads=True)[0]
            for loss in losses.values()
        ]
        return {name: loss.detach() for name, loss in losses.items()}, tuple(gradients)


def _renumbered(name: str, parts: Sequence[Batch]) -> Iterator[Tensor]:
    """Yield the entries of a score matrix of each part, with the samples numbered over all parts."""
    first = 0
    for part in parts:
        entries = part.entries[name].clone()
        entries[:, 0] += first
        first += len(part)
        yield entries
