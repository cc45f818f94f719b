"""Which files of a model directory were written together, and whether they are still what was written: `ie.json` says so.

Shapes tell most mixtures of two models apart, but not two tokenizers of one size, or the labels of two data sets: a mark of
each file does. Marks allow for line ends and for what a user may change, and look at the ends of the weights alone;
checksums are of all that is in the weights and in the files that nobody edits.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ie_cli.errors import ModelError
from ie_cli.inference.model_directory import (
    CHECKSUMS,
    CONFIG,
    EXPORT,
    FACTS,
    FORMAT_VERSION,
    MARKS,
    METRICS,
    ONNX,
    RECIPE,
    TOKENIZER,
    WEIGHTS,
    Form,
    ModelFacts,
    read_facts,
    reading,
)
from ie_cli.recipe.schema import Recipe
from ie_cli.system.atomic import replace_text
from ie_cli.system.checksums import file_checksum, record_checksum
from ie_cli.system.json_reading import loads
from ie_cli.system.text import write_text

BELONG = "the files of a model directory belong together; copy the whole directory."
_TEXTS = (CONFIG, TOKENIZER)
_WEIGHTS = (WEIGHTS, ONNX, f"{ONNX}.data")
_ENDS = 2**20
_RECORDS = (METRICS, EXPORT)
_READ: dict[Form, tuple[str, ...]] = {
    "torch": (WEIGHTS, METRICS),
    "onnx": (ONNX, f"{ONNX}.data", EXPORT, METRICS),
}
"""What a model of a form is loaded from, beside the texts that have marks."""


def marks(directory: Path, recipe: Recipe, version: int = FORMAT_VERSION) -> dict[str, str]:
    """The marks of the files that are there, as a version of the format has them."""
    found = {name: _mark_text(directory / name) for name in _TEXTS if (directory / name).is_file()}
    found |= {name: _mark_weights(directory / name) for name in _WEIGHTS if (directory / name).is_file()}
    return found | {RECIPE: _mark_recipe(recipe, version)}


def require_consistent(directory: Path, recipe: Recipe, stored: Any, version: int = FORMAT_VERSION) -> None:
    """Compare the files of a directory with the marks in its `ie.json`; older directories have none.

    Raises:
        ModelError: one is not what was written there.
    """
    if stored is None:
        return
    if not isinstance(stored, Mapping):
        raise ModelError(f"{directory / FACTS}: damaged: '{MARKS}' must map names of files to their marks", hint=BELONG)
    for name, mark in marks(directory, recipe, version).items():
        if name in stored and stored[name] != mark:
            raise ModelError(
                f"{directory / name}: not the file that was stored with {FACTS} and the others: it is of another model, or was "
                "changed",
                hint=f"{BELONG} If you changed it yourself, remove its line from '{MARKS}' in {FACTS}.",
            )


def write_facts(directory: Path, facts: Mapping[str, Any]) -> None:
    """Write `ie.json`, with the checksums of itself and of the files beside it."""
    found = {name: _checksum(directory / name) for name in (*_WEIGHTS, *_RECORDS) if (directory / name).is_file()}
    write_text(directory / FACTS, _json({**facts, CHECKSUMS: found | {FACTS: _checksum_of_facts(facts)}}))


@contextmanager
def replacing(file: Path) -> Iterator[None]:
    """Replace a file of a directory that was written before; a process that ends meanwhile leaves a directory that loads."""
    facts = file.parent / FACTS
    stored: Any = {}
    if facts.is_file():
        with reading(facts):
            stored = loads(facts.read_text(encoding="utf-8"))
    known = stored.get(CHECKSUMS)
    if not isinstance(known, dict):  # of an earlier version, or not complete yet
        yield
        return
    known.pop(file.name, None)
    replace_text(facts, _json(stored))
    yield
    known[file.name] = _checksum(file)
    replace_text(facts, _json(stored))


@contextmanager
def checking(directory: Path, form: Form, facts: ModelFacts) -> Iterator[None]:
    """Compare files with their checksums while they are loaded, which takes longer; directories of earlier versions have none.

    Raises:
        ModelError: one is not what was written there.
    """
    with ThreadPoolExecutor(1) as pool:
        checked = pool.submit(_require_intact, directory, form, facts)
        yield
        checked.result()


def require_undamaged(directory: Path, form: Form) -> None:
    """Compare the files of a directory with their checksums, without loading it.

    Raises:
        ModelError: one is not what was written there, or is missing.
    """
    _require_intact(directory, form, read_facts(directory, form))


def _require_intact(directory: Path, form: Form, facts: ModelFacts) -> None:
    known = facts.stored.get(CHECKSUMS, {})
    if not isinstance(known, Mapping):
        raise ModelError(
            f"{directory / FACTS}: damaged: '{CHECKSUMS}' must map names of files to checksums", hint=BELONG
        )
    for name in (FACTS, *_READ[form]):
        if name not in known or not (directory / name).is_file():
            continue
        with reading(directory / name):
            found = _checksum_of_facts(facts.stored) if name == FACTS else _checksum(directory / name)
        if found != known[name]:
            raise ModelError(
                f"{directory / name}: damaged: its content is not what was written (checksum {found}, {FACTS} has {known[name]})",
                hint="copy it again, take it from a backup or train again. If you changed it yourself, remove its line from "
                f"'{CHECKSUMS}' in {FACTS}.",
            )


def _checksum(file: Path) -> str:
    """Of all bytes; of a record, whose line ends may change on the way, of what it says."""
    return record_checksum(loads(file.read_text(encoding="utf-8"))) if file.name in _RECORDS else file_checksum(file)


def _checksum_of_facts(facts: Mapping[str, Any]) -> str:
    """Of all but the lines that a user may remove."""
    return record_checksum(facts, (MARKS, CHECKSUMS))


def _json(facts: Mapping[str, Any]) -> str:
    return json.dumps(facts, ensure_ascii=False, indent=2) + "\n"


def _mark_text(file: Path) -> str:
    """Of what a file says; line ends and white space around it may change on the way."""
    raw = file.read_bytes()
    if file.name == CONFIG:
        return _digest(
            json.dumps(loads(raw.decode(json.detect_encoding(raw), "surrogatepass")), sort_keys=True).encode()
        )
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
