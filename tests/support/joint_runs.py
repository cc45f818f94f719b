"""Runs of one and of several processes, that are watched and compared.

In float32 without dropout, losses are equal within 1e-4 of their size, and weights within 1e-4, a fiftieth of what a step
changes: sums are added in another order. The F1 is equal to the last digit, because predictions are made in the same batches.
"""

from __future__ import annotations

import csv
import signal
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
from safetensors.torch import load_file
from support.benchmark_modules import benchmark_modules
from support.corpora import documents, recipe, relation_documents, relation_recipe, write_jsonl
from support.pair_corpora import pair_recipe, write_pairs
from support.two_processes import COUNT
from support.two_tasks import two_tasks
from torch import Tensor, distributed

from ie_cli.document import Document
from ie_cli.errors import IEError
from ie_cli.inference import pipeline
from ie_cli.modeling.batch import Batch, single_numbers
from ie_cli.modeling.model import ExtractionModel
from ie_cli.recipe.schema import Recipe
from ie_cli.system.launcher import launched_rank
from ie_cli.system.signals import Stop, Stopped
from ie_cli.training import joint_scoring, loop
from ie_cli.training import run as run_module
from ie_cli.training.events import Evaluated, Halved, Started
from ie_cli.training.run import train

CLOSE = {"rtol": 1e-4, "atol": 1e-4}
PLAIN = {"name": "tiny", "max_length": 64, "stride": 16, "layers": 1, "dropout": 0.0, "attention_dropout": 0.0}


class Watched:
    """A run that is watched: what it computes, scores and sends; it can be stopped, and run out of memory."""

    def __init__(
        self,
        *,
        stop_at: tuple[int, int] | None = None,
        windows: tuple[int, int] | None = None,
        shares: int | None = None,
    ) -> None:
        self.stop = Stop()
        self.seen: list[tuple[int, int]] = []
        self.scored: list[int] = []
        self.sent: Counter[int] = Counter()
        self.kept: dict[str, int] = {}
        self.outcome = ""
        self._shares = shares
        self._stop_at, self._windows, self._rank = stop_at, windows, launched_rank()

    def train(self, made: Recipe, output: Path, *, resume: bool = False) -> dict[str, Any]:
        """Train, and return what happened."""
        events = []
        with self._patched():
            try:
                for event in train(made, output, resume=resume, stop=self.stop, shares=self._shares):
                    events.append(event)
            except (Stopped, IEError) as error:
                self.outcome = f"{type(error).__name__}: {error.kept if isinstance(error, Stopped) else error}"
        return {
            "outcome": self.outcome,
            "processes": [event.processes for event in events if isinstance(event, Started)],
            "evaluated": [(event.step, event.primary, event.best) for event in events if isinstance(event, Evaluated)],
            "halved": [event.parts for event in events if isinstance(event, Halved)],
            "seen": self.seen,
            "scored": self.scored,
            "sent": dict(self.sent),
            "kept": self.kept,
            "notes": [note for event in events if isinstance(event, Started) for note in event.notes],
        }

    def _patched(self) -> ExitStack:
        stack = ExitStack()
        finish, step, forward = loop.Run._finish_step, loop.Run._step, ExtractionModel.forward
        predicted, reduce = joint_scoring.JointScoring._predicted, distributed.all_reduce
        clip, watched = loop.Run._clip, self
        with benchmark_modules("worker_divided") as [worker]:
            measured = worker.measured

        def finished(run: loop.Run) -> None:
            finish(run)
            if watched._stop_at == (watched._rank, run.step):
                watched.stop.signum = signal.SIGTERM

        def clipped(run: loop.Run) -> Tensor:
            watched.kept = measured(run)
            return clip(run)

        def stepped(run: loop.Run, batches: Sequence[Batch]) -> list[Tensor | None]:
            watched.seen += [
                (run.epoch, number) for batch in batches if batch.weight for number in single_numbers(batch.documents)
            ]
            return step(run, batches)

        def limited(model: ExtractionModel, batch: Batch, *arguments: Any, **options: Any) -> Any:
            rank, windows = watched._windows or (-1, 0)
            if rank == watched._rank and torch.is_grad_enabled() and len(batch) > windows:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return forward(model, batch, *arguments, **options)

        def scored(scoring: Any, engine: Any, chunk: list[Document]) -> Any:
            watched.scored += [int(str(document.id)) for document in chunk]
            return predicted(scoring, engine, chunk)

        def counted(tensor: Tensor, *arguments: Any, **options: Any) -> Any:
            if tensor.is_floating_point():
                watched.sent[tensor.numel()] += 1
            return reduce(tensor, *arguments, **options)

        for owner, name, replacement in (
            (loop.Run, "_finish_step", finished),
            (loop.Run, "_step", stepped),
            (loop.Run, "_clip", clipped),
            (ExtractionModel, "forward", limited),
            (joint_scoring.JointScoring, "_predicted", scored),
            (distributed, "all_reduce", counted),
            (pipeline, "_LOOKAHEAD_CHARACTERS", 60),  # several chunks
        ):
            stack.enter_context(patch.object(owner, name, replacement))
        return stack


