"""Load what runs a model: torch or ONNX Runtime, neither of which is imported unless it is needed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from ie_cli.codecs.base import Codec
from ie_cli.errors import ModelError
from ie_cli.inference.pipeline import Backend
from ie_cli.recipe.base import Precision
from ie_cli.recipe.schema import Recipe
from ie_cli.system.distribution import install_hint


def load_onnx_backend(path: Path, codecs: Mapping[str, Codec], precision: Precision | Literal["auto"]) -> Backend:
    """Load an exported model.

    Raises:
        ModelError: a precision is given.
    """
    if precision != "auto":
        raise ModelError(
            f"{path}: an exported model always runs in the precision it was exported in, got {precision}",
            hint="omit --precision.",
        )
    from ie_cli.inference.backends.onnx import load_onnx

    return load_onnx(path, codecs)


def load_torch_backend(path: Path, recipe: Recipe, codecs: Mapping[str, Codec], **options: Any) -> Backend:
    """Load a model with weights for torch.

    Raises:
        ModelError: torch is not installed.
    """
    try:
        from ie_cli.inference.backends.torch import load_torch
    except ModuleNotFoundError as error:
        raise ModelError(
            f"{path}: running this model requires {error.name}, which is not installed",
            hint=f"{install_hint()}, or export the model on a machine with torch: `ie export MODEL DIRECTORY --onnx`.",
        ) from error
    return load_torch(path, recipe, codecs, **options)
