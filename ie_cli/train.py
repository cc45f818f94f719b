"""The training loop: it yields progress, and neither prints nor decides what is shown."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import set_seed
from torch.utils.data import DataLoader

from ie_cli.advice import hopeless
from ie_cli.backends.torch import TorchBackend
from ie_cli.batches import Batch, LengthBuckets, Store
from ie_cli.corpus import Split
from ie_cli.errors import DataError, TrainingError
from ie_cli.evaluate import Scores, score, seen_in
from ie_cli.extractor import Extractor
from ie_cli.optim import build_optimizer, build_schedule
from ie_cli.prepare import Prepared, prepare
from ie_cli.recipe import Precision, Recipe
from ie_cli.schema import Schema
from ie_cli.trackers import open_trackers

REPORT_SECONDS = 1.0
RUN_FILES = ("model", "log.csv", "tensorboard")  # what a run writes into its folder


@dataclass(frozen=True, slots=True)
class Started:
    """What is about to be trained."""

    train: Store
    schema: Schema
    steps: int
    device: str
    precision: Precision
    parameters: int
    has_dev: bool


@dataclass(frozen=True, slots=True)
class Progress:
    """Where the run is: `loss` is the mean since the last report, `rate` in windows a second."""

    step: int
    epoch: float
    loss: float
    rate: float
    learning_rate: float
    seconds_left: float

    def values(self) -> dict[str, float]:
        """What the logs record."""
        return {
            "epoch": self.epoch,
            "loss": self.loss,
            "windows_per_second": self.rate,
            "learning_rate": self.learning_rate,
        }


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A score on dev; `advice` is set when training looks hopeless."""

    step: int
    epoch: float
    loss: float
    scores: Scores
    best: bool
    rate: float
    learning_rate: float
    seconds: float
    seconds_left: float
    advice: str | None

    def values(self) -> dict[str, float]:
        """What the logs record."""
        return {
            "epoch": self.epoch,
            "loss": self.loss,
            "windows_per_second": self.rate,
            "learning_rate": self.learning_rate,
            "precision": self.scores.precision,
            "recall": self.scores.recall,
            "f1": self.scores.f1,
        }


@dataclass(frozen=True, slots=True)
class Finished:
    """The model as a user loads it, with its scores on dev and test where there are any."""

    model: Path
    scores: dict[str, Scores]
    best_step: int
    steps: int
    stopped_early: bool
    seconds: float


Event = Started | Progress | Evaluated | Finished


def train(recipe: Recipe, output: Path, *, overwrite: bool = False) -> Iterator[Event]:
    """Train a model as the recipe says and write it to ``output/model``.

    Works as a generator: each iteration goes on until there is something to tell.

    Raises:
        DataError, ModelError, TrainingError: of the input; also when `output` exists and `overwrite` is not set.
    """
    refuse_existing(output, overwrite=overwrite)
    set_seed(recipe.training.seed)
    prepared = prepare(recipe)
    # Only now: an error in the input costs nobody the model of an earlier run.
    make_output(output)
    run = _Run.start(recipe, prepared, output)
    yield Started(
        prepared.store,
        prepared.schema,
        run.steps,
        str(run.accelerator.device),
        prepared.precision,
        sum(p.numel() for p in prepared.model.parameters()),
        prepared.dev is not None,
    )
    with open_trackers(recipe.training.trackers, output) as log:
        for event in run.events():
            log(event.step, event.values())
            yield event
    yield run.finish()


def refuse_existing(output: Path, *, overwrite: bool) -> None:
    """Raise where there is something in `output` already that nobody asked to replace."""
    if output.is_file():
        raise DataError(f"{output} is a file", hint="give a folder with --output.")
    if output.exists() and any(output.iterdir()) and not overwrite:
        raise DataError(
            f"{output} exists already", hint="choose another folder with --output, or replace it with --overwrite."
        )


def make_output(output: Path) -> None:
    """Create the folder of the run, without what an earlier run wrote there; files of others stay."""
    for name in RUN_FILES:
        path = output / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    output.mkdir(parents=True, exist_ok=True)


