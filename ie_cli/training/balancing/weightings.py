"""Weights of the gradients of several objectives in a step, from their losses or from the Gram matrix of their gradients.

Sources: kexue.fm/archives/8870 (weights from losses, normalised gradients), 8896 (minimum norm), 8907 (main and auxiliary tasks).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from torch import Tensor

from ie_cli.training.balancing.base import Bools, Doubles
from ie_cli.training.balancing.gram import main_auxiliary_weights, min_norm_weights, unit_weights

FLOOR = 1e-3
"""Smaller losses have the weight of this one: the weight of a loss near 0 would otherwise amplify noise without bound."""


class Stateless:
    """The base class of weightings without a state."""

    compares: ClassVar[bool] = True

    def state_dict(self) -> dict[str, Tensor]:
        """Return nothing, because there is no state."""
        return {}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Do nothing, because there is no state."""


class Log(Stateless):
    """``1 / L_i``: the gradient of the sum of the logarithms of the losses."""

    compares = False

    def weights(self, losses: Doubles, gram: Doubles, present: Bools) -> Doubles:
        """Return the weights."""
        found: Doubles = np.where(present, 1 / np.maximum(losses, FLOOR), 0.0)
        return found


class GeneralisedMean(Stateless):
    """``M^(1-γ) L_i^(γ-1) / n``: the gradient of the generalised mean ``M = (mean of L^γ)^(1/γ)`` of the losses.

    Args:
        gamma: γ; 0 is the geometric mean.
    """

    compares = False

    def __init__(self, gamma: float = 0.0) -> None:
        self._gamma = gamma

    def weights(self, losses: Doubles, gram: Doubles, present: Bools) -> Doubles:
        """Return the weights."""
        weights = np.zeros(len(losses))
        logs = np.log(np.maximum(losses[present], FLOOR))
        if abs(self._gamma) < 1e-6:
            mean = logs.mean()
        else:
            powers = self._gamma * logs
            mean = (powers.max() + np.log(np.exp(powers - powers.max()).mean())) / self._gamma
        weights[present] = np.exp((1 - self._gamma) * (mean - logs)) / len(logs)
        return weights


class GradNorm(Stateless):
    """``1 / |g_i|``: the sum of the gradients, each scaled to length 1."""

    def weights(self, losses: Doubles, gram: Doubles, present: Bools) -> Doubles:
        """Return the weights."""
        return unit_weights(gram)


class MinNorm(Stateless):
    """The shortest vector in the convex hull of the gradients (MGDA): no loss rises along it.

    Args:
        normalise: scale the gradients to length 1 first.
    """

    def __init__(self, *, normalise: bool = False) -> None:
        self._normalise = normalise

    def weights(self, losses: Doubles, gram: Doubles, present: Bools) -> Doubles:
        """Return the weights."""
        if not self._normalise:
            return min_norm_weights(gram)
        units = unit_weights(gram)
        found: Doubles = units * min_norm_weights(gram * np.outer(units, units))
        return found


class MainAuxiliary(Stateless):
    """The direction nearest to the gradient of the main task along which no other loss rises.

    Args:
        main: the number of the main objective.
    """

    def __init__(self, main: int) -> None:
        self._main = main

    def weights(self, losses: Doubles, gram: Doubles, present: Bools) -> Doubles:
        """Return the weights."""
        return main_auxiliary_weights(gram, self._main)
