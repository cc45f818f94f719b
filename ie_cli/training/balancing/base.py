"""The protocols of balancing: balancers turn the named losses of a step into gradients; some ask a weighting for weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
from torch import Tensor

Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


class Backward(Protocol):
    """Computes the gradients of a scalar and adds them to those of the step."""

    def __call__(self, loss: Tensor, *, retain_graph: bool = False) -> None:
        """Compute the gradients; `retain_graph` keeps what a further call for the same batch needs."""


class Balancer(Protocol):
    """A balancer of one run."""

    def columns(self) -> Sequence[str]:
        """Return the names of `values` for the logs."""

    def backward(self, losses: Mapping[str, Tensor], *, share: float, backward: Backward) -> Tensor:
        """Add the gradients of the losses to those of the step.

        Args:
            losses: scalars, each a mean over the windows of the batch, named ``TASK.LOSS``.
            share: weight of the gradients; below 1 if the batch is a part of one that did not fit into memory.
            backward: computes the gradients of a scalar and adds them.

        Returns:
            The loss to report, the plain sum: a detached scalar not multiplied by `share`.
        """

    def finish_step(self) -> None:
        """Complete the gradients of a step, after its last batch and before they are clipped."""

    def reset(self) -> None:
        """Forget the gradients of the current step, which will be computed again in smaller parts."""

    def values(self) -> dict[str, float]:
        """Return the values for the logs: means of the steps since the last evaluation."""

    def restart(self) -> None:
        """Start new means, after an evaluation."""

    def state_dict(self) -> dict[str, Tensor]:
        """Return the state that is needed to resume a run exactly."""

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore the state from a checkpoint."""


class Weighting(Protocol):
    """Weights of the gradients of a step."""

    @property
    def compares(self) -> bool:
        """Whether the weights depend on the Gram matrix of the gradients."""

    def weights(self, losses: Doubles, gram: Doubles, present: Bools) -> Doubles:
        """Return the weight of each objective ``[objectives]``; 0 for those that are absent.

        Args:
            losses: the mean loss of each objective in the step ``[objectives]``; 0 if it is absent.
            gram: the products of the gradients ``[objectives, objectives]``; 0 if `compares` is false.
            present: whether the step has batches of the objective ``[objectives]``.
        """

    def state_dict(self) -> dict[str, Tensor]:
        """Return the state that is needed to resume a run exactly."""

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore the state from a checkpoint."""


def by_objective(losses: Mapping[str, Tensor], by: str) -> dict[str, Tensor]:
    """Return the loss of each objective in a batch: of its task, or each loss by itself."""
    if by == "loss":
        return dict(losses)
    found: dict[str, Tensor] = {}
    for name, loss in losses.items():
        task = name.partition(".")[0]
        found[task] = found[task] + loss if task in found else loss
    return found


def total(losses: Mapping[str, Tensor]) -> Tensor:
    """Return the plain sum of some losses."""
    first, *rest = losses.values()
    found: Tensor = sum(rest, first)
    return found
