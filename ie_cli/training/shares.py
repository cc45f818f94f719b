"""Divide batches over the processes of a run: every sample is in one of them, and all have about as many tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ie_cli.modeling.batch import Numbers
from ie_cli.training.batching import TasksInTurn, shifted


@dataclass(frozen=True, slots=True)
class Share:
    """What a process computes of a batch of one task.

    Attributes:
        rows: the rows; one, which is not computed, if the batch has fewer samples than there are processes.
        weight: the factor of their mean loss with which the mean over the processes is the mean over the batch; 0 if the process
            computes none.
    """

    rows: list[Numbers]
    weight: float


def divide(sizes: Sequence[int], parts: int) -> list[list[int]]:
    """Divide samples so that the largest part, in tokens with padding, is as small as possible.

    The samples of a part are neighbours by length. No part is empty, unless there are fewer samples than parts.

    Args:
        sizes: number of tokens in each sample.
        parts: number of parts.

    Returns:
        The places of the samples of each part, in ascending order.
    """
    order = sorted(range(len(sizes)), key=lambda place: -sizes[place])
    low, high = max(sizes), max(sizes) * -(-len(sizes) // parts)  # so many suffice if all parts have equal numbers
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if _fits(order, sizes, parts, middle) else (middle + 1, high)
    return [sorted(part) for part in _filled(order, sizes, parts, low)]


def _filled(order: Sequence[int], sizes: Sequence[int], parts: int, most: int) -> list[list[int]]:
    """Return parts of at most `most` tokens, filled one after the other; the last ones may lack samples."""
    found, start = [], 0
    for later in reversed(range(parts)):
        count = 0
        if start < len(order):
            count = min(most // max(1, sizes[order[start]]), max(1, len(order) - start - later))
        found.append(list(order[start : start + count]))
        start += count
    return found


def _fits(order: Sequence[int], sizes: Sequence[int], parts: int, most: int) -> bool:
    return sum(map(len, _filled(order, sizes, parts, most))) == len(order)


class SharedSteps:
    """A batch sampler that draws, for each step, what one of several processes computes of the batches of another sampler.

    All processes draw the same batches, so every epoch has the same number of steps in all of them, and every sample is computed
    once. The rows of a batch with fewer samples than processes are computed by the first ones.

    Args:
        sampler: draws the batches.
        first: the first row of each task in the mixture.
        rank: the number of this process.
        count: the number of processes.
    """

    def __init__(self, sampler: TasksInTurn, first: Sequence[int], *, rank: int = 0, count: int = 1) -> None:
        self._sampler, self._first, self._rank, self._count = sampler, np.array(first), rank, count

    def __len__(self) -> int:
        return len(self._sampler)

    def __iter__(self) -> Iterator[list[Share]]:
        for rows in self._sampler:
            yield [self._share(task, part) for task, part in self._by_task(rows)]

    def _by_task(self, rows: Sequence[Numbers]) -> list[tuple[int, list[Numbers]]]:
        """Return the number of each task in a step, and its rows."""
        leading = [row[0] if isinstance(row, tuple) else row for row in rows]
        numbers = (np.searchsorted(self._first, leading, side="right") - 1).tolist()
        by_task: dict[int, list[Numbers]] = {}
        for row, number in zip(rows, numbers, strict=True):
            by_task.setdefault(number, []).append(row)
        return list(by_task.items())

    def _share(self, task: int, rows: list[Numbers]) -> Share:
        if self._count == 1:
            return Share(rows, 1.0)
        sampler, first = self._sampler.samplers[task], int(self._first[task])
        sizes = [sampler.size(shifted(row, -first)) for row in rows]
        own = [rows[place] for place in divide(sizes, self._count)[self._rank]]
        if not own:
            return Share([rows[int(np.argmin(sizes))]], 0.0)
        return Share(own, len(own) * self._count / len(rows))
