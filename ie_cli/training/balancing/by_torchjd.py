"""Weights computed by the package torchjd from the Gram matrix."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from ie_cli.errors import RecipeError, TrainingError
from ie_cli.recipe.balance import BalanceSection
from ie_cli.system.distribution import install_hint
from ie_cli.training.balancing.base import Bools, Doubles
from ie_cli.training.balancing.gram import norms


class ByTorchJD:
    """A weighting of torchjd. Gradients of 0 are left out.

    Args:
        section: names the method and its options.
        count: number of objectives.

    Raises:
        RecipeError: a package is missing.
    """

    compares: ClassVar[bool] = True

    def __init__(self, section: BalanceSection, count: int) -> None:
        self._name, self._count = section.name, count
        try:
            from torchjd import aggregation

            self._weighting: Any = _build(section, aggregation)
        except ImportError as error:
            raise RecipeError(
                f"training.balance: {section.name} needs packages that are not installed", hint=install_hint("balance")
            ) from error
        # GradVac expects a cosine for every pair of objectives, so it gets all of them in every step.
        self._always_all = section.name == "gradvac"

    def weights(self, losses: Doubles, gram: Doubles, present: Bools) -> Doubles:
        """Return the weights.

        Raises:
            TrainingError: the solver failed.
        """
        sizes, weights = norms(gram), np.zeros(len(gram))
        active = sizes > 0
        if not active.any():
            return weights
        chosen = np.ones_like(active) if self._always_all else active
        # The weights do not depend on a common factor, but torchjd takes a matrix with small entries for 0.
        part = torch.from_numpy(gram[np.ix_(chosen, chosen)] / sizes.max() ** 2)
        try:
            found = self._weighting(part)
        except Exception as error:  # of the solvers, which raise several types
            raise TrainingError(
                f"training.balance: {self._name} failed: {error}",
                hint="use another method, e.g. min_norm or grad_norm.",
            ) from error
        weights[chosen] = found.numpy()
        return np.where(active, weights, 0.0)

    def state_dict(self) -> dict[str, Tensor]:
        """Return the state of the weighting: GradVac has one."""
        return {name: tensor.clone() for name, tensor in self._weighting.state_dict().items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore the state of the weighting."""
        if state:
            self._weighting(torch.eye(self._count, dtype=torch.float64))  # creates what is restored
            self._weighting.load_state_dict(state)


def _build(section: BalanceSection, package: Any) -> Any:
    if section.name == "cagrad":
        return package.CAGradWeighting(c=0.5 if section.c is None else section.c)
    if section.name == "gradvac":
        return package.GradVacWeighting(beta=0.5 if section.beta is None else section.beta)
    plain = {"upgrad": "UPGrad", "pcgrad": "PCGrad", "aligned_mtl": "AlignedMTL", "imtl": "IMTLG"}
    return getattr(package, f"{plain[section.name]}Weighting")()
