"""Balance the gradients of several objectives at the shared weights, once per step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from ie_cli.modeling.devices import precise_dtype, read_numbers
from ie_cli.training.balancing.base import Backward, Doubles, Weighting, by_objective, total
from ie_cli.training.balancing.record import Recorded
from ie_cli.training.processes import Processes


class StepWeights(Recorded):
    """Keeps the gradient of each objective at the shared weights, and adds them with weights at the end of a step.

    Therefore the weights are those of the whole step, however many batches and parts it has. All other weights, those of the
    heads, get the plain gradients of their own losses. Several processes average the gradient of each objective before they are
    compared, and have the weights that the first one finds.

    Args:
        weighting: computes the weights.
        objectives: the names of what is balanced.
        by: whether an objective is a task or a loss.
        shared: the shared weights.
        compared: the numbers of those at which the gradients are compared.
        scale: returns the factor that the gradients currently have, in float16.
        processes: the processes of the run.
    """

    def __init__(
        self,
        weighting: Weighting,
        objectives: Sequence[str],
        *,
        by: str,
        shared: Sequence[nn.Parameter],
        compared: Sequence[int],
        scale: Callable[[], float],
        processes: Processes | None = None,
    ) -> None:
        super().__init__(weighting, objectives)
        self._processes = Processes() if processes is None else processes
        self._by, self._scale = by, scale
        self._shared, self._compared = list(shared), list(compared)
        self.reset()

    def reset(self) -> None:
        """Forget the gradients and losses of the current step."""
        self._gradients: dict[str, list[Tensor | None]] = {}
        self._losses: dict[str, Tensor] = {}
        self._shares: dict[str, float] = {}

    def backward(self, losses: Mapping[str, Tensor], *, share: float, backward: Backward) -> Tensor:
        """Add the gradient of each objective to its own; those of the batch remain where optimizers and techniques look."""
        parts = by_objective(losses, self._by)
        last = next(reversed(parts))
        for name, loss in parts.items():
            kept = self._gradients.get(name) or [None] * len(self._shared)
            for parameter, gradient in zip(self._shared, kept, strict=True):
                parameter.grad = gradient
            backward(loss * share if share != 1 else loss, retain_graph=name != last)
            self._gradients[name] = [parameter.grad for parameter in self._shared]
            self._losses[name] = self._losses.get(name, 0.0) + loss.detach() * share
            self._shares[name] = self._shares.get(name, 0.0) + share
        if len(parts) > 1:
            self._put({name: 1.0 for name in parts})
        return total(losses).detach()

    def finish_step(self) -> None:
        """Add the gradients of the step with their weights; without weights if they are not finite, which the loop handles."""
        if self._processes.several:
            self._average()
        present = np.array([name in self._gradients for name in self._objectives])
        losses, gram = self._measure()
        if np.isfinite(losses).all() and np.isfinite(gram).all():
            weights = self._processes.from_first(self._weighting.weights(losses, gram, present))
            self._record.add(weights, gram, present)
        else:
            weights = present.astype(np.float64)
            self._record.skip()
        self._put(dict(zip(self._objectives, weights.tolist(), strict=True)), in_place=True)
        self.reset()

    def _average(self) -> None:
        """Replace the gradients and losses of this process by the means over all processes."""
        names, size = self._objectives, len(self._shared)
        kept = {name: self._gradients.get(name, [None] * size) for name in names}
        there = iter(self._processes.highest([part is not None for name in names for part in kept[name]]))
        averaged: list[Tensor] = []
        for name in names:
            whole = [
                torch.zeros_like(parameter) if next(there) and part is None else part
                for parameter, part in zip(self._shared, kept[name], strict=True)
            ]
            if found := [part for part in whole if part is not None]:
                self._gradients[name] = whole
                averaged += found
        self._processes.average(averaged)
        device = self._shared[0].device
        sums = torch.zeros(2, len(names), device=device)
        for number, name in enumerate(names):
            if name in self._losses:
                sums[0, number], sums[1, number] = self._losses[name], self._shares[name]
        self._processes.average([sums])
        self._losses = {name: sums[0, names.index(name)] for name in self._gradients}
        shares = sums[1].tolist()
        self._shares = {name: shares[names.index(name)] for name in self._gradients}

    def _measure(self) -> tuple[Doubles, Doubles]:
        """Return the losses and the products of the gradients, as if they had no scale; 0 for objectives that are absent."""
        size = len(self._objectives)
        names = self._objectives
        there = [number for number, name in enumerate(names) if name in self._gradients]
        pairs = [(i, j) for i in there for j in there if j <= i] if self._weighting.compares else []
        means = [self._losses[names[number]] / self._shares[names[number]] for number in there]
        products = [self._product(self._gradients[names[i]], self._gradients[names[j]]) for i, j in pairs]
        numbers = read_numbers([*means, *products])
        losses, gram = np.zeros(size), np.zeros((size, size))
        losses[there] = numbers[: len(there)]
        for (i, j), product in zip(pairs, numbers[len(there) :], strict=True):
            gram[i, j] = gram[j, i] = product
        return losses, gram / self._scale() ** 2 if pairs else gram

    def _product(self, one: Sequence[Tensor | None], other: Sequence[Tensor | None]) -> Tensor:
        parts = [
            torch.dot(a.flatten(), b.flatten()).to(precise_dtype(a.device))
            for place in self._compared
            if (a := one[place]) is not None and (b := other[place]) is not None
        ]
        return torch.stack(parts).sum() if parts else torch.zeros((), device=self._shared[0].device)

    def _put(self, weights: Mapping[str, float], *, in_place: bool = False) -> None:
        """Set the gradient of the shared weights to a weighted sum; `in_place` if the gradients are not needed any more."""
        for place, parameter in enumerate(self._shared):
            found: Tensor | None = None
            for name, weight in weights.items():
                gradient = self._gradients[name][place] if name in self._gradients else None
                if gradient is None:
                    continue
                if found is None:
                    found = gradient.mul_(weight) if in_place else gradient * weight
                else:
                    found.add_(gradient, alpha=weight)
            parameter.grad = found
