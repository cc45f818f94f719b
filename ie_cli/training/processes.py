"""Processes of a run: whether this is the first one, from the environment as accelerate will do later, and accelerate itself."""

from __future__ import annotations

import os
from collections.abc import Mapping

from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedDataParallelKwargs
from torch import distributed

from ie_cli.errors import TrainingError
from ie_cli.recipe.schema import Recipe
from ie_cli.training.setup import TrainingSetup

_SIZES = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
_RANKS = ("RANK", "PMI_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK")
_LAUNCHED = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
"""Variables set by `torchrun` and `accelerate launch`."""


def build_accelerator(recipe: Recipe, setup: TrainingSetup) -> Accelerator:
    """Build the accelerator for the device and the precision of a run."""
    AcceleratorState._reset_state()  # an earlier run in this process may have used another precision
    return Accelerator(
        cpu=setup.device.type == "cpu",
        mixed_precision={"float32": "no", "bfloat16": "bf16", "float16": "fp16"}[setup.precision],
        gradient_accumulation_steps=recipe.training.accumulation,
        # A batch belongs to one task, so the heads of the others get no gradients.
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=len(setup.tasks) > 1)],
    )


def is_first_process(environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether this process writes: it is the only one of a run, or the first of several.

    Neither `RANK` alone nor a `WORLD_SIZE` of 1 means a run with several processes.

    Raises:
        TrainingError: the variables of a launcher are incomplete or contradict each other.
    """
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank() == 0
    size = _number(environment, _SIZES, 1)
    local = _number(environment, ("LOCAL_RANK",), -1)
    if size <= 1 and local == -1:
        return True
    by_mpi = size > 1 and "WORLD_SIZE" not in environment
    missing = [] if by_mpi else [name for name in _LAUNCHED if not environment.get(name)]
    if missing:
        given = ", ".join(f"{name}={environment[name]}" for name in _LAUNCHED if environment.get(name))
        raise TrainingError(f"the environment has {given}, but no {' and no '.join(missing)}", hint=_HINT)
    rank = _number(environment, _RANKS, 0)
    if not 0 <= rank < max(size, 1):
        raise TrainingError(f"the environment sets process {rank} of {size}, counted from 0", hint=_HINT)
    return rank == 0


def require_agreement(accelerator: Accelerator, *, first: bool) -> None:
    """Check that accelerate agrees with `is_first_process`.

    Raises:
        TrainingError: it does not.
    """
    if accelerator.is_main_process != first:
        seen = f"process {accelerator.process_index} of {accelerator.num_processes}, counted from 0"
        raise TrainingError(f"accelerate sees this as {seen}, which contradicts the environment", hint=_HINT)


def _number(environment: Mapping[str, str], names: tuple[str, ...], default: int) -> int:
    """Return the value of the first variable that is set."""
    for name in names:
        if value := environment.get(name):
            try:
                return int(value)
            except ValueError:
                raise TrainingError(f"the environment has {name}={value}, which is not a number", hint=_HINT) from None
    return default


_HINT = (
    "start several processes with `torchrun` or `accelerate launch`; for one, unset RANK, LOCAL_RANK and WORLD_SIZE."
)
