"""Batch samplers over several tasks other than `TasksInTurn`: random tasks, or one batch of every task in each step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from ie_cli.errors import counted
from ie_cli.modeling.batch import Batch, Numbers
from ie_cli.recipe.balance import sampling_of
from ie_cli.recipe.schema import Recipe
from ie_cli.training.batching import TaskMixture, TasksInTurn, build_batches, shifted
from ie_cli.training.length_buckets import LengthBuckets
from ie_cli.training.setup import TrainingSetup
from ie_cli.training.shares import Share

_PASS = 2**24
"""What the number of a further pass over a task in the same epoch adds to the epoch, for an order of its own."""


class TasksAtRandom(TasksInTurn):
    """Draws a random task for each batch; an epoch has as many batches as all tasks together, and short tasks start again.

    Args:
        samplers: the sampler of each task.
        first: the first row of each task in the mixture.
        seed: random seed for the order.
        temperature: T; the share of a task is proportional to its number of batches to the power 1/T.
    """

    def __init__(
        self, samplers: Sequence[LengthBuckets], first: Sequence[int], *, seed: int, temperature: float = 1.0
    ) -> None:
        self._temperature = temperature
        super().__init__(samplers, first, seed=seed)

    def set_epoch(self, epoch: int) -> None:
        """Select the epoch for the next iteration; the same seed and epoch give the same batches."""
        super().set_epoch(epoch)
        self._epoch = epoch
        shares = np.array(self.batches_per_epoch([len(sampler) for sampler in self.samplers]))
        random = np.random.default_rng([self._seed, epoch, 2])
        self._order = random.choice(len(shares), size=len(self._order), p=shares / shares.sum()).tolist()

    def batches_per_epoch(self, sizes: Sequence[float]) -> list[float]:
        """Return how many batches of each task an epoch draws on average."""
        shares = np.array(sizes) ** (1 / self._temperature)
        expected: list[float] = (sum(sizes) * shares / shares.sum()).tolist()
        return expected

    def __iter__(self) -> Iterator[list[Numbers]]:
        batches = [_endless(sampler, self._epoch) for sampler in self.samplers]
        for place, number in enumerate(self._order):
            rows = next(batches[number])
            if place >= self.skip:
                yield [shifted(row, self._first[number]) for row in rows]


class TasksTogether(TasksInTurn):
    """Draws one batch of every task in each step; an epoch is a pass over the task with most batches, the others start again."""

    def set_epoch(self, epoch: int) -> None:
        """Select the epoch for the next iteration; the same seed and epoch give the same batches."""
        super().set_epoch(epoch)
        self._epoch, self._steps = epoch, max(len(sampler) for sampler in self.samplers)

    def batches_per_epoch(self, sizes: Sequence[float]) -> list[float]:
        """Return how many batches of each task an epoch draws."""
        return [max(sizes)] * len(sizes)

    def __len__(self) -> int:
        return self._steps

    def __iter__(self) -> Iterator[list[Numbers]]:
        batches = [_endless(sampler, self._epoch) for sampler in self.samplers]
        for place in range(self._steps):
            drawn = [next(task) for task in batches]
            if place >= self.skip:
                yield [shifted(row, first) for rows, first in zip(drawn, self._first, strict=False) for row in rows]


def sampling_notes(sampler: TasksInTurn, names: Sequence[str]) -> Iterator[str]:
    """Yield what a user should know of the order of batches: tasks of which an epoch is two passes or more.

    Args:
        sampler: the sampler of a run.
        names: the tasks, in the order of its samplers.
    """
    if not isinstance(sampler, TasksTogether):
        return
    steps = len(sampler)
    for name, own in zip(names, sampler.samplers, strict=True):
        if steps >= 2 * len(own):
            batches, passes = counted(len(own), "batch", "batches"), steps / len(own)
            yield f"{name} has {batches} and starts again until the {steps:,} draws of an epoch are done ({passes:.1f} passes)"


def _endless(sampler: LengthBuckets, epoch: int) -> Iterator[list[Numbers]]:
    """Yield the batches of a task in an epoch, and then those of further passes in other orders."""
    sampler.set_epoch(epoch)
    batches, number = list(sampler), 0
    while True:
        yield from batches
        number += 1
        sampler.set_epoch(epoch + number * _PASS)
        batches = list(sampler)
        sampler.set_epoch(epoch)  # its length is that of the first pass


class Steps:
    """The batches of all steps, as read by a `DataLoader` with the batch sampler `SharedSteps`."""

    def __init__(self, mixture: TaskMixture) -> None:
        self._mixture = mixture

    def __len__(self) -> int:
        return len(self._mixture)

    def __getitem__(self, row: int) -> tuple[Batch, ...]:
        return self.__getitems__([Share([row], 1.0)])

    def __getitems__(self, shares: Sequence[Share]) -> tuple[Batch, ...]:
        """Return the batches of a step, one for each of its tasks."""
        batches = [(self._mixture.__getitems__(share.rows), share.weight) for share in shares]
        return tuple(batch if weight == 1 else replace(batch, weight=weight) for batch, weight in batches)


def build_steps(setup: TrainingSetup, recipe: Recipe, *, shares: int = 1) -> tuple[TaskMixture, TasksInTurn]:
    """Build the windows of all tasks, and the sampler that the recipe names.

    Args:
        setup: the model and its training data.
        recipe: the recipe.
        shares: number of processes that share a batch.

    Raises:
        TrainingError: no window of a task would be used.
    """
    mixture, in_turn = build_batches(setup, recipe.training, shares=shares)
    options = {"samplers": in_turn.samplers, "first": mixture.first, "seed": recipe.training.seed}
    match sampling_of(recipe):
        case "in_turn":
            return mixture, in_turn
        case "size":
            return mixture, TasksAtRandom(**options)
        case "temperature":
            temperature = recipe.training.sampling_temperature
            return mixture, TasksAtRandom(**options, temperature=2.0 if temperature is None else temperature)
        case "together":
            return mixture, TasksTogether(**options)
