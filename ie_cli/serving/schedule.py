"""Which windows of the waiting requests make the next batch: those of short requests first, none forever last."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Generic, TypeVar

Item = TypeVar("Item")

OLDEST_EVERY = 3
"""Each third batch belongs to the request that has waited longest: many short ones cannot hold up a long one."""
_SHORT = 32  # tokens: windows up to this length are never kept apart
_ALIKE = 512  # tokens: requests with less left are of one size, above it those within a factor of two
_SPREAD = 2  # in one batch the longest window is at most so many times as long as the shortest


@dataclass(slots=True, eq=False)
class Flow(Generic[Item]):
    """The windows of one request that have not been run, longest first.

    Attributes:
        remaining: tokens that have not been run, those of texts not yet cut into windows included (estimated).
    """

    remaining: float
    _heap: list[tuple[int, int, Item]] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=count)

    def add(self, length: int, item: Item) -> None:
        """Add a window of so many tokens."""
        heapq.heappush(self._heap, (-length, next(self._numbers), item))

    @property
    def ready(self) -> bool:
        """Whether a window waits."""
        return bool(self._heap)

    @property
    def longest(self) -> int:
        """Tokens of the window that is next."""
        return -self._heap[0][0]

    def take(self) -> Item:
        """The next window, which leaves the flow."""
        length, _, item = heapq.heappop(self._heap)
        self.remaining = max(0.0, self.remaining + length)
        return item


class Schedule(Generic[Item]):
    """Flows in their order of arrival, and batches of their windows.

    The request with the least left goes first (shortest remaining processing time, which has the least mean waiting
    time), those of about one size in the order they came; each `OLDEST_EVERY`-th batch is led by the one that came
    first of all, so that all end. A batch is filled from all requests with windows of about the same length: padding
    is computed, too.
    """

    def __init__(self) -> None:
        self._flows: dict[int, Flow[Item]] = {}
        self._batches = 0

    def add(self, flow: Flow[Item]) -> None:
        """Let a flow take part; its windows may come later."""
        self._flows[id(flow)] = flow

    def remove(self, flow: Flow[Item]) -> None:
        """Forget a flow and its windows."""
        self._flows.pop(id(flow), None)

    @property
    def ready(self) -> bool:
        """Whether any window waits."""
        return any(flow.ready for flow in self._flows.values())

    def next_batch(self, most: Callable[[int], int]) -> list[Item]:
        """Windows to run together, at least one where any waits.

        Args:
            most: the number of windows of at most so many tokens that a batch may have.
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
                if len(batch) >= max(1, most(high)):
                    if high == longest:
                        return batch
                    break
                longest, shortest = high, low
                batch.append(flow.take())
        return batch

    def _order(self) -> list[Flow[Item]]:
        """The flows that have windows, the one that leads the batch first."""
        flows = [flow for flow in self._flows.values() if flow.ready]
        if len(flows) > 1:
            self._batches += 1
            oldest = flows[0]
            flows.sort(key=lambda flow: size_class(flow.remaining))  # stable: alike ones as they came
            if self._batches % OLDEST_EVERY == 0:
                flows.remove(oldest)
                flows.insert(0, oldest)
        return flows


def size_class(tokens: float) -> int:
    """Requests of one class are served as they came, those of a lower one first."""
    return max(0, math.ceil(math.log2(max(tokens, 1) / _ALIKE)))
