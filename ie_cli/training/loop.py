"""The loop of a training run, and what of it a checkpoint holds."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import set_seed
from torch import Tensor
from torch.utils.data import DataLoader

from ie_cli.data.dataset import Split
from ie_cli.errors import ModelError, TrainingError
from ie_cli.evaluation.evaluate import score, seen_in
from ie_cli.inference.backends.torch import TorchBackend
from ie_cli.inference.extractor import Extractor
from ie_cli.inference.model_directory import FACTS
from ie_cli.modeling.batch import Batch
from ie_cli.recipe.schema import Recipe
from ie_cli.reports.model_card import model_card
from ie_cli.system.signals import Stop, Stopped
from ie_cli.training.checkpoint import (
    Checkpoint,
    RandomState,
    load_model,
    load_optimizer,
    model_tensors,
    optimizer_tensors,
    write_checkpoint,
)
from ie_cli.training.diagnostics import hopeless
from ie_cli.training.encoded_dataset import LengthBuckets
from ie_cli.training.events import Evaluated, Event, Finished, Halved, Progress, Saved, Started
from ie_cli.training.loss_tracker import LossTracker, gradient_norm
from ie_cli.training.micro_batching import MicroBatching, is_out_of_memory
from ie_cli.training.optimizer import build_optimizer, build_schedule
from ie_cli.training.run_directory import CHECKPOINTS, MODEL
from ie_cli.training.setup import TrainingSetup

CHECKPOINT_SECONDS = 600.0
"""Between two checkpoints, where the recipe gives no number of steps."""
_NUMBERS = ("step", "epoch", "batch", "best_step", "best_f1", "waited", "evaluated", "stopped_early")
NEEDED = frozenset(_NUMBERS) | {"losses", "parts", "rates", "schedule", "scaler", "random"}
"""The numbers of a checkpoint."""


class Run:
    """The state of one run: model, optimizer, schedule, sampler, best score.

    Attributes:
        step: steps that are done. epoch, batch: where the next batch stands; batches are counted in this process.
        random: where the random generators stood after the last step.
    """

    def __init__(
        self, recipe: Recipe, setup: TrainingSetup, output: Path, accelerator: Accelerator, stop: Stop
    ) -> None:
        section = recipe.training
        self.recipe, self.setup, self.output, self.accelerator = recipe, setup, output, accelerator
        self.stop, self.tracker = stop, LossTracker(setup.train)
        self.sampler = LengthBuckets(
            setup.store.lengths,
            setup.store.negative,
            batch_size=section.batch_size,
            batch_tokens=section.batch_tokens,
            negatives=section.negatives,
            seed=section.seed,
        )
        loader: Any = DataLoader(cast(Any, setup.store), batch_sampler=self.sampler, collate_fn=_same)
        optimizer = build_optimizer(setup.model, section)
        self.model, self.optimizer, self.loader = accelerator.prepare(setup.model, optimizer, loader)
        self.steps_per_epoch = -(-len(self.loader) // section.accumulation)
        self.steps = self.steps_per_epoch * section.epochs
        # Not prepared: accelerate would step it once per process.
        self.schedule = build_schedule(optimizer, section, steps=self.steps)
        weights = setup.weights
        self.weights = None if weights is None else tuple(part.to(accelerator.device) for part in weights)
        self.halving = MicroBatching(self._backward, self._forget)
        self.step, self.epoch, self.batch = 0, 0, 0
        self.best_step, self.best_f1, self.waited, self.evaluated = 0, -1.0, 0, 0
        self.random = RandomState.now()
        self.resumed_at = 0
        self.stopped_early = False
        self.match = None if recipe.training.match == "auto" else recipe.training.match
        self.began = self.saved = time.monotonic()

    @classmethod
    def start(cls, recipe: Recipe, setup: TrainingSetup, output: Path, stop: Stop) -> Run:
        AcceleratorState._reset_state()  # an earlier run of this process may have had another precision
        accelerator = Accelerator(
            cpu=setup.device.type == "cpu",
            mixed_precision={"float32": "no", "bfloat16": "bf16", "float16": "fp16"}[setup.precision],
            gradient_accumulation_steps=recipe.training.accumulation,
        )
        return cls(recipe, setup, output, accelerator, stop)

    def started(self, resumed_from: int | None, damaged: Sequence[Path] = ()) -> Started:
        p = self.setup
        return Started(
            p.store,
            p.schema,
            self.steps,
            str(self.accelerator.device),
            p.precision,
            sum(parameter.numel() for parameter in p.model.parameters()),
            p.dev is not None,
            resumed_from,
            tuple(damaged),
            p.dev is not None and (p.dev.sources, p.dev.part) == (p.train.sources, p.train.part),
        )

    def stoppable(self) -> Iterator[Event]:
        """Run all epochs, or until patience is out, and score the result; where a signal came, a checkpoint is written.

        Raises:
            Stopped: it says what is kept.
        """
        try:
            yield from self.events()
            with self.stop.at_once():
                finished = self.finish()
            yield finished
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise TrainingError(
                f"out of memory after step {self.step}, outside of the batches of training",
                hint="set training.eval_batch_size lower, and go on with --resume from the last checkpoint.",
            ) from error
        except Stopped as stopped:
            if self.stop.again:  # anywhere, even within a step
                raise
            if self.step > self.resumed_at or not (self.output / CHECKPOINTS).is_dir():
                yield self._checkpoint()
            raise Stopped(
                stopped.signum, f"stopped at step {self.step} of {self.steps}; go on with --resume"
            ) from stopped

    def events(self) -> Iterator[Event]:
        """Run all epochs, or until patience is out."""
        self.model.train()  # a pretrained encoder comes ready for prediction, without dropout
        if self._evaluation_due():  # stopped between a step and its evaluation
            yield from self._evaluate()
        while self.epoch < self.recipe.training.epochs and not self._out_of_patience():
            for batch in self._batches():
                self.stop.check()
                parts = self.halving.parts
                loss = self._step(batch)
                self.tracker.add(loss, self.step + 1, batch.documents, len(batch.input_ids))
                if self.halving.parts > parts:
                    yield Halved(self.step + 1, self.halving.parts)
                self.seen += 1
                if not self.accelerator.sync_gradients:
                    continue
                self._mark()
                if self._evaluation_due():
                    yield from self._evaluate()
                    if self._out_of_patience():
                        self.stopped_early = True
                        return
                elif self.tracker.due():
                    yield self._progress()
                if self._checkpoint_due():
                    yield self._checkpoint()
            self.epoch, self.batch = self.epoch + 1, 0
        # With batch_tokens an epoch may have a batch more or less than the first, which `steps` is reckoned from.
        if self.setup.dev is None:
            self.best_step = self.step
            self.tracker.read()  # a model of a loss that is not finite is not kept
            self._save()
        elif self.evaluated != self.step:
            yield from self._evaluate()

    def _batches(self) -> Iterator[Batch]:
        """The batches of this epoch that are still to come."""
        self.seen = self.batch
        self.sampler.set_epoch(self.epoch)
        self.loader.iteration = self.epoch  # accelerate sets the sampler's epoch by it
        self.sampler.skip = self.batch * self.accelerator.num_processes
        # To begin an epoch draws a number; in an epoch that is gone on with, it was drawn before.
        if not self.batch:
            self.random.restore()
        for number, batch in enumerate(self.loader):
            if number == 0 and self.batch:
                self.random.restore()
            yield batch

    def _mark(self) -> None:
        """A step is done: from here the run can be gone on with."""
        self.step, self.batch, self.random = self.step + 1, self.seen, RandomState.now()

    def _step(self, batch: Batch) -> Tensor:
        batch = batch.to(self.accelerator.device)
        with self.accelerator.accumulate(self.model):
            last = self.accelerator.sync_gradients
            loss = self.halving.add(batch, last=last)
            norm = self._clip() if last else None
            self.optimizer.step()
            self.optimizer.zero_grad()
            if norm is not None and not self.accelerator.optimizer_step_was_skipped:
                self.tracker.add_norm(norm, self.step + 1)
                self.schedule.step()
        return loss

    def _backward(self, part: Batch, share: float) -> Tensor:
        loss: Tensor = self.model(part, self.weights)
        self.accelerator.backward(loss * share if share < 1 else loss)
        return loss.detach()

    def _forget(self) -> None:
        if self.accelerator.num_processes > 1:  # the others would wait for what this one does not send
            raise TrainingError("out of memory", hint="lower training.batch_size and raise training.accumulation.")
        self.setup.model.zero_grad()

    def _clip(self) -> Tensor:
        """Clip the gradient; its norm before."""
        clip = self.recipe.training.clip
        if clip is None:
            return gradient_norm(self.setup.model)
        return cast(Tensor, self.accelerator.clip_grad_norm_(self.model.parameters(), clip))

    def _progress(self) -> Progress:
        loss, rate = self.tracker.read()
        return Progress(self.step, self._epoch(), loss, rate, self._rate(), self._seconds_left())

    def _epoch(self) -> float:
        return self.step / self.steps_per_epoch

    def _rate(self) -> float:
        return max(float(group["lr"]) for group in self.optimizer.param_groups)

    def _seconds_left(self) -> float:
        done = self.step - self.resumed_at
        return (time.monotonic() - self.began) / max(1, done) * max(0, self.steps - self.step)

    def logged(self) -> int:
        """The last step that stays in the log when the run goes on: one that is still to be evaluated is told then."""
        return self.step - self._evaluation_due()

    def _evaluation_due(self) -> bool:
        every = self.recipe.training.eval_every or self.steps_per_epoch
        return self.setup.dev is not None and self.step % every == 0 and self.evaluated != self.step

    def _evaluate(self) -> Iterator[Evaluated]:
        dev = self.setup.dev
        if dev is None:
            return
        self.tracker.check()  # a model of a loss that is not finite is not kept
        rate = self.tracker.rate()
        began = time.monotonic()
        # What counts changes only after all is done: a run that is stopped in here evaluates again.
        with self.stop.at_once():
            scores = score(self._extractor().engine(), dev, match=self.match)
            better = scores.f1 > self.best_f1
            best = better or scores.f1 == 0 == self.best_f1  # of models that find nothing, the one trained longest
            if best:
                self._save()
        self.model.train()
        loss = self.tracker.mean()
        self.evaluated = self.step
        self.waited = 0 if better else self.waited + 1
        if best:
            self.best_f1, self.best_step = scores.f1, self.step
        advice = hopeless(scores, self.setup.store, self._epoch(), self.setup.schema)
        seconds = time.monotonic() - began
        self.tracker.restart()
        yield Evaluated(
            self.step, self._epoch(), loss, scores, best, rate, self._rate(), seconds, self._seconds_left(), advice
        )

    def _out_of_patience(self) -> bool:
        patience = self.recipe.training.patience
        return patience is not None and self.waited >= patience

    def _extractor(self) -> Extractor:
        p = self.setup
        return Extractor(TorchBackend(p.model, p.precision), p.schema, p.tokenizer, self.recipe, p.pad_id)

    def _must_be_finite(self) -> None:
        """Weights can leave the numbers in the very step whose loss and gradient were in them.

        Raises:
            TrainingError: they did.
        """
        for name, parameter in self.setup.model.named_parameters():
            if not bool(parameter.detach().isfinite().all()):
                raise TrainingError(
                    f"step {self.step}: the weights {name} are not finite any more",
                    hint="lower training.learning_rate and training.head_learning_rate.",
                )

    def _save(self) -> None:
        self._must_be_finite()
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process:
            extractor = self._extractor()
            extractor.card = model_card(self.recipe, self.setup.schema, {})
            extractor.save_pretrained(self.output / MODEL)
        self.accelerator.wait_for_everyone()

    def _checkpoint_due(self) -> bool:
        every = self.recipe.training.checkpoint_every
        if every is not None:
            return self.step % every == 0
        return time.monotonic() - self.saved >= CHECKPOINT_SECONDS

    def _checkpoint(self) -> Saved:
        """Store what the run goes on from, as it stood after the last step.

        Raises:
            TrainingError: a loss, a gradient or a weight is not finite; such weights are not kept.
            StorageError: it cannot be written; the one before is still there.
        """
        losses = self.tracker.sums(self.tracker.check(), self.step)
        self._must_be_finite()
        folder = self.output / CHECKPOINTS
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process:
            optimizer = self.optimizer.optimizer
            tensors = model_tensors(self.setup.model) | optimizer_tensors(optimizer) | self.random.tensors()
            scaler = self.accelerator.scaler
            numbers = {
                **{name: getattr(self, name) for name in _NUMBERS},
                "losses": losses,
                "parts": self.halving.parts,
                "rates": [group["lr"] for group in optimizer.param_groups],
                "schedule": self.schedule.last_epoch,
                "scaler": None if scaler is None else scaler.state_dict(),
                "random": self.random.numbers(),
            }
            keep = self.recipe.training.checkpoints
            folder = write_checkpoint(folder, self.step, Checkpoint(tensors, numbers), keep=keep)
        self.accelerator.wait_for_everyone()
        self.saved = time.monotonic()
        return Saved(self.step, folder)

    def load(self, checkpoint: Checkpoint) -> None:
        """Go on where a checkpoint was written.

        Raises:
            ModelError: it does not fit, or the best model of then is gone.
        """
        if checkpoint.numbers["best_step"] and not (self.output / MODEL / FACTS).is_file():
            raise ModelError(
                f"{self.output / MODEL}: missing; it was the best of the run, of step {checkpoint.numbers['best_step']}",
                hint="put it back; or begin anew with --overwrite.",
            )
        load_model(self.setup.model, checkpoint)
        load_optimizer(self.optimizer.optimizer, checkpoint)
        numbers = checkpoint.numbers
        for name in _NUMBERS:
            setattr(self, name, numbers[name])
        self.tracker.total, self.tracker.count = numbers["losses"]
        self.halving.parts = numbers["parts"]
        self.schedule.last_epoch = numbers["schedule"]
        if self.accelerator.scaler is not None and numbers["scaler"] is not None:
            self.accelerator.scaler.load_state_dict(numbers["scaler"])
        self.resumed_at = self.step
        if self.accelerator.is_main_process:
            self.random = RandomState.of(checkpoint)
        else:  # only the first process' generators are stored; the others draw something new, not the same again
            set_seed(self.recipe.training.seed + self.step, device_specific=True)
            self.random = RandomState.now()
        self.sampler.set_epoch(self.epoch)
        if self.batch * self.accelerator.num_processes >= len(self.sampler):
            self.epoch, self.batch = self.epoch + 1, 0

    def finish(self) -> Finished:
        """Load the model as a user would, score it, and store the scores with it."""
        folder = self.output / MODEL
        extractor = Extractor.from_pretrained(
            folder, device=self.recipe.training.device, precision=self.setup.precision
        )
        splits: dict[str, Split | None] = {"dev": self.setup.dev, "test": self.setup.test}
        seen = seen_in(self.setup.train, extractor.schema) if any(splits.values()) else None
        scores = {
            name: score(extractor.engine(), split, seen=seen, match=self.match)
            for name, split in splits.items()
            if split is not None
        }
        extractor.write_scores(folder, {name: value.to_dict() for name, value in scores.items()})
        extractor.write_card(folder, model_card(self.recipe, extractor.schema, scores))
        return Finished(
            folder,
            scores,
            self.best_step,
            self.step,
            self.stopped_early,
            time.monotonic() - self.began,
        )


def _same(batch: Any) -> Any:
    return batch