class _Run:
    """The state of one run: model, optimizer, schedule, sampler, best score."""

    def __init__(self, recipe: Recipe, prepared: Prepared, output: Path, accelerator: Accelerator) -> None:
        section = recipe.training
        self.recipe, self.prepared, self.output, self.accelerator = recipe, prepared, output, accelerator
        self.sampler = LengthBuckets(
            prepared.store.lengths,
            prepared.store.negative,
            batch_size=section.batch_size,
            batch_tokens=section.batch_tokens,
            negatives=section.negatives,
            seed=section.seed,
        )
        loader: Any = DataLoader(cast(Any, prepared.store), batch_sampler=self.sampler, collate_fn=_same)
        optimizer = build_optimizer(prepared.model, section)
        self.model, self.optimizer, self.loader = accelerator.prepare(prepared.model, optimizer, loader)
        self.steps_per_epoch = math.ceil(len(self.loader) / section.accumulation)
        self.steps = self.steps_per_epoch * section.epochs
        # Not prepared: accelerate would step it once per process.
        self.schedule = build_schedule(optimizer, section, steps=self.steps)
        weights = prepared.weights
        self.weights = None if weights is None else tuple(part.to(accelerator.device) for part in weights)
        self.step, self.best_step, self.best_f1, self.waited = 0, 0, -1.0, 0
        self.stopped = False
        self.match = None if recipe.training.match == "auto" else recipe.training.match
        self.began = time.monotonic()

    @classmethod
    def start(cls, recipe: Recipe, prepared: Prepared, output: Path) -> _Run:
        AcceleratorState._reset_state()  # an earlier run of this process may have had another precision
        accelerator = Accelerator(
            cpu=prepared.device.type == "cpu",
            mixed_precision={"float32": "no", "bfloat16": "bf16", "float16": "fp16"}[prepared.precision],
            gradient_accumulation_steps=recipe.training.accumulation,
        )
        return cls(recipe, prepared, output, accelerator)

    def events(self) -> Iterator[Progress | Evaluated]:
        """Run all epochs, or until patience is out."""
        self.model.train()  # a pretrained encoder comes ready for prediction, without dropout
        meter = _Meter()
        every = self.recipe.training.eval_every or self.steps_per_epoch
        evaluated = 0
        for epoch in range(self.recipe.training.epochs):
            self.sampler.set_epoch(epoch)
            for batch in self.loader:
                meter.add(self._step(batch), self.step + 1, batch)
                if not self.accelerator.sync_gradients:
                    continue
                self.step += 1
                if self.prepared.dev is not None and self.step % every == 0:
                    evaluated = self.step
                    yield self._evaluate(meter, self.prepared.dev)
                    if self._out_of_patience():
                        self.stopped = True
                        return
                elif meter.due():
                    yield self._progress(meter)
        # With batch_tokens an epoch may have a batch more or less than the first, which `steps` is reckoned from.
        if self.prepared.dev is None:
            self.best_step = self.step
            meter.read()  # a model of a loss that is not finite is not kept
            self._save()
        elif evaluated != self.step:
            yield self._evaluate(meter, self.prepared.dev)

    def _step(self, batch: Any) -> torch.Tensor:
        batch = batch.to(self.accelerator.device)
        with self.accelerator.accumulate(self.model):
            loss: torch.Tensor = self.model(batch, self.weights)
            self.accelerator.backward(loss)
            if self.accelerator.sync_gradients and self.recipe.training.clip is not None:
                self.accelerator.clip_grad_norm_(self.model.parameters(), self.recipe.training.clip)
            self.optimizer.step()
            self.optimizer.zero_grad()
            if self.accelerator.sync_gradients and not self.accelerator.optimizer_step_was_skipped:
                self.schedule.step()
        return loss.detach()

    def _progress(self, meter: _Meter) -> Progress:
        loss, rate = meter.read()
        return Progress(self.step, self._epoch(), loss, rate, self._rate(), self._seconds_left())

    def _epoch(self) -> float:
        return self.step / self.steps_per_epoch

    def _rate(self) -> float:
        return max(float(group["lr"]) for group in self.optimizer.param_groups)

    def _seconds_left(self) -> float:
        return (time.monotonic() - self.began) / self.step * max(0, self.steps - self.step)

    def _evaluate(self, meter: _Meter, dev: Split) -> Evaluated:
        loss, rate = meter.read()
        began = time.monotonic()
        scores = score(self._extractor().engine(), dev, match=self.match)
        self.model.train()
        better = scores.f1 > self.best_f1
        best = better or scores.f1 == 0 == self.best_f1  # of models that find nothing right, the one trained longest
        self.waited = 0 if better else self.waited + 1
        if best:
            self.best_f1, self.best_step = scores.f1, self.step
            self._save()
        advice = hopeless(scores, self.prepared.store, self._epoch(), self.prepared.schema)
        seconds = time.monotonic() - began
        meter.restart()
        return Evaluated(
            self.step, self._epoch(), loss, scores, best, rate, self._rate(), seconds, self._seconds_left(), advice
        )

    def _out_of_patience(self) -> bool:
        patience = self.recipe.training.patience
        return patience is not None and self.waited >= patience

    def _extractor(self) -> Extractor:
        p = self.prepared
        return Extractor(TorchBackend(p.model, p.precision), p.schema, p.tokenizer, self.recipe, p.pad_id)

    def _save(self) -> None:
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process:
            self._extractor().save_pretrained(self.output / "model")
        self.accelerator.wait_for_everyone()

    def finish(self) -> Finished:
        """Load the model as a user would, score it, and store the scores with it."""
        folder = self.output / "model"
        extractor = Extractor.from_pretrained(
            folder, device=self.recipe.training.device, precision=self.prepared.precision
        )
        splits: dict[str, Split | None] = {"dev": self.prepared.dev, "test": self.prepared.test}
        seen = seen_in(self.prepared.train, extractor.schema) if any(splits.values()) else None
        scores = {
            name: score(extractor.engine(), split, seen=seen, match=self.match)
            for name, split in splits.items()
            if split is not None
        }
        extractor.write_scores(folder, {name: value.to_dict() for name, value in scores.items()})
        return Finished(
            folder,
            scores,
            self.best_step,
            self.step,
            self.stopped,
            time.monotonic() - self.began,
        )


