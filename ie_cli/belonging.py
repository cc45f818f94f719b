"""Which files of a model folder were written together: a mark of each is kept in `ie.json`.

Shapes tell most mixtures of two models apart, but not two tokenizers of one size, or the labels of two data sets.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ie_cli.errors import ModelError
from ie_cli.model_folder import CONFIG, FACTS, ONNX, RECIPE, TOKENIZER, WEIGHTS
from ie_cli.recipe import Recipe

BELONG = "the files of a model folder belong together; copy the whole folder."
MARKS = "files"
"""The field of `ie.json`."""

_TEXTS = (CONFIG, TOKENIZER)
_WEIGHTS = (WEIGHTS, ONNX, f"{ONNX}.data")
_ENDS = 2**20  # bytes: reading all of a large model would double the time that loading it takes


def marks(folder: Path, recipe: Recipe) -> dict[str, str]:
    """The marks of the files that are there."""
    found = {name: _mark_text(folder / name) for name in _TEXTS if (folder / name).is_file()}
    found |= {name: _mark_weights(folder / name) for name in _WEIGHTS if (folder / name).is_file()}
    return found | {RECIPE: _mark_recipe(recipe)}


def must_belong(folder: Path, recipe: Recipe, stored: Any) -> None:
    """Compare the files of a folder with the marks in its `ie.json`; older folders have none.

    Raises:
        ModelError: one is not what was written there.
    """
    if stored is None:
        return
    if not isinstance(stored, Mapping):
        raise ModelError(f"{folder / FACTS}: damaged: '{MARKS}' must map names of files to their marks", hint=BELONG)
    for name, mark in marks(folder, recipe).items():
        if name in stored and stored[name] != mark:
            raise ModelError(
                f"{folder / name}: not the file that was stored with {FACTS} and the others: it is of another model, or was "
                "changed",
                hint=f"{BELONG} If you changed it yourself, remove its line from '{MARKS}' in {FACTS}.",
            )


def _mark_text(file: Path) -> str:
    return _digest(file.read_bytes().replace(b"\r\n", b"\n"))  # git may change the line ends


def _mark_weights(file: Path) -> str:
    """Of the size, the beginning and the end, where the head stands."""
    size = file.stat().st_size
    with file.open("rb") as stream:
        begin = stream.read(_ENDS)
        stream.seek(max(0, size - _ENDS))
        return _digest(str(size).encode() + begin + stream.read())


def _mark_recipe(recipe: Recipe) -> str:
    """Of what the weights depend on; thresholds and batch sizes may be changed."""
    parts = [
        recipe.task,
        recipe.encoder.model_dump(include={"tokenization", "normalization"}),
        recipe.head.model_dump(exclude={"flat", "threshold", "thresholds"}),
    ]
    return _digest(json.dumps(parts, sort_keys=True).encode())


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=8).hexdigest()
