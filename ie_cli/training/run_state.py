"""Convert the state of a run to a checkpoint and back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from accelerate.utils import set_seed

from ie_cli.errors import ModelError
from ie_cli.inference.integrity import require_undamaged
from ie_cli.inference.model_directory import FACTS
from ie_cli.training.checkpoint import (
    Checkpoint,
    RandomState,
    load_model,
    load_optimizer,
    model_tensors,
    optimizer_tensors,
    part_of,
    random_numbers,
    random_tensors,
    stored_processes,
)
from ie_cli.training.events import Trained
from ie_cli.training.run_directory import MODEL

if TYPE_CHECKING:
    from ie_cli.training.loop import Run

_COUNTS = ("step", "epoch", "batch", "best_step", "best_score", "waited", "evaluated", "stopped_early")
NEEDED = frozenset(_COUNTS) | {"losses", "parts", "rates", "schedule", "scaler", "random"}
"""The names of the numbers in a checkpoint."""


def pack(run: Run, losses: tuple[float, int], random: Sequence[RandomState]) -> Checkpoint:
    """Return the state of a run after its last step as a checkpoint.

    If its weights are divided, all processes call this, and the first one gets the checkpoint.

    Args:
        run: the run.
        losses: sum and number of the losses since the last evaluation.
        random: the state of the random generators of each process.
    """
    optimizer, scaler = run.optimizer.optimizer, run.accelerator.scaler
    tensors = optimizer_tensors(optimizer) | run.techniques.tensors() | random_tensors(random)
    tensors |= model_tensors(run.setup.model) if run.processes.first else {}
    tensors |= {
        f"balancer.{name}": tensor.detach().cpu().contiguous() for name, tensor in run.balancer.state_dict().items()
    }
    numbers = {
        **{name: getattr(run, name) for name in _COUNTS},
        "losses": losses,
        "parts": run.micro_batching.parts,
        "rates": [group["lr"] for group in optimizer.param_groups],
        "schedule": run.schedule.last_epoch,
        "scaler": None if scaler is None else scaler.state_dict(),
        **random_numbers(random),
    }
    return Checkpoint(tensors, numbers)


def require_best_model(directory: Path, checkpoint: Checkpoint) -> None:
    """Check that the best model so far is still there, if the run had one at a checkpoint.

    Raises:
        ModelError: it is missing or damaged.
    """
    if not checkpoint.numbers["best_step"]:
        return
    if not (directory / FACTS).is_file():
        raise ModelError(
            f"{directory}: missing; it was the best model of the run, from step {checkpoint.numbers['best_step']}",
            hint="restore it, or start again with --overwrite.",
        )
    require_undamaged(directory, "torch")


def resume(run: Run, checkpoint: Checkpoint) -> None:
    """Resume a run from a checkpoint.

    Raises:
        ModelError: the checkpoint does not fit, or the best model of the run is missing or damaged.
    """
    require_best_model(run.output / MODEL, checkpoint)
    unpack(run, checkpoint)
    run.resumed_at, run.damaged = run.step, checkpoint.damaged
    stored = RandomState.of(checkpoint, run.processes.rank)
    if stored is None:  # there are more processes than before, which get new seeds, so as not to repeat draws
        set_seed(run.recipe.training.seed + run.step + run.processes.rank)
    run.random = stored or RandomState.now()
    run.sampler.set_epoch(run.epoch)
    if run.batch >= len(run.sampler):
        run.epoch, run.batch = run.epoch + 1, 0


def skip_training(run: Run, trained: Trained) -> None:
    """Resume a run whose steps are all done, but whose result has not been scored."""
    run.trained, run.stopped_early = True, trained.stopped_early
    run.best_step, run.step = trained.best_step, trained.steps
    run.resumed_at = run.evaluated = run.step


def unpack(run: Run, checkpoint: Checkpoint) -> None:
    """Restore the state of a run from a checkpoint, except for the random generators.

    Raises:
        ModelError: the checkpoint does not fit.
    """
    load_model(run.setup.model, checkpoint)
    run.placement.distribute()
    load_optimizer(run.optimizer.optimizer, checkpoint)
    run.techniques.load(checkpoint.tensors)
    run.balancer.load_state_dict(part_of(checkpoint, "balancer."))
    numbers = checkpoint.numbers
    for name in _COUNTS:
        setattr(run, name, numbers[name])
    run.tracker.total, run.tracker.count = numbers["losses"]
    before, now = (
        stored_processes(checkpoint),
        run.processes.count,
    )  # the fewer there are, the more rows each has of a batch
    run.micro_batching.parts = max(run.micro_batching.parts, -(-numbers["parts"] * before // now))
    run.schedule.last_epoch = numbers["schedule"]
    if run.accelerator.scaler is not None and numbers["scaler"] is not None:
        run.accelerator.scaler.load_state_dict(numbers["scaler"])
