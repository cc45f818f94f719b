"""The accelerator of a run: its device, its precision and its processes."""

from __future__ import annotations

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from ie_cli.errors import TrainingError
from ie_cli.recipe.schema import Recipe
from ie_cli.system.launcher import HINT
from ie_cli.training.setup import TrainingSetup


def build_accelerator(recipe: Recipe, setup: TrainingSetup) -> Accelerator:
    """Build the accelerator for the device and the precision of a run."""
    AcceleratorState._reset_state()  # an earlier run in this process may have used another precision
    accelerator = Accelerator(
        cpu=setup.device.type == "cpu",
        mixed_precision={"float32": "no", "bfloat16": "bf16", "float16": "fp16"}[setup.precision],
        gradient_accumulation_steps=recipe.training.accumulation,
    )
    if (
        accelerator.scaler is not None
    ):  # it has no scale before its first loss, and this process may have no share of the first batch
        accelerator.scaler.scale(torch.zeros((), device=accelerator.device))
    return accelerator


def require_agreement(accelerator: Accelerator, *, first: bool) -> None:
    """Check that accelerate agrees with `is_first_process`.

    Raises:
        TrainingError: it does not.
    """
    if accelerator.is_main_process != first:
        seen = f"process {accelerator.process_index} of {accelerator.num_processes}, counted from 0"
        raise TrainingError(f"accelerate sees this as {seen}, which contradicts the environment", hint=HINT)
