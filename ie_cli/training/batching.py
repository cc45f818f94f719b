"""Turn rows of encoded datasets into batches: tensors with their targets, in a shuffled order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ie_cli.codecs.base import Codec, Index
from ie_cli.encoding.padding import pad, text_mask
from ie_cli.encoding.word_boundaries import NO_BOUNDARY
from ie_cli.errors import TrainingError, counted
from ie_cli.modeling.batch import Batch, Collate, Numbers, single_numbers
from ie_cli.modeling.compilation import MULTIPLE, rounded_length
from ie_cli.modeling.encoder import max_tokens
from ie_cli.recipe.schema import TrainingSection
from ie_cli.training.context_buckets import ContextBuckets
from ie_cli.training.encoded_dataset import EncodedDataset, Rows
from ie_cli.training.length_buckets import LengthBuckets
from ie_cli.training.level_buckets import LevelBuckets
from ie_cli.training.setup import TaskSetup, TrainingSetup
from ie_cli.training.text_joining import TextJoiner


class TaskWindows:
    """The encoded windows of one task, as batches.

    Args:
        task: name of the task.
        dataset: its encoded windows.
        codec: its codec.
        collate: makes the targets for the task's head.
        joiner: joins windows; None if all are separate.
        padding: returns the length to which a batch is padded, given that of its longest sequence; None for the same.
    """

    def __init__(
        self,
        task: str,
        dataset: EncodedDataset,
        codec: Codec,
        collate: Collate,
        *,
        joiner: TextJoiner | None = None,
        padding: Callable[[int], int] | None = None,
    ) -> None:
        self.task, self.dataset, self.codec, self.collate = task, dataset, codec, collate
        self._joiner, self._padding = joiner, padding

    def __len__(self) -> int:
        return len(self.dataset)

    def batch(self, samples: Sequence[Numbers]) -> Batch:
        """Return the batch of some rows, or joined rows, with padded sequences and gold entries numbered by sample."""
        part = self._read(samples)
        at_least = 0 if self._padding is None else self._padding(max(map(len, part.sequences)))
        input_ids, mask = pad(part.sequences, self.dataset.pad_id, at_least=at_least)
        windows = self.codec.reads == "windows"
        text = torch.from_numpy(text_mask(mask, self.dataset.prefix, self.dataset.suffix) if windows else mask)
        entries = self.codec.entries({name: _numbered(values) for name, values in part.columns.items()})
        if part.no_boundaries is not None:
            entries = {**entries, NO_BOUNDARY: _numbered(part.no_boundaries)}
        return Batch.build(
            self.task,
            torch.from_numpy(input_ids),
            torch.from_numpy(mask),
            text,
            {name: torch.from_numpy(part) for name, part in entries.items()},
            collate=self.collate,
            documents=part.documents,
            rows=len(part.sequences) // len(part.documents),
        )

    def _read(self, samples: Sequence[Numbers]) -> Rows:
        if self._joiner is None:
            return self.dataset.rows(single_numbers(samples))
        return self._joiner.rows(self.dataset, samples)


def _numbered(entries: Sequence[npt.NDArray[Any]]) -> Index:
    """Concatenate the entries of all samples, each preceded by the number of its sample."""
    sample = np.repeat(np.arange(len(entries)), [len(part) for part in entries])
    numbered: Index = np.concatenate([sample[:, None], np.concatenate(entries)], axis=1).astype(np.int64)
    return numbered


def shifted(sample: Numbers, by: int) -> Numbers:
    """Return the number of a row, or of several that are joined, among the rows of other tasks."""
    return tuple(row + by for row in sample) if isinstance(sample, tuple) else sample + by


def _first_row(sample: Numbers) -> int:
    return sample[0] if isinstance(sample, tuple) else sample


class TaskMixture:
    """The concatenated windows of all tasks, as read by a `DataLoader` with a batch sampler."""

    def __init__(self, tasks: Mapping[str, TaskWindows]) -> None:
        self.tasks = list(tasks.values())
        self.first = np.cumsum([0, *(len(task) for task in self.tasks)]).tolist()

    def __len__(self) -> int:
        return int(self.first[-1])

    def __getitems__(self, rows: Sequence[Numbers]) -> Batch:
        """Return the batch of some rows, which all belong to one task."""
        number = int(np.searchsorted(self.first, _first_row(rows[0]), side="right")) - 1
        first = self.first[number]
        return self.tasks[number].batch([shifted(row, -first) for row in rows])

    def __getitem__(self, row: int) -> Batch:
        return self.__getitems__([row])


class TasksInTurn:
    """A batch sampler over a `TaskMixture`: in each epoch, all batches of all tasks in a new random order.

    Args:
        samplers: the sampler of each task.
        first: the first row of each task in the mixture.
        seed: random seed for the order.

    Attributes:
        samplers: the sampler of each task.
        skip: number of batches to skip at the start of an epoch because they were used before; the length includes them.
    """

    def __init__(self, samplers: Sequence[LengthBuckets], first: Sequence[int], *, seed: int) -> None:
        self.samplers, self._first, self._seed = samplers, first, seed
        self.skip = 0
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Select the epoch for the next iteration; the same seed and epoch give the same batches."""
        for sampler in self.samplers:
            sampler.set_epoch(epoch)
        self._order = [number for number, sampler in enumerate(self.samplers) for _ in range(len(sampler))]
        if len(self.samplers) > 1:
            np.random.default_rng([self._seed, epoch, 1]).shuffle(self._order)

    def batches_per_epoch(self, sizes: Sequence[float]) -> list[float]:
        """Return how many batches of each task an epoch draws, given the numbers of batches that they have."""
        return list(sizes)

    def __len__(self) -> int:
        return len(self._order)

    def __iter__(self) -> Iterator[list[Numbers]]:
        batches = [iter(sampler) for sampler in self.samplers]
        for place, number in enumerate(self._order):
            rows = next(batches[number])
            if place >= self.skip:
                yield [shifted(row, self._first[number]) for row in rows]


