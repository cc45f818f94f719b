"""Means of what a balancer did in the steps since the last evaluation, for the logs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from ie_cli.training.balancing.base import Bools, Doubles, Weighting
from ie_cli.training.balancing.gram import norms


class BalanceRecord:
    """Sums over the steps since the last evaluation.

    Args:
        objectives: the names of what is balanced.
        compares: whether the gradients were compared; otherwise, only weights are recorded.
    """

    def __init__(self, objectives: Sequence[str], *, compares: bool) -> None:
        self._names, self._compares = tuple(objectives), compares
        self.restart()

    def restart(self) -> None:
        """Forget all steps."""
        size = len(self._names)
        self._steps = self._conflicts = self._skipped = 0.0
        self._seen, self._weights, self._norms = np.zeros(size), np.zeros(size), np.zeros(size)
        self._pairs, self._cosines = np.zeros((size, size)), np.zeros((size, size))

    def add(self, weights: Doubles, gram: Doubles, present: Bools) -> None:
        """Add a step."""
        self._steps += 1
        self._seen += present
        self._weights += weights
        sizes = norms(gram)
        self._norms += sizes
        both = np.outer(sizes > 0, sizes > 0)
        cosines = np.divide(gram, np.outer(sizes, sizes), out=np.zeros_like(gram), where=both)
        self._pairs += both
        self._cosines += cosines
        self._conflicts += int(np.triu(cosines < 0, 1).sum())

    def skip(self) -> None:
        """Add a step whose gradients are not finite."""
        self._skipped += 1

    def columns(self) -> list[str]:
        """Return the names of `values`."""
        found = [f"balance.weight.{name}" for name in self._names]
        if self._compares:
            found += [f"balance.norm.{name}" for name in self._names]
            found += [f"balance.cosine.{one}.{other}" for one, other in combinations(self._names, 2)]
            found += ["balance.conflicts", "balance.skipped"]
        return found

    def values(self) -> dict[str, float]:
        """Return the mean weights, norms and cosines, the mean number of pairs in conflict, and the number of skipped steps."""
        seen = np.maximum(self._seen, 1)
        found = dict(
            zip((f"balance.weight.{name}" for name in self._names), (self._weights / seen).tolist(), strict=True)
        )
        if self._compares:
            found |= zip((f"balance.norm.{name}" for name in self._names), (self._norms / seen).tolist(), strict=True)
            cosines = self._cosines / np.maximum(self._pairs, 1)
            for (i, one), (j, other) in combinations(enumerate(self._names), 2):
                found[f"balance.cosine.{one}.{other}"] = float(cosines[i, j])
            found |= {"balance.conflicts": self._conflicts / max(self._steps, 1), "balance.skipped": self._skipped}
        return found

    def state_dict(self) -> dict[str, Tensor]:
        """Return the sums."""
        counts = np.array([self._steps, self._conflicts, self._skipped])
        vectors = np.stack([self._seen, self._weights, self._norms])
        matrices = np.stack([self._pairs, self._cosines])
        return {
            name: torch.from_numpy(part.copy())
            for name, part in (("counts", counts), ("vectors", vectors), ("matrices", matrices))
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore the sums."""
        self._steps, self._conflicts, self._skipped = state["counts"].tolist()
        self._seen, self._weights, self._norms = (part.copy() for part in state["vectors"].numpy())
        self._pairs, self._cosines = (part.copy() for part in state["matrices"].numpy())


class Recorded:
    """What balancers with a weighting have in common: the record of their steps, and both states for checkpoints.

    Args:
        weighting: computes the weights.
        objectives: the names of what is balanced.
    """

    def __init__(self, weighting: Weighting, objectives: Sequence[str]) -> None:
        self._weighting, self._objectives = weighting, tuple(objectives)
        self._record = BalanceRecord(objectives, compares=weighting.compares)

    def columns(self) -> list[str]:
        """Return the columns of the record."""
        return self._record.columns()

    def values(self) -> dict[str, float]:
        """Return the means since the last evaluation."""
        return self._record.values()

    def restart(self) -> None:
        """Start new means."""
        self._record.restart()

    def state_dict(self) -> dict[str, Tensor]:
        """Return the record and the state of the weighting."""
        return self._record.state_dict() | {f"weighting.{k}": v for k, v in self._weighting.state_dict().items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore the record and the state of the weighting."""
        self._record.load_state_dict(state)
        prefix = "weighting."
        self._weighting.load_state_dict({k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)})
