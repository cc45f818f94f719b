"""Balance the gradients of the losses of one task at the encoder's output, which takes a single pass back through the encoder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ie_cli.modeling.devices import precise_dtype, read_numbers
from ie_cli.training.balancing.base import Backward, Weighting, total
from ie_cli.training.balancing.record import Recorded


class RepresentationWeights(Recorded):
    """Compares the gradients of all losses at the encoder's output, and passes their weighted sum back through the encoder.

    All losses must depend on the same texts: gradients of different texts are always orthogonal. Each batch has weights of its
    own, and so has each part of a batch that does not fit into memory.

    Args:
        weighting: computes the weights.
        objectives: the names of the losses.
        encoder: the encoder.
        scale: returns the factor that the gradients currently have: from accumulation, and in float16.
    """

    def __init__(
        self, weighting: Weighting, objectives: Sequence[str], *, encoder: nn.Module, scale: Callable[[], float]
    ) -> None:
        super().__init__(weighting, objectives)
        self._scale = scale
        self._cut: tuple[Tensor, Tensor] | None = None
        encoder.register_forward_hook(self._detach)

    def _detach(self, encoder: nn.Module, arguments: Any, output: Any) -> Any:
        """Replace the encoder's output by a copy, at which the gradients stop, unless nothing is trained."""
        hidden: Tensor = output.last_hidden_state
        if hidden.requires_grad:
            self._cut = hidden, hidden.detach().requires_grad_()
            output.last_hidden_state = self._cut[1]
        return output

    def backward(self, losses: Mapping[str, Tensor], *, share: float, backward: Backward) -> Tensor:
        """Add the plain gradients of the head, and the weighted sum of the gradients to those of the encoder."""
        if self._cut is None:
            return total(losses).detach()
        hidden, copy = self._cut
        last = self._objectives[-1]
        gradients = []
        for name in self._objectives:
            copy.grad = None
            backward(losses[name] * share if share < 1 else losses[name], retain_graph=name != last)
            gradients.append(torch.zeros_like(copy) if copy.grad is None else copy.grad)
        rows = torch.stack([gradient.flatten().to(precise_dtype(gradient.device)) for gradient in gradients])
        size = len(self._objectives)
        numbers = read_numbers([*(losses[name].detach() for name in self._objectives), *(rows @ rows.T).flatten()])
        values, gram = numbers[:size], numbers[size:].reshape(size, size) / (share * self._scale()) ** 2
        present = np.ones(size, dtype=bool)
        weights = present.astype(np.float64)
        if np.isfinite(gram).all():
            weights = self._weighting.weights(values, gram, present)
            self._record.add(weights, gram, present)
        else:
            self._record.skip()
        torch.autograd.backward(
            hidden, torch.stack([w * part for w, part in zip(weights.tolist(), gradients, strict=True)]).sum(0)
        )
        self._cut = None
        return total(losses).detach()

    def finish_step(self) -> None:
        """Do nothing: the gradients are complete."""

    def reset(self) -> None:
        """Forget the batch that did not fit into memory."""
        self._cut = None
