"""Choose the windows of the next batch: short requests first, without starving long ones."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Generic, TypeVar

Item = TypeVar("Item")

OLDEST_EVERY = 3
"""Every third batch belongs to the request that has waited longest, so that short requests cannot block a long one."""
_SHORT = 32  # tokens; windows up to this length may always share a batch
_SMALLEST_CLASS = 512  # tokens; requests with fewer remaining are in one size class, larger classes double in size
_SPREAD = 2  # maximum ratio of the longest to the shortest window in a batch


@dataclass(slots=True, eq=False)
class Flow(Generic[Item]):
    """The windows of one request that have not been run, longest first.

    Attributes:
        remaining: number of tokens not run yet, including an estimate for texts not yet split into windows.
    """

    remaining: float
    _heap: list[tuple[int, int, Item]] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=count)

    def add(self, length: int, item: Item) -> None:
        """Add a window with its length in tokens."""
        heapq.heappush(self._heap, (-length, next(self._numbers), item))

    @property
    def ready(self) -> bool:
        """Whether a window is waiting."""
        return bool(self._heap)

    @property
    def longest(self) -> int:
        """Length of the next window in tokens."""
        return -self._heap[0][0]

    def take(self) -> Item:
        """Remove and return the next window."""
        length, _, item = heapq.heappop(self._heap)
        self.remaining = max(0.0, self.remaining + length)
        return item


class Schedule(Generic[Item]):
    """Flows in order of arrival, and batches of their windows.

    The request with the fewest remaining tokens goes first (shortest remaining processing time minimises the mean
    waiting time); requests of the same size class go in order of arrival. Every `OLDEST_EVERY`-th batch starts with the
    oldest request, so that each one finishes. A batch is filled with windows of similar length from all requests,
    because padding costs time.
    """

    def __init__(self) -> None:
        self._flows: dict[int, Flow[Item]] = {}
        self._batches = 0

    def add(self, flow: Flow[Item]) -> None:
        """Add a flow, whose windows may come later."""
        self._flows[id(flow)] = flow

    def remove(self, flow: Flow[Item]) -> None:
        """Remove a flow and its windows."""
        self._flows.pop(id(flow), None)

    @property
    def ready(self) -> bool:
        """Whether any window is waiting."""
        return any(flow.ready for flow in self._flows.values())

    def next_batch(self, limit: Callable[[int], int]) -> list[Item]:
        """Return windows to run together, at least one if any is waiting.

        Args:
            limit: the maximum number of windows in a batch, as a function of the longest window's length.
        """
        order = self._order()
        if not order:
            return []
        longest = shortest = order[0].longest
        batch: list[Item] = []
        for flow in order:
            while flow.ready:
                high, low = max(longest, flow.longest), min(shortest, flow.longest)
                if high > max(_SHORT, _SPREAD * low):
                    break
                if len(batch) >= max(1, limit(high)):
                    if high == longest:
                        return batch
                    break
                longest, shortest = high, low
                batch.append(flow.take())
        return batch

    def _order(self) -> list[Flow[Item]]:
        """Return the flows that have windows, starting with the one that leads the batch."""
        flows = [flow for flow in self._flows.values() if flow.ready]
        if len(flows) > 1:
            self._batches += 1
            oldest = flows[0]
            flows.sort(key=lambda flow: size_class(flow.remaining))  # stable: equal ones stay in order of arrival
            if self._batches % OLDEST_EVERY == 0:
                flows.remove(oldest)
                flows.insert(0, oldest)
        return flows


def size_class(tokens: float) -> int:
    """Return the size class of a request: lower classes go first, requests of the same class in order of arrival."""
    return max(0, math.ceil(math.log2(max(tokens, 1) / _SMALLEST_CLASS)))
