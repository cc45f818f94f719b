"""The protocol for balancers, which turn the named losses of a batch into gradients."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from torch import Tensor


class Balancer(Protocol):
    """A balancer of one run."""

    def backward(self, losses: Mapping[str, Tensor], *, share: float, backward: Callable[[Tensor], None]) -> Tensor:
        """Add the gradients of the losses to those of the step.

        Args:
            losses: scalars, each a mean over the windows of the batch, named ``TASK.LOSS``.
            share: weight of the gradients; below 1 if the batch is a part of one that did not fit into memory.
            backward: computes the gradients of a scalar and adds them.

        Returns:
            The loss to report, a detached scalar not multiplied by `share`.
        """

    def state_dict(self) -> dict[str, Tensor]:
        """Return the state that is needed to resume a run exactly."""

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore the state from a checkpoint."""
