"""The model that `training.init_from` names: its directory, and the encoder options that a recipe takes from its recipe."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ie_cli.errors import RecipeError
from ie_cli.recipe.schema import EncoderSection, Recipe

INIT_FROM = ("training", "init_from")
_RECIPE, _MODEL = "recipe.yaml", "model"


def find_model(path: Path) -> Path | None:
    """Return the model directory that a path names, itself or as the directory of its run; None if there is none."""
    return next((found for found in (path, path / _MODEL) if (found / _RECIPE).is_file()), None)


def given_path(data: Mapping[str, Any]) -> str | None:
    """Return `training.init_from` of a recipe that is not validated yet."""
    training = data.get("training")
    value = training.get("init_from") if isinstance(training, dict) else None
    return value if isinstance(value, str) and value else None


def inherit_encoder(data: dict[str, Any], path: Path, read: Callable[[Path], Recipe]) -> tuple[list[str], str | None]:
    """Fill the fields that `encoder` omits with those of the model, and return their names, and the problem if there is one.

    Args:
        data: the recipe, which is not validated yet.
        path: the path that the recipe names, relative to the current directory.
        read: reads the recipe of a model.
    """
    if (model := find_model(path)) is None:
        where = path if path.is_dir() else f"{path} (no such directory)"
        return [], f"{where} is neither a model directory nor a run with one; name runs/NAME or runs/NAME/model"
    try:
        encoder = read(model / _RECIPE).encoder
    except RecipeError as error:
        return [], f"the recipe of the model cannot be read: {error.message}"
    section = data.setdefault("encoder", {})
    if not isinstance(section, dict):
        return [], None  # reported by the schema
    missing = [name for name in EncoderSection.model_fields if name not in section]
    section.update({name: getattr(encoder, name) for name in missing})
    return missing, None


def resolved_model(path: str) -> str:
    """Return the path of the model directory for the path of a run or of a model."""
    found = find_model(Path(path))
    return os.path.normpath(path if found is None else found)