def _sampler(task: TaskSetup, section: TrainingSection, *, shares: int) -> LengthBuckets:
    dataset, context = task.dataset, task.section.data.context
    if context is not None and task.joiner is not None:
        return ContextBuckets(
            dataset,
            context,
            gap=task.joiner.gap,
            longest=task.joiner.longest,
            batch_size=section.batch_size,
            batch_tokens=section.batch_tokens,
            negatives=section.negatives,
            seed=section.seed,
            shares=shares,
        )
    if len(dataset.levels):
        return LevelBuckets(
            dataset.lengths,
            dataset.levels,
            batch_size=section.batch_size,
            batch_tokens=section.batch_tokens,
            seed=section.seed,
            shares=shares,
        )
    return LengthBuckets(
        dataset.lengths,
        dataset.negative,
        batch_size=section.batch_size,
        batch_tokens=section.batch_tokens,
        negatives=section.negatives,
        seed=section.seed,
        shares=shares,
    )


def build_batches(
    setup: TrainingSetup, section: TrainingSection, *, shares: int = 1
) -> tuple[TaskMixture, TasksInTurn]:
    """Build the windows of all tasks, and the sampler for their order.

    Args:
        setup: the model and its training data.
        section: the options of the batches.
        shares: number of processes that share a batch.

    Raises:
        TrainingError: no window of a task would be used.
    """
    padding = None
    if section.compile:
        padding = partial(rounded_length, multiple=MULTIPLE, most=max_tokens(setup.model.encoder.config))
    windows = {
        name: TaskWindows(
            name, task.dataset, task.codec, setup.model.head(name).collate, joiner=task.joiner, padding=padding
        )
        for name, task in setup.tasks.items()
    }
    samplers = [_sampler(task, section, shares=shares) for task in setup.tasks.values()]
    for name, sampler in zip(windows, samplers, strict=True):
        if not len(sampler):
            raise TrainingError(
                f"training.negatives: {section.negatives:g} leaves no window to train on: none of the "
                f"{counted(len(sampler.lengths), 'window')} of {name} contains an annotation",
                hint="annotate some of the texts, or raise training.negatives.",
            )
    mixture = TaskMixture(windows)
    return mixture, TasksInTurn(samplers, mixture.first, seed=section.seed)