def _same(batch: Any) -> Any:
    return batch


class _Meter:
    """Mean loss and windows a second since the last reading; losses stay on the device until they are read."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self._losses: list[torch.Tensor] = []
        self._steps: list[tuple[int, list[int]]] = []
        self._windows, self._since = 0, time.monotonic()

    def add(self, loss: torch.Tensor, step: int, batch: Batch) -> None:
        self._losses.append(loss)
        self._steps.append((step, batch.examples))
        self._windows += len(batch.input_ids)

    def due(self) -> bool:
        return time.monotonic() - self._since >= REPORT_SECONDS

    def read(self) -> tuple[float, float]:
        """Read and begin anew.

        Raises:
            TrainingError: a loss is not finite; it names the first such batch.
        """
        losses = torch.stack(self._losses) if self._losses else torch.full((1,), math.nan)
        rate = self._windows / max(1e-9, time.monotonic() - self._since)
        values = losses.tolist()
        for value, (step, examples) in zip(values, self._steps, strict=False):
            if not math.isfinite(value):
                raise _not_finite(value, step, examples)
        self.restart()
        return sum(values) / len(values), rate


def _not_finite(loss: float, step: int, examples: list[int]) -> TrainingError:
    return TrainingError(
        f"the loss is {loss} at step {step}, in a batch of the training examples "
        f"{', '.join(str(n + 1) for n in sorted(set(examples))[:20])} (counted from 1)",
        hint="lower training.learning_rate and training.head_learning_rate, keep training.clip at 1.0, or set "
        "training.precision: float32.",
    )
