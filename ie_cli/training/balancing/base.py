"""What a balancer is: it turns the losses of a batch, by name, into gradients."""

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
            share: what the gradients count, where the batch is a part of one that did not fit into memory.
            backward: computes gradients of a scalar and adds them.

        Returns:
            The loss to report, a scalar without its graph and without `share`.
        """

    def state_dict(self) -> dict[str, Tensor]:
        """What a run needs to go on with exactly."""

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Put the state of a checkpoint back."""
