"""Measure what a training run would cost on this machine: a few steps on a sample of its data, and how much memory they take."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from ie_cli.encoding.padding import pad
from ie_cli.encoding.windows import WindowPlan
from ie_cli.errors import ModelError
from ie_cli.modeling.batch import Batch, Numbers
from ie_cli.recipe.balance import sampling_of
from ie_cli.recipe.base import Precision
from ie_cli.recipe.schema import Recipe
from ie_cli.system.memory import peak_memory
from ie_cli.system.signals import Stop
from ie_cli.training.batching import TaskWindows
from ie_cli.training.context_buckets import ContextBuckets
from ie_cli.training.encoded_dataset import EncodedDataset, encode_dataset
from ie_cli.training.length_buckets import LengthBuckets
from ie_cli.training.loop import Run
from ie_cli.training.setup import TaskSetup, TrainingSetup, prepare, sample_documents, training_items
from ie_cli.training.window_encoding import Encoding

SAMPLE = 256
"""Number of training documents that the steps are measured on."""
SECONDS = 6.0
"""Time to spend on the steps of a recipe; other windows get less each."""
_MOST_STEPS = 8
_WINDOWS = (192, 128, 256, 384)
"""Values of encoder.max_length to compare with that of the recipe, as long as there is time."""
_TWO_PASSES = 4 / 3
"""What a second forward pass adds to the time of a step."""
_SHORTER, _MUCH = 0.8, 0.8
"""A smaller window is measured up to this share of the longest one, and reported up to this share of its time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallerWindow:
    """The same run with smaller windows.

    Attributes:
        seconds: time of all steps and evaluations.
        unreachable, total: gold items of the sample that could not be learned, and all of them.
        documents: number of documents in the sample.
    """

    max_length: int
    stride: int
    seconds: float
    unreachable: int
    total: int
    documents: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """The estimated cost of a run.

    Attributes:
        steps: number of steps of the run.
        exact: whether the steps were counted on all documents, not on a sample.
        step_seconds: time of a step.
        seconds: time of all steps and evaluations.
        memory: peak memory in bytes, of the device or of this process; None if it was not measured with a whole batch.
        parts: number of parts in which each batch has to be computed because memory is insufficient.
        windows: smaller windows that lose nothing more and take much less time, the fastest first.
    """

    steps: int
    exact: bool
    epochs: int
    step_seconds: float
    seconds: float
    device: str
    threads: int
    precision: Precision
    memory: int | None
    parts: int
    windows: tuple[SmallerWindow, ...] = ()


