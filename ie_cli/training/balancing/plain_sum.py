"""A balancer that sums all losses."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor


class PlainSum:
    """Adds all losses with equal weights."""

    def backward(self, losses: Mapping[str, Tensor], *, share: float, backward: Callable[[Tensor], None]) -> Tensor:
        """Add the gradient of the sum."""
        first, *rest = losses.values()
        total: Tensor = sum(rest, first)
        backward(total * share if share < 1 else total)
        return total.detach()

    def state_dict(self) -> dict[str, Tensor]:
        """Return nothing, because there is no state."""
        return {}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Do nothing, because there is no state."""
