"""Constant weights: the gradient of one weighted sum of all losses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

import torch
from torch import Tensor

from ie_cli.training.balancing.base import Backward, total


class ConstantWeights:
    """Adds all losses, each with a weight that stays the same.

    Args:
        find: computes the weights before the first step, by the name of a task or as ``TASK.LOSS``, which takes precedence; 1 for
            all others.
        names: the names of the weights; empty for the plain sum.
    """

    def __init__(self, find: Callable[[], Mapping[str, float]] = dict, names: Sequence[str] = ()) -> None:
        self._find, self._names = find, tuple(names)

    @cached_property
    def weights(self) -> dict[str, float]:
        """The weights, which are computed when the first step needs them, unless they come from a checkpoint."""
        return dict(self._find())

    def columns(self) -> list[str]:
        """Return one column for each weight."""
        return [f"balance.weight.{name}" for name in self._names]

    def backward(self, losses: Mapping[str, Tensor], *, share: float, backward: Backward) -> Tensor:
        """Add the gradient of the weighted sum."""
        weighted = {name: loss * weight if (weight := self._of(name)) != 1 else loss for name, loss in losses.items()}
        loss = total(weighted)
        backward(loss * share if share != 1 else loss)
        return total(losses).detach()

    def _of(self, name: str) -> float:
        return self.weights.get(name, self.weights.get(name.partition(".")[0], 1.0))

    def finish_step(self) -> None:
        """Compute the weights before the first update even if this process had no share of its batches; do nothing else."""
        _ = self.weights

    def reset(self) -> None:
        """Do nothing: nothing is kept between batches."""

    def values(self) -> dict[str, float]:
        """Return the weights."""
        return {f"balance.weight.{name}": self.weights[name] for name in self._names}

    def restart(self) -> None:
        """Do nothing: the weights stay the same."""

    def state_dict(self) -> dict[str, Tensor]:
        """Return the weights; nothing for the plain sum."""
        if not self._names or "weights" not in self.__dict__:
            return {}
        return {"weights": torch.tensor([self.weights[name] for name in self._names], dtype=torch.float64)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore the weights, so that they are not computed again with trained parameters."""
        if "weights" in state:
            self.__dict__["weights"] = dict(zip(self._names, state["weights"].tolist(), strict=True))
