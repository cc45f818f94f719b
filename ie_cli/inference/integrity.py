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
from ie_cli.inference.model_directory import (
    CONFIG,
    FACTS,
    FORMAT_VERSION,
    MARKS,
    ONNX,
    RECIPE,
    TOKENIZER,
    WEIGHTS,
)
from ie_cli.recipe.schema import Recipe

BELONG = "the files of a model folder belong together; copy the whole folder."
_TEXTS = (CONFIG, TOKENIZER)
_WEIGHTS = (WEIGHTS, ONNX, f"{ONNX}.data")
_ENDS = 2**20  # bytes: reading all of a large model would double the time that loading it takes


def marks(folder: Path, recipe: Recipe, version: int = FORMAT_VERSION) -> dict[str, str]:
    """The marks of the files that are there, as a version of the format has them."""
    found = {name: _mark_text(folder / name) for name in _TEXTS if (folder / name).is_file()}
    found |= {name: _mark_weights(folder / name) for name in _WEIGHTS if (folder / name).is_file()}
    return found | {RECIPE: _mark_recipe(recipe, version)}


def must_belong(folder: Path, recipe: Recipe, stored: Any, version: int = FORMAT_VERSION) -> None:
    """Compare the files of a folder with the marks in its `ie.json`; older folders have none.

    Raises:
        ModelError: one is not what was written there.
    """
    if stored is None:
        return
    if not isinstance(stored, Mapping):
        raise ModelError(f"{folder / FACTS}: damaged: '{MARKS}' must map names of files to their marks", hint=BELONG)
    for name, mark in marks(folder, recipe, version).items():
        if name in stored and stored[name] != mark:
            raise ModelError(
                f"{folder / name}: not the file that was stored with {FACTS} and the others: it is of another model, or was "
                "changed",
                hint=f"{BELONG} If you changed it yourself, remove its line from '{MARKS}' in {FACTS}.",
            )


def _mark_text(file: Path) -> str:
    """Of what a file says; line ends and white space around it may change on the way."""
    raw = file.read_bytes()
    if file.name == CONFIG:
        return _digest(json.dumps(json.loads(raw), sort_keys=True).encode())
    return _digest(raw.replace(b"\r\n", b"\n").strip())


def _mark_weights(file: Path) -> str:
    """Of the size, the beginning and the end, where the head stands."""
    size = file.stat().st_size
    with file.open("rb") as stream:
        begin = stream.read(_ENDS)
        stream.seek(max(0, size - _ENDS))
        return _digest(str(size).encode() + begin + stream.read())


_OF_ENCODER = ("tokenization", "normalization")
"""What ids depend on, by name: a field that comes later must not change the mark of a directory that has none."""
_OF_EARLIER_HEAD = ("name", "head_size", "rope", "entity_rows", "entity_scorer", "type_pairs")


def _mark_recipe(recipe: Recipe, version: int) -> str:
    """Of the run's name and what the weights depend on; lengths, thresholds and batch sizes may be changed."""
    encoder = [getattr(recipe.encoder, name) for name in _OF_ENCODER]
    if version < 3:
        [section] = recipe.instances().values()
        head = [getattr(section.head, name, None) for name in _OF_EARLIER_HEAD]
        return _digest(json.dumps([recipe.name, section.task, encoder, head]).encode())
    # Defaults are left out: a field that a later version adds must not change the mark.
    heads = {
        name: [part.task, part.head.name, part.head.model_dump(exclude=set(part.head.decoding), exclude_defaults=True)]
        for name, part in recipe.instances().items()
    }
    return _digest(json.dumps([recipe.name, encoder, heads], sort_keys=True).encode())


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=8).hexdigest()