def watch(made: Recipe, output: Path, options: dict[str, Any], resume: bool = False) -> dict[str, Any]:
    """Train in this process; a function that the others can import."""
    return Watched(**options).train(made, output, resume=resume)


def halved_batches(made: Recipe) -> Recipe:
    """The recipe for each of two processes."""
    fields = made.model_dump()
    fields["training"]["batch_size"] //= COUNT
    return Recipe.model_validate(fields)


def weights(output: Path) -> dict[str, Tensor]:
    return load_file(output / "model" / "model.safetensors")


def log(output: Path) -> list[dict[str, str]]:
    """The lines of evaluations."""
    with (output / "log.csv").open(encoding="utf-8") as file:
        return [line for line in csv.DictReader(file) if any(line[name] for name in scores(line))]


def scores(line: dict[str, str]) -> dict[str, str]:
    """The columns of scores."""
    return {
        name: line[name]
        for name in line
        if name not in run_module.COLUMNS and name.partition(".")[0] not in ("step", "balance")
    }


def assert_close(one: Path, other: Path) -> None:
    """Weights and losses within the tolerance, scores equal."""
    expected, found = weights(one), weights(other)
    assert expected.keys() == found.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, **CLOSE, msg=lambda text, name=name: f"{name}: {text}")
    lines, others = log(one), log(other)
    assert [line["step"] for line in lines] == [line["step"] for line in others]
    for line, again in zip(lines, others, strict=True):
        assert float(again["loss"]) == pytest.approx(float(line["loss"]), rel=1e-4)
        for name, value in scores(line).items():
            found_value = float(scores(again)[name])
            assert found_value == (pytest.approx(float(value), abs=1e-6) if name == "pearson" else float(value)), name


def ner(directory: Path, **training: Any) -> Recipe:
    file = directory / "train.jsonl"
    if not file.exists():
        write_jsonl(file, documents())
    return recipe(file, encoder=PLAIN, training={"epochs": 2, "batch_size": 8, **training})


def relations(directory: Path, **training: Any) -> Recipe:
    file = directory / "relations.jsonl"
    if not file.exists():
        write_jsonl(file, relation_documents(annotated=True))
    return relation_recipe(file, encoder={**PLAIN, "layers": 2}, training={"epochs": 2, "batch_size": 8, **training})


def tasks(directory: Path, **training: Any) -> Recipe:
    return two_tasks(directory, dropout=0.0, **training)


def pairs(directory: Path, **training: Any) -> Recipe:
    file = write_pairs(directory, count=30)
    return pair_recipe(
        file,
        data={"train": str(file), "dev": str(file)},
        encoder=PLAIN,
        training={"epochs": 2, "batch_size": 8, **training},
    )
