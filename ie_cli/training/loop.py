"""The training loop."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, cast

from accelerate import Accelerator
from accelerate.data_loader import prepare_data_loader
from accelerate.utils import set_seed
from torch import Tensor
from torch.utils.data import DataLoader

from ie_cli.modeling.batch import Batch, single_numbers
from ie_cli.recipe.schema import Recipe
from ie_cli.system.signals import Stop, Stopped
from ie_cli.training.acceleration import build_accelerator
from ie_cli.training.agreement import Agreement, finish_gradients
from ie_cli.training.balancing.build import build_balancer
from ie_cli.training.checkpoint import RandomState, write_checkpoint
from ie_cli.training.diagnostics import FOUND, Diagnostics, without_shy
from ie_cli.training.divided_tensors import whole_tensor
from ie_cli.training.evaluator import Evaluator
from ie_cli.training.events import Evaluated, Event, Halved, Saved, Trained
from ie_cli.training.loss_tracker import LossTracker, gradient_norm, require_finite
from ie_cli.training.optimizer import build_optimizer, build_schedule, warmup_steps
from ie_cli.training.processes import Processes
from ie_cli.training.run_directory import CHECKPOINTS, MODEL
from ie_cli.training.run_errors import explained
from ie_cli.training.run_events import finished, learning_rate, progress, seconds_left
from ie_cli.training.run_state import pack
from ie_cli.training.sampling import Steps, build_steps
from ie_cli.training.selection import ranked
from ie_cli.training.setup import TrainingSetup
from ie_cli.training.sharding import divides, place
from ie_cli.training.shares import SharedSteps
from ie_cli.training.techniques.base import Technique, Techniques
from ie_cli.training.techniques.build import build_techniques, require_supported

CHECKPOINT_SECONDS = 600.0
"""Interval between checkpoints if the recipe sets no number of steps."""


class Run:
    """The state of one run: model, optimizer, schedule, sampler, best score.

    Attributes:
        step: number of completed steps.
        epoch, batch: position of the next batch, which all processes share.
        random: state of the random generators of this process after the last step.
        agreed: what all processes do after the last step.
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
        processes: Processes | None = None,
        shares: int | None = None,
    ) -> None:
        section, self.processes = recipe.training, Processes() if processes is None else processes
        self.recipe, self.setup, self.output, self.accelerator = recipe, setup, output, accelerator
        self.stop, processes = stop, self.processes
        self.evaluator = Evaluator(recipe, setup, processes=processes, stop=stop)
        self.diagnostics = Diagnostics(recipe, setup)
        self.tracker = LossTracker({name: task.data.documents for name, task in setup.tasks.items()}, processes)
        self.techniques = Techniques([*build_techniques(recipe, setup.model), *techniques])
        require_supported(recipe, setup.model, processes)
        shares = processes.count if shares is None else shares
        mixture, self.sampler = self._sources = build_steps(setup, recipe, shares=shares)
        own = SharedSteps(self.sampler, mixture.first, rank=processes.rank, count=processes.count)
        loader: Any = DataLoader(cast(Any, Steps(mixture)), batch_sampler=own, collate_fn=lambda step: step)
        # The batches are shared already, and stay on the CPU until they are computed.
        self.loader: Any = prepare_data_loader(loader, num_processes=1, process_index=0)
        self.steps_per_epoch = -(-len(self.loader) // section.accumulation)
        self.steps = self.steps_per_epoch * section.epochs
        self.weights = setup.weights_on(accelerator.device)
        self._parts = -(-shares // processes.count)  # with fewer processes than at the start, each has more of a batch
        self.step, self.epoch, self.batch = 0, 0, 0
        self.best_step, self.best_score, self.waited, self.evaluated = 0, -1.0, 0, 0
        self.agreed, self.resumed_at = Agreement(), 0
        self.damaged: tuple[Path, ...] = ()
        self.stopped_early = self.trained = False
        self.started_at = self.last_checkpoint = time.monotonic()

    @classmethod
    def start(cls, recipe: Recipe, setup: TrainingSetup, output: Path, *, stop: Stop, **options: Any) -> Run:
        """Create a run with an accelerator for its device and precision, in all processes; an error in one is that of all.

        Args:
            recipe: the recipe.
            setup: the model and its training data.
            output: directory for the run.
            stop: checked between steps.
            options: `techniques`; `processes`, by default one; and `shares`, by default as many as processes: the number of
                processes for whose batches together a step is computed.
        """
        processes: Processes = options.get("processes") or Processes()
        create = partial(cls, recipe, setup, output, stop=stop, **options)
        run = processes.together(lambda: create(accelerator=build_accelerator(recipe, setup)))
        run.connect()
        return run

    def connect(self) -> None:
        """Copy the first process's weights to all, and build the balancer, whose start values depend on them."""
        processes, recipe, model = self.processes, self.recipe, self.setup.model
        if divided := divides(recipe, processes):  # each keeps a part of the weights of the first one
            processes.together(lambda: model.to(self.accelerator.device))
            processes.same_weights(model)  # no process can fail in here alone, so that others would wait for it
        processes.together(self._build)
        if not divided:
            processes.same_weights(model)
        build = partial(build_balancer, recipe, self.setup, self.accelerator, self._sources, processes=processes)
        self.balancer = processes.together(build)
        if not processes.first:  # until now, all have drawn the same
            set_seed(recipe.training.seed + processes.rank)
        self.random = RandomState.now()

    def _build(self) -> None:
        """Build the model to train, its optimizer, and what computes its gradients."""
        recipe, setup, accelerator = self.recipe, self.setup, self.accelerator
        self.placement = place(recipe, setup, self.processes, accelerator.device)
        model = self.techniques.wrap_model(self.placement.model)
        optimizer = build_optimizer(model, recipe.training, factors=setup.rate_factors)
        # In evaluation mode it is not wrapped for several processes: their gradients are exchanged in `_step`.
        self.model: Any = accelerator.prepare_model(model, evaluation_mode=True)
        self.optimizer: Any = accelerator.prepare_optimizer(optimizer)
        # Not prepared: accelerate would step it once per process.
        self.schedule = build_schedule(optimizer, recipe.training, steps=self.steps)
        self.micro_batching = self.placement.batching(self._backward, self._reset_gradients, self._parts)

    def stoppable(self) -> Iterator[Event]:
        """Run the training loop and score the result; if a signal arrives, write a checkpoint and stop.

        Raises:
            Stopped: a signal arrived; the message says what is kept.
            TrainingError: memory is insufficient outside training batches.
        """
        try:
            if not self.trained:
                yield from self.events()
                self.trained = True
                yield Trained(self.best_step, self.step, self.stopped_early)
            with self._interruptible():
                event = finished(self)
            yield event
        except (RuntimeError, MemoryError) as error:
            if (explanation := explained(error, self.step)) is None:
                raise
            raise explanation from error
        except Stopped as stopped:
            if self.stop.repeated:  # anywhere, even within a step
                raise
            if self.trained:
                raise Stopped(stopped.signum, "the model is trained; continue with --resume to score it") from stopped
            if self.step > self.resumed_at or not (self.output / CHECKPOINTS).is_dir():
                yield self._checkpoint()
            raise Stopped(
                stopped.signum, f"stopped at step {self.step} of {self.steps}; continue with --resume"
            ) from stopped

    def events(self) -> Iterator[Event]:
        """Train for all epochs, or until the score has not improved for `patience` evaluations."""
        self.model.train()  # pretrained encoders are loaded in evaluation mode, without dropout
        self.placement.release()
        if self._evaluation_due():  # the run was stopped between a step and its evaluation
            yield from self._evaluate()
        while self.epoch < self.recipe.training.epochs and not self._out_of_patience():
            for batches in self._batches():
                self._check_stop()
                parts = self.micro_batching.parts
                for batch, loss in zip(batches, self._step(batches), strict=True):
                    self.tracker.add(loss, self.step + 1, batch, sentences=self._sentences(batch))
                if self.micro_batching.parts > parts:
                    yield Halved(self.step + 1, self.micro_batching.parts)
                self.seen += 1
                if not self.accelerator.sync_gradients:
                    continue
                self._finish_step()
                if self._evaluation_due():
                    yield from self._evaluate()
                    if self._out_of_patience():
                        self.stopped_early = True
                        return
                elif self._progress_due():
                    yield progress(self)
                if self._checkpoint_due():
                    yield self._checkpoint()
            self.epoch, self.batch = self.epoch + 1, 0
        # With batch_tokens, the number of steps may vary by epoch, and `steps` is computed from the first one.
        if not self.setup.has_dev:
            self.best_step = self.step
            self.tracker.read()  # do not keep a model if its loss is not finite
            with self.techniques.evaluation_weights(), self.placement.whole():
                self._save()
        elif self.evaluated != self.step:
            yield from self._evaluate()

    def _batches(self) -> Iterator[tuple[Batch, ...]]:
        """Yield the remaining batches of this epoch: one at a time, or one of each task."""
        self.seen = self.batch
        self.sampler.set_epoch(self.epoch)
        self.sampler.skip = self.batch
        # Starting an epoch draws a random number; in a resumed epoch it was drawn before.
        if not self.batch:
            self.random.restore()
        for number, batches in enumerate(self.loader):
            if number == 0 and self.batch:
                self.random.restore()
            yield batches

    def _finish_step(self) -> None:
        """Record a completed step, from which the run can be resumed."""
        self.step, self.batch, self.random = self.step + 1, self.seen, RandomState.now()

    def _check_stop(self) -> None:
        """Raise if a signal has arrived, in several processes: at any of them before the end of the last step.

        Raises:
            Stopped: it names the signal.
        """
        if not self.processes.several:
            self.stop.check()
        elif self.agreed.signum:
            raise Stopped(self.agreed.signum)

    def _interruptible(self) -> AbstractContextManager[None]:
        """Return a context that a signal interrupts immediately; several processes agree on it where they meet."""
        return nullcontext() if self.processes.several else self.stop.interruptible()

    def _progress_due(self) -> bool:
        return self.agreed.progress if self.processes.several else self.tracker.due()

    def _sentences(self, batch: Batch) -> float:
        """Return the number of texts in a batch; a window of a text with n windows counts as 1/n."""
        if not batch.weight:
            return 0.0
        windows_of = self.setup.tasks[batch.task].dataset.windows_of
        return float((1 / windows_of[single_numbers(batch.documents)]).sum())

    def _step(self, batches: Sequence[Batch]) -> list[Tensor | None]:
        """Add the gradients of some batches, complete the step if they are its last ones, and return their losses."""
        self.placement.model.begin_step(min(1.0, self.step / self.steps))
        with self.accelerator.accumulate(self.model):
            last = self.accelerator.sync_gradients
            losses = [self.micro_batching.add(batch, last=last and batch is batches[-1]) for batch in batches]
            if last:
                self.balancer.finish_step()
                self._exchange()
            norm = self._clip() if last else None
            self.optimizer.step()
            self.optimizer.zero_grad()
            if norm is not None and not self.accelerator.optimizer_step_was_skipped:
                # With the loss scaling of float16, a step whose gradient overflows is skipped on the device.
                self.tracker.add_norm(norm, self.step + 1, may_overflow=self.accelerator.scaler is not None)
                self.schedule.step()
            if last:
                self.techniques.after_step(self.step + 1)
        return losses

    def _backward(self, part: Batch, share: float) -> Tensor:
        """Add the gradients of a part of a batch with all techniques; if memory is insufficient, the step is repeated."""
        return self.techniques.compute_gradients(part, partial(self._plain_backward, share=share))

    def _plain_backward(self, part: Batch, *, share: float) -> Tensor:
        losses: dict[str, Tensor] = self.model(part, self.weights)
        return self.balancer.backward(losses, share=share, backward=self.accelerator.backward)

    def _exchange(self) -> None:
        """Average the gradients of all processes, and agree on what follows the step."""
        if not self.processes.several:
            return
        first = self.processes.first
        late = first and time.monotonic() - self.last_checkpoint >= CHECKPOINT_SECONDS
        wish = Agreement(self.micro_batching.parts, self.stop.signum or 0, first and self.tracker.due(), late)
        self.agreed = finish_gradients(self.processes, self.placement.parameters_to_average(), wish)
        self.micro_batching.parts = self.agreed.parts

    def _reset_gradients(self) -> None:
        self.placement.model.zero_grad()
        self.balancer.reset()

    def _clip(self) -> Tensor:
        """Clip the gradient, and return its norm before clipping."""
        if (clip := self.recipe.training.clip) is None:
            return whole_tensor(gradient_norm(self.placement.model))
        return whole_tensor(self.accelerator.clip_grad_norm_(self.model.parameters(), clip))

    def epochs(self) -> float:
        """Return the number of epochs that are completed, with the part of the current one."""
        return self.step / self.steps_per_epoch

    def logged(self) -> int:
        """Return the last step to keep in the log of a resumed run; a step not evaluated yet will be logged again."""
        return self.step - self._evaluation_due()

    def _evaluation_due(self) -> bool:
        every = self.recipe.training.eval_every or self.steps_per_epoch
        return self.setup.has_dev and self.step % every == 0 and self.evaluated != self.step

    def _evaluate(self) -> Iterator[Evaluated]:
        if not self.setup.has_dev:
            return
        self.tracker.check()  # do not keep a model if its loss is not finite
        rate = self.tracker.rate()
        start = time.monotonic()
        # The run's state changes only at the end: if stopped in here, it evaluates again. No signal interrupts a restoration.
        with self.techniques.evaluation_weights(), self.placement.whole():
            with self.evaluator.as_stored(), self._interruptible():
                scores, choices = self.evaluator.dev_scores()
            primary, rank = ranked(scores, self.recipe.training.select, choices)
            better = not self.best_step or rank > self.best_score
            # Among models that find nothing, the one trained longest is preferred.
            best = better or primary == 0 == self.best_score
            if best:
                with self._interruptible():
                    self._save()
        self.model.train()
        loss = self.tracker.mean()
        self.evaluated = self.step
        if best:
            self.best_score, self.best_step = rank, self.step
        self.waited = 0 if better or not self._patience_counts() else self.waited + 1
        losses, shown = self.tracker.by_task(), without_shy(scores, choices)
        advice = self.diagnostics.evaluated(shown, step=self.step, epoch=self.epochs(), losses=losses)
        seconds, balance = time.monotonic() - start, self.balancer.values()
        self.tracker.restart()
        self.balancer.restart()
        yield Evaluated(
            step=self.step,
            epoch=self.epochs(),
            loss=loss,
            scores=scores,
            named=len(self.setup.tasks) > 1,
            primary=primary,
            best=best,
            rate=rate,
            learning_rate=learning_rate(self),
            seconds=seconds,
            seconds_left=seconds_left(self),
            advice=advice,
            steps=self.steps,
            balance=balance,
            choices=choices,
        )

    def _patience_counts(self) -> bool:
        """Return whether an evaluation without a better score counts: not before the model has learned something."""
        return not -1 <= self.best_score < FOUND and self.step > warmup_steps(self.recipe.training, self.steps)

    def _out_of_patience(self) -> bool:
        patience = self.recipe.training.patience
        return patience is not None and self.waited >= patience and self.setup.can_score

    def _save(self) -> None:
        require_finite(self.setup.model, self.step)
        self.processes.on_first(lambda: self.evaluator.save_model(self.output / MODEL))

    def _checkpoint_due(self) -> bool:
        every = self.recipe.training.checkpoint_every
        if every is not None:
            return self.step % every == 0
        if self.processes.several:
            return self.agreed.checkpoint
        return time.monotonic() - self.last_checkpoint >= CHECKPOINT_SECONDS

    def _checkpoint(self) -> Saved:
        """Store the state of the run after the last step.

        Raises:
            TrainingError: a loss, a gradient or a weight is not finite; such weights are not kept.
            StorageError: the checkpoint cannot be written; the previous one is kept.
        """
        losses = self.tracker.sums(self.tracker.check(), self.step)
        random, keep = self.processes.gather(self.random), self.recipe.training.checkpoints
        with self.placement.whole():
            require_finite(self.setup.model, self.step)
            packed = partial(pack, self, losses, random)
            state = packed() if self.placement.divided else None
            directory = self.processes.on_first(
                lambda: write_checkpoint(self.output / CHECKPOINTS, self.step, state or packed(), keep=keep)
            )
        self.last_checkpoint = time.monotonic()
        return Saved(self.step, directory)
