"""Check that the disk has enough space for a run."""

from __future__ import annotations

import shutil
from pathlib import Path

from torch import nn

from ie_cli.errors import StorageError
from ie_cli.system.atomic import storing
from ie_cli.training.run_directory import CHECKPOINTS, MODEL

_BYTES = 4  # per number; everything is stored in float32
_PARTS = 3  # parts of a checkpoint: the weights and the two moments of AdamW


def missing_space(output: Path, model: nn.Module, *, checkpoints: int, state: int = 0) -> tuple[int, int] | None:
    """Return the bytes that a run may need and the bytes that are free, or None if these suffice.

    Args:
        output: directory of the run.
        model: the model.
        checkpoints: number of checkpoints to keep; while one is being written, there is one more, as with the model.
        state: bytes that a checkpoint contains in addition to weights and moments, such as averages of the weights.

    Raises:
        StorageError: there is not even enough space for the model.
    """
    size = _BYTES * sum(parameter.numel() for parameter in model.parameters())
    with storing(output):
        kept = sum(
            _size(output / name) for name in (MODEL, CHECKPOINTS)
        )  # these are replaced, or are part of what is needed
        free = shutil.disk_usage(output).free + kept
    if free < size:
        raise StorageError(
            f"{output}: the model needs {gigabytes(size)} of disk space, but only {gigabytes(free)} are free",
            hint="free some space, or write to another disk.",
        )
    needed = 2 * size + (checkpoints + 1) * (_PARTS * size + state)
    return (needed, free) if free < needed else None


def gigabytes(size: int) -> str:
    """Format a number of bytes in gigabytes."""
    return f"{size / 1e9:.2f} GB"


def _size(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