def estimate_cost(recipe: Recipe, *, seconds: float = SECONDS) -> Cost:
    """Run some steps of a recipe, whose model is then discarded; nothing is written to the run's directory.

    Args:
        recipe: the recipe.
        seconds: approximate time to spend on the steps.

    Raises:
        IEError: the run cannot start, or would first have to download the encoder.
    """
    _require_local_weights(recipe)
    setup = prepare(recipe, sample=SAMPLE)
    run = Run.start(recipe, setup, Path(recipe.name), stop=Stop())
    run.model.train()
    timer, start = _Timer(run, seconds), time.monotonic()
    memory, forward = timer.peak_memory(), timer.forward_seconds()
    of_steps, pairs = 0.0, list(zip(setup.tasks.values(), run.sampler.samplers, strict=True))
    drawn = run.sampler.batches_per_epoch(
        [len(sampler) * windows_of(task) / len(task.dataset) for task, sampler in pairs]
    )
    for (task, sampler), number in zip(pairs, drawn, strict=True):
        windows = timer.windows(task, task.dataset)
        took = timer.batch_seconds(windows, _typical_batches(sampler), seconds / len(setup.tasks))
        of_steps += number * took * timer.passes(task)
    # A step has one batch, or one of each task.
    batches = max(drawn) if sampling_of(recipe) == "together" else sum(drawn)
    epochs, accumulation = recipe.training.epochs, recipe.training.accumulation
    steps_per_epoch = -(-round(batches) // accumulation)
    scoring = _scoring_seconds(
        setup, forward, epochs * steps_per_epoch // (recipe.training.eval_every or steps_per_epoch)
    )
    cost = Cost(
        steps=steps_per_epoch * epochs,
        exact=all(len(task.data.documents) <= SAMPLE for task in setup.tasks.values()),
        epochs=epochs,
        step_seconds=of_steps / batches * accumulation,
        seconds=of_steps * epochs + scoring,
        device=str(run.accelerator.device),
        threads=torch.get_num_threads(),
        precision=setup.precision,
        memory=memory,
        parts=run.micro_batching.parts,
    )
    if len(setup.tasks) > 1 or recipe.training.batch_tokens is not None:
        return cost
    [task] = setup.tasks.values()
    # Shorter sequences of pairs lose the ends of texts, and into smaller windows fewer texts are joined.
    if task.codec.reads != "windows" or task.joiner is not None:
        return cost
    smaller = []
    for number, (window, dataset) in enumerate(_smaller_windows(recipe, setup, task)):
        if number and time.monotonic() - start > 3 * seconds:
            break
        count = len(dataset) / len(task.dataset) * batches
        random = _random_batches(len(dataset), recipe.training.batch_size)
        took = timer.batch_seconds(timer.windows(task, dataset), random, seconds / 4)
        if (found := count * took * epochs + scoring) <= _MUCH * cost.seconds:
            smaller.append(replace(window, seconds=found))
    return replace(cost, windows=tuple(sorted(smaller, key=lambda window: window.seconds)))


def _require_local_weights(recipe: Recipe) -> None:
    """Check that the weights of the encoder need not be downloaded.

    Raises:
        ModelError: they are neither in a directory nor in the local cache of the Hub.
    """
    name = recipe.encoder.name
    if recipe.encoder.from_scratch or os.path.isdir(name) or recipe.training.init_from is not None:
        return
    from huggingface_hub import try_to_load_from_cache

    files = ("model.safetensors", "model.safetensors.index.json")
    if not any(isinstance(try_to_load_from_cache(name, file), str) for file in files):
        raise ModelError(f"the weights of {name} have not been downloaded yet", hint="`ie train` downloads them.")


def windows_of(task: TaskSetup) -> float:
    """Return the number of windows of all training documents, estimated from those of the sample."""
    documents, windows = len(task.data.documents), task.dataset.windows_of
    if documents <= SAMPLE:
        return float(windows.sum())
    return float(windows[:-1].mean() * documents)  # the last one is the longest document, not a typical one


class _Timer:
    """Times steps of a run.

    Args:
        run: the run.
        seconds: approximate time to spend on the windows of a task.
    """

    def __init__(self, run: Run, seconds: float) -> None:
        self._run, self._seconds = run, seconds
        if run.micro_batching.cached is not None:
            run.micro_batching.cached.waits = False  # each batch is measured by itself

    def passes(self, task: TaskSetup) -> float:
        """Return the factor of the time of a batch if its losses wait for the other batches of a step."""
        alone = self._run.recipe.training.accumulation == 1 or self._run.setup.model.head(task.name).additive
        return 1.0 if alone else _TWO_PASSES

    def windows(self, task: TaskSetup, dataset: EncodedDataset) -> TaskWindows:
        """Return the windows of a task as batches."""
        collate = self._run.setup.model.head(task.name).collate
        return TaskWindows(task.name, dataset, task.codec, collate, joiner=task.joiner)

    def peak_memory(self) -> int | None:
        """Return the peak memory in a step on the longest windows, or None if such a step would take too long."""
        tasks, samplers = self._run.setup.tasks.values(), self._run.sampler.samplers
        task, sampler = max(zip(tasks, samplers, strict=True), key=lambda pair: int(pair[1].sizes.max()))
        batch = self.windows(task, task.dataset).batch(sampler.heaviest())
        one = batch.part(0, 1)
        first = self._step(one)  # this one also allocates memory and starts threads
        if first > self._seconds or self._step(one) * len(batch) > 2 * self._seconds:
            return None
        # Balancing keeps the gradients of each task until the end of a step with all of them.
        others = [other for other in self._run.setup.tasks.values() if other is not task]
        together = sampling_of(self._run.recipe) == "together"
        self._step(batch, *(self.windows(other, other.dataset).batch([0]) for other in others if together))
        device = self._run.accelerator.device
        return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else peak_memory()

    def batch_seconds(self, windows: TaskWindows, batches: Sequence[Sequence[Numbers]], seconds: float) -> float:
        """Return the mean time of a batch.

        If whole batches take too long, the time of a single window and that of a few are extrapolated.

        Args:
            windows: the windows.
            batches: the batches to measure, as long as there is time.
            seconds: approximate time to spend.
        """
        one = windows.batch(batches[0][:1])
        single = self._step(one)
        if single < seconds / 8:  # once more, without the noise
            single = min(single, self._step(one))
        size = round(sum(map(len, batches)) / len(batches))
        if size > 2 and single * size * 2 > seconds:
            few = min(len(batches[0]), max(2, int(seconds / 2 / single)))
            each = max(0.0, self._step(windows.batch(batches[0][:few])) - single) / max(1, few - 1)
            return single + each * (size - 1)
        start, times = time.monotonic(), list[float]()
        for batch in batches:
            times.append(self._step(windows.batch(batch)))
            if len(times) >= _MOST_STEPS or time.monotonic() - start > seconds:
                break
        return float(np.mean(times))

    def forward_seconds(self) -> float:
        """Return the time that one window or pair takes in evaluation, without decoding."""
        evaluator = self._run.evaluator
        engine = evaluator.extractor().engine()
        dataset = next(iter(self._run.setup.tasks.values())).dataset
        with evaluator.as_stored():
            start, done = time.monotonic(), 0
            for row in np.linspace(0, len(dataset) - 1, num=min(len(dataset), 8), dtype=int).tolist():
                ids, mask = pad(dataset.rows([row]).sequences, dataset.pad_id)
                engine.backend.run(ids, mask)
                self._wait()
                done += 1
                if time.monotonic() - start > self._seconds / 6:
                    break
            took = (time.monotonic() - start) / done
        self._run.model.train()
        return took

    def _step(self, *batches: Batch) -> float:
        self._wait()
        start = time.monotonic()
        self._run._step(batches)
        self._wait()
        return time.monotonic() - start

    def _wait(self) -> None:
        if self._run.accelerator.device.type == "cuda":
            torch.cuda.synchronize()


def _typical_batches(sampler: LengthBuckets) -> list[list[Numbers]]:
    """Return batches of random rows or, if texts are joined, those of an epoch."""
    if isinstance(sampler, ContextBuckets):
        return list(sampler)
    rows = len(sampler.lengths)
    return _random_batches(rows, -(-rows // len(sampler)))


def _random_batches(rows: int, size: int) -> list[list[Numbers]]:
    """Return whole batches of random rows."""
    order, size = np.random.default_rng(0).permutation(rows).tolist(), min(size, rows)
    return [order[first : first + size] for first in range(0, rows - size + 1, size)]


def _scoring_seconds(setup: TrainingSetup, window_seconds: float, evaluations: int) -> float:
    """Return the time of all evaluations on dev, and of the scores on dev and test at the end."""
    seconds = 0.0
    for task in setup.tasks.values():
        per_document = windows_of(task) / len(task.data.documents) * window_seconds
        for documents, times in ((task.data.dev_documents, evaluations + 1), (task.data.test_documents, 1)):
            seconds += len(documents) * times * per_document if documents is not None else 0.0
    return seconds


def _smaller_windows(
    recipe: Recipe, setup: TrainingSetup, task: TaskSetup
) -> Iterator[tuple[SmallerWindow, EncodedDataset]]:
    """Yield smaller windows with which no more items of the sample are lost, and the sample in these windows."""
    longest = int(task.dataset.lengths.max())
    special = setup.text_tokenizer.special_tokens
    items = training_items(task.task, task.dataset)
    for max_length in _WINDOWS:
        if max_length > _SHORTER * longest:
            continue
        stride = min(recipe.encoder.stride, max_length // 4)
        encoding = Encoding(
            tokenizer=setup.text_tokenizer,
            plan=WindowPlan.build(max_length=max_length, stride=stride, special_tokens=special),
            codec=task.codec,
            pad_id=setup.pad_id,
            mentions=task.section.data.mentions,
            whole_words=task.whole_words,
        )
        dataset = encode_dataset(sample_documents(task.data.documents, SAMPLE), encoding, key=None)
        found = training_items(task.task, dataset)
        lost = sum(found.unreachable.values())
        if lost <= sum(items.unreachable.values()):
            yield (
                SmallerWindow(
                    max_length=max_length,
                    stride=stride,
                    seconds=0.0,
                    unreachable=lost,
                    total=found.total,
                    documents=dataset.counts.documents,
                ),
                dataset,
            )
