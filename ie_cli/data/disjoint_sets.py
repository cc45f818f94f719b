"""Sets of numbers that are united pair by pair."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

Index = npt.NDArray[np.int64]


class DisjointSets:
    """A partition of the numbers below a count, each of which is in a set of its own at first."""

    def __init__(self, count: int) -> None:
        self._parents: Index = np.arange(count)

    def unite(self, pairs: Iterable[tuple[int, int]]) -> None:
        """Unite the sets of the two numbers of each pair."""
        for pair in pairs:
            one, other = sorted(map(self._root, pair))
            self._parents[other] = one

    def labels(self) -> Index:
        """Return the smallest number of each number's set."""
        while ((parents := self._parents[self._parents]) != self._parents).any():
            self._parents = parents
        return self._parents.copy()

    def numbers(self) -> Index:
        """Return the number of each number's set; sets are numbered in the order of their smallest members."""
        return np.unique(self.labels(), return_inverse=True)[1]

    def _root(self, number: int) -> int:
        parents = self._parents
        while (parent := int(parents[number])) != number:
            parents[number] = parents[parent]
            number = parent
        return number
