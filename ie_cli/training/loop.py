"""The loop of a training run."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedDataParallelKwargs, set_seed
from torch import Tensor
from torch.utils.data import DataLoader

from ie_cli.errors import ModelError, TrainingError
from ie_cli.inference.integrity import require_undamaged
from ie_cli.inference.model_directory import FACTS
from ie_cli.modeling.batch import Batch
from ie_cli.modeling.model import first_not_finite
from ie_cli.recipe.schema import Recipe
from ie_cli.system.memory import is_out_of_memory
from ie_cli.system.signals import Stop, Stopped
from ie_cli.training.balancing import BALANCERS
from ie_cli.training.batching import build_batches
from ie_cli.training.checkpoint import (
    Checkpoint,
    RandomState,
    write_checkpoint,
)
from ie_cli.training.diagnostics import diagnose_no_learning
from ie_cli.training.evaluator import Evaluator
from ie_cli.training.events import Evaluated, Event, Finished, Halved, Progress, Saved, Started, Trained
from ie_cli.training.loss_tracker import LossTracker, gradient_norm
from ie_cli.training.micro_batching import MicroBatching
from ie_cli.training.optimizer import build_optimizer, build_schedule
from ie_cli.training.run_directory import CHECKPOINTS, MODEL
from ie_cli.training.run_state import pack, unpack
from ie_cli.training.setup import TrainingSetup
from ie_cli.training.techniques.base import Technique, Techniques

CHECKPOINT_SECONDS = 600.0
"""Between two checkpoints, where the recipe gives no number of steps."""


class Run:
    """The state of one run: model, optimizer, schedule, sampler, best score.

    Attributes:
        step: steps that are done. epoch, batch: where the next batch stands; batches are counted in this process.
        random: where the random generators stood after the last step.
    """

    def __init__(
        self,
        recipe: Recipe,
        setup: TrainingSetup,
        output: Path,
        *,
        accelerator: Accelerator,
        stop: Stop,
        techniques: Sequence[Technique] = (),
    ) -> None:
        section = recipe.training
        self.recipe, self.setup, self.output, self.accelerator = recipe, setup, output, accelerator
        self.stop = stop
        self.evaluator = Evaluator(recipe, setup)
        self.tracker = LossTracker({name: task.data.documents for name, task in setup.tasks.items()})
        self.techniques, self.balancer = Techniques(techniques), BALANCERS["sum"]()
        mixture, self.sampler = build_batches(setup, section)
        loader: Any = DataLoader(cast(Any, mixture), batch_sampler=self.sampler, collate_fn=_same)
        model = self.techniques.wrap_model(setup.model)
        optimizer = build_optimizer(model, section)
        self.model, self.optimizer, self.loader = accelerator.prepare(model, optimizer, loader)
        self.steps_per_epoch = -(-len(self.loader) // section.accumulation)
        self.steps = self.steps_per_epoch * section.epochs
        # Not prepared: accelerate would step it once per process.
        self.schedule = build_schedule(optimizer, section, steps=self.steps)
        self.weights = setup.weights_on(accelerator.device)
        self.micro_batching = MicroBatching(self._backward, self._forget)
        self.step, self.epoch, self.batch = 0, 0, 0
        self.best_step, self.best_score, self.waited, self.evaluated = 0, -1.0, 0, 0
        self.random = RandomState.now()
        self.resumed_at = 0
        self.damaged: tuple[Path, ...] = ()
        self.stopped_early = self.trained = False
        self.began = self.saved = time.monotonic()

    @classmethod
    def start(
        cls, recipe: Recipe, setup: TrainingSetup, output: Path, *, stop: Stop, techniques: Sequence[Technique] = ()
    ) -> Run:
        AcceleratorState._reset_state()  # an earlier run of this process may have had another precision
        accelerator = Accelerator(
            cpu=setup.device.type == "cpu",
            mixed_precision={"float32": "no", "bfloat16": "bf16", "float16": "fp16"}[setup.precision],
            gradient_accumulation_steps=recipe.training.accumulation,
            # A batch is of one task: the heads of the others get no gradient.
            kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=len(setup.tasks) > 1)],
        )
        return cls(recipe, setup, output, accelerator=accelerator, stop=stop, techniques=techniques)

    def started(self, resumed_from: int | None) -> Started:
        p = self.setup
        return Started(
            tasks=p.tasks,
            steps=self.steps,
            device=str(self.accelerator.device),
            precision=p.precision,
            parameters=sum(parameter.numel() for parameter in p.model.parameters()),
            has_dev=self.setup.has_dev,
            resumed_from=resumed_from,
            damaged=self.damaged,
            dev_is_train=any(task.data.dev_is_train for task in p.tasks.values()),
            trained_before=self.trained,
        )

    def stoppable(self) -> Iterator[Event]:
        """Run all epochs, or until patience is out, and score the result; where a signal came, a checkpoint is written.

        Raises:
            Stopped: it says what is kept.
        """
        try:
            if not self.trained:
                yield from self.events()
                self.trained = True
                yield Trained(self.best_step, self.step, self.stopped_early)
            with self.stop.interruptible():
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
            if self.stop.repeated:  # anywhere, even within a step
                raise
            if self.trained:
                raise Stopped(stopped.signum, "the model is trained; go on with --resume to score it") from stopped
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
                parts = self.micro_batching.parts
                loss = self._step(batch)
                self.tracker.add(loss, self.step + 1, batch, sentences=self._sentences(batch))
                if self.micro_batching.parts > parts:
                    yield Halved(self.step + 1, self.micro_batching.parts)
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
        if not self.setup.has_dev:
            self.best_step = self.step
            self.tracker.read()  # a model of a loss that is not finite is not kept
            with self.techniques.evaluation_weights():
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

    def _sentences(self, batch: Batch) -> float:
        """How many texts a batch is worth: of one that is cut into n windows, each is an nth."""
        windows_of = self.setup.tasks[batch.task].dataset.windows_of
        return float((1 / windows_of[batch.documents]).sum())

    def _step(self, batch: Batch) -> Tensor:
        batch = batch.to(self.accelerator.device)
        with self.accelerator.accumulate(self.model):
            last = self.accelerator.sync_gradients
            loss = self.micro_batching.add(batch, last=last)
            norm = self._clip() if last else None
            self.optimizer.step()
            self.optimizer.zero_grad()
            if norm is not None and not self.accelerator.optimizer_step_was_skipped:
                self.tracker.add_norm(norm, self.step + 1)
                self.schedule.step()
            if last:
                self.techniques.after_step(self.step + 1)
        return loss

    def _backward(self, part: Batch, share: float) -> Tensor:
        """Add the gradients of a part of a batch, by all that the techniques do; where memory ends, all of it is done again."""
        return self.techniques.compute_gradients(part, partial(self._plain_backward, share=share))

    def _plain_backward(self, part: Batch, *, share: float) -> Tensor:
        losses: dict[str, Tensor] = self.model(part, self.weights)
        return self.balancer.backward(losses, share=share, backward=self.accelerator.backward)

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
        return self.setup.has_dev and self.step % every == 0 and self.evaluated != self.step

    def _evaluate(self) -> Iterator[Evaluated]:
        if not self.setup.has_dev:
            return
        self.tracker.check()  # a model of a loss that is not finite is not kept
        rate = self.tracker.rate()
        began = time.monotonic()
        # What counts changes only after all is done: a run that is stopped in here evaluates again.
        with self.stop.interruptible(), self.techniques.evaluation_weights():
            scores = self.evaluator.dev_scores()
            primary = sum(part.primary for part in scores.values()) / len(scores)
            rank = -math.inf if math.isnan(primary) else primary
            better = not self.best_step or rank > self.best_score
            best = better or primary == 0 == self.best_score  # of models that find nothing, the one trained longest
            if best:
                self._save()
        self.model.train()
        loss = self.tracker.mean()
        self.evaluated = self.step
        self.waited = 0 if better else self.waited + 1
        if best:
            self.best_score, self.best_step = rank, self.step
        advice = [diagnose_no_learning(part, self.setup.tasks[name], self._epoch()) for name, part in scores.items()]
        seconds = time.monotonic() - began
        self.tracker.restart()
        yield Evaluated(
            step=self.step,
            epoch=self._epoch(),
            loss=loss,
            scores=scores,
            named=len(self.setup.tasks) > 1,
            primary=primary,
            best=best,
            rate=rate,
            learning_rate=self._rate(),
            seconds=seconds,
            seconds_left=self._seconds_left(),
            advice=" ".join(filter(None, advice)) or None,
        )

    def _out_of_patience(self) -> bool:
        patience = self.recipe.training.patience
        return patience is not None and self.waited >= patience and self.setup.can_score

    def _require_finite(self) -> None:
        """Weights can leave the numbers in the very step whose loss and gradient were in them.

        Raises:
            TrainingError: they did.
        """
        if (name := first_not_finite(self.setup.model)) is not None:
            raise TrainingError(
                f"step {self.step}: the weights {name} are not finite any more",
                hint="lower training.learning_rate and training.head_learning_rate.",
            )

    def _save(self) -> None:
        self._require_finite()
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process:
            self.evaluator.save_model(self.output / MODEL)
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
        self._require_finite()
        directory = self.output / CHECKPOINTS
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process:
            keep = self.recipe.training.checkpoints
            directory = write_checkpoint(directory, self.step, pack(self, losses), keep=keep)
        self.accelerator.wait_for_everyone()
        self.saved = time.monotonic()
        return Saved(self.step, directory)

    def load(self, checkpoint: Checkpoint) -> None:
        """Go on where a checkpoint was written.

        Raises:
            ModelError: it does not fit, or the best model of then is gone or damaged.
        """
        if checkpoint.numbers["best_step"]:
            if not (self.output / MODEL / FACTS).is_file():
                raise ModelError(
                    f"{self.output / MODEL}: missing; it was the best of the run, of step {checkpoint.numbers['best_step']}",
                    hint="put it back; or begin anew with --overwrite.",
                )
            require_undamaged(self.output / MODEL, "torch")
        unpack(self, checkpoint)
        self.resumed_at, self.damaged = self.step, checkpoint.damaged
        if self.accelerator.is_main_process:
            self.random = RandomState.of(checkpoint)
        else:  # only the first process' generators are stored; the others draw something new, not the same again
            set_seed(self.recipe.training.seed + self.step, device_specific=True)
            self.random = RandomState.now()
        self.sampler.set_epoch(self.epoch)
        if self.batch * self.accelerator.num_processes >= len(self.sampler):
            self.epoch, self.batch = self.epoch + 1, 0

    def skip_training(self, trained: Trained) -> None:
        """Go on where all epochs were done, and scoring the result was not."""
        self.trained, self.stopped_early = True, trained.stopped_early
        self.best_step, self.step = trained.best_step, trained.steps
        self.resumed_at = self.evaluated = self.step

    def finish(self) -> Finished:
        """Load the model as a user would, score it, and store the scores with it."""
        directory = self.output / MODEL
        scores = self.evaluator.final_scores(directory)
        seconds = time.monotonic() - self.began
        return Finished(directory, scores, self.best_step, self.step, self.stopped_early, seconds)


def _same(batch: Any) -> Any:
    return batch
