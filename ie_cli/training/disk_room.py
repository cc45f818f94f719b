"""Whether the disk has room for what a run will write."""

from __future__ import annotations

import shutil
from pathlib import Path

from torch import nn

from ie_cli.errors import StorageError
from ie_cli.system.atomic import storing
from ie_cli.training.run_directory import CHECKPOINTS, MODEL

_BYTES = 4  # of a number in float32, in which all is stored
_PARTS = 3  # of a checkpoint: the weights and the two moments of AdamW


def room_lacking(output: Path, model: nn.Module, *, checkpoints: int) -> tuple[int, int] | None:
    """Bytes that a run may need and bytes that there are, None where these suffice.

    Args:
        checkpoints: how many are kept. One more is there while it is written, as of the model.

    Raises:
        StorageError: not even the model has room.
    """
    size = _BYTES * sum(parameter.numel() for parameter in model.parameters())
    with storing(output):
        kept = sum(_size(output / name) for name in (MODEL, CHECKPOINTS))  # it goes, or is part of what is needed
        free = shutil.disk_usage(output).free + kept
    if free < size:
        raise StorageError(
            f"{output}: the model takes {gigabytes(size)}, and {gigabytes(free)} are free",
            hint="free some space, or write to another disk.",
        )
    needed = 2 * size + (checkpoints + 1) * _PARTS * size
    return (needed, free) if free < needed else None


def gigabytes(size: int) -> str:
    """A number of bytes for people."""
    return f"{size / 1e9:.2f} GB"


def _size(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
