"""Check that the files of a model directory belong together and are undamaged, as recorded in `ie.json`.

Shapes reveal most mixtures of two models, but not two tokenizers of the same size or the labels of two data sets; a
fingerprint of each file does. Fingerprints ignore line endings and settings that a user may change, and cover only the
start and end of the weights. Checksums cover all of the weights and the files that nobody edits.
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
    FINGERPRINTS,
    FORMAT_VERSION,
    METRICS,
    ONNX,
    QUERIES,
    RECIPE,
    TOKENIZER,
    WEIGHTS,
    Form,
    ModelFacts,
    TrainedTask,
    read_facts,
    reading,
    tasks_fields,
)
from ie_cli.recipe.schema import Recipe
from ie_cli.system.atomic import replace_text
from ie_cli.system.checksums import file_checksum, record_checksum
from ie_cli.system.json_reading import loads
from ie_cli.system.text import write_text

MIXED_FILES_HINT = "copy the complete model directory: its files belong together."
_TEXTS = (CONFIG, TOKENIZER)
_WEIGHTS = (WEIGHTS, ONNX, f"{ONNX}.data", QUERIES)
_ENDS = 2**20
_RECORDS = (METRICS, EXPORT)
_READ: dict[Form, tuple[str, ...]] = {
    "torch": (WEIGHTS, METRICS),
    "onnx": (ONNX, f"{ONNX}.data", QUERIES, EXPORT, METRICS),
}
"""The files that a model of each form is loaded from, in addition to the texts with fingerprints."""


def fingerprints(directory: Path, recipe: Recipe, version: int = FORMAT_VERSION) -> dict[str, str]:
    """Return the fingerprints of the existing files, as defined by a version of the format."""
    found = {name: _text_fingerprint(directory / name) for name in _TEXTS if (directory / name).is_file()}
    found |= {name: _weights_fingerprint(directory / name) for name in _WEIGHTS if (directory / name).is_file()}
    return found | {RECIPE: _recipe_fingerprint(recipe, version)}


def require_consistent(directory: Path, recipe: Recipe, stored: Any, version: int = FORMAT_VERSION) -> None:
    """Compare the files of a directory with the fingerprints in its `ie.json`; older directories have none.

    Raises:
        ModelError: a file is not the one that was written there.
    """
    if stored is None:
        return
    if not isinstance(stored, Mapping):
        raise ModelError(
            f"{directory / FACTS}: damaged: '{FINGERPRINTS}' must map file names to fingerprints", hint=MIXED_FILES_HINT
        )
    for name, fingerprint in fingerprints(directory, recipe, version).items():
        if name in stored and stored[name] != fingerprint:
            raise ModelError(
                f"{directory / name}: this is not the file that was stored with {FACTS}: it belongs to another model, or has "
                "been changed",
                hint=f"{MIXED_FILES_HINT} If you changed it yourself, remove its line from '{FINGERPRINTS}' in {FACTS}.",
            )


def write_facts(directory: Path, facts: Mapping[str, Any]) -> None:
    """Write `ie.json` with checksums of its own fields and of the other files."""
    found = {name: _checksum(directory / name) for name in (*_WEIGHTS, *_RECORDS) if (directory / name).is_file()}
    write_text(directory / FACTS, _json({**facts, CHECKSUMS: found | {FACTS: _checksum_of_facts(facts)}}))


def replace_tasks(directory: Path, tasks: Mapping[str, TrainedTask]) -> None:
    """Replace the facts about the tasks in the `ie.json` of an existing model directory, in one step."""
    file = directory / FACTS
    with reading(file):
        stored = loads(file.read_text(encoding="utf-8"))
        stored["tasks"] = tasks_fields(tasks)
        stored[CHECKSUMS][FACTS] = _checksum_of_facts(stored)
    replace_text(file, _json(stored))


@contextmanager
def replacing(file: Path) -> Iterator[None]:
    """Replace a file of an existing model directory, which stays loadable even if the process ends in between."""
    facts = file.parent / FACTS
    stored: Any = {}
    if facts.is_file():
        with reading(facts):
            stored = loads(facts.read_text(encoding="utf-8"))
    known = stored.get(CHECKSUMS)
    if not isinstance(known, dict):  # an earlier version, or not complete yet
        yield
        return
    known.pop(file.name, None)
    replace_text(facts, _json(stored))
    yield
    known[file.name] = _checksum(file)
    replace_text(facts, _json(stored))


@contextmanager
def verifying(directory: Path, form: Form, facts: ModelFacts) -> Iterator[None]:
    """Compare files with their checksums in a second thread while the block loads them.

    Directories of earlier versions have no checksums.

    Raises:
        ModelError: a file is not what was written.
    """
    with ThreadPoolExecutor(1) as pool:
        checked = pool.submit(_require_intact, directory, form, facts)
        yield
        checked.result()


def require_undamaged(directory: Path, form: Form) -> None:
    """Compare the files of a directory with their checksums, without loading the model.

    Raises:
        ModelError: a file is missing or not what was written.
    """
    _require_intact(directory, form, read_facts(directory, form))


def _require_intact(directory: Path, form: Form, facts: ModelFacts) -> None:
    known = facts.stored.get(CHECKSUMS, {})
    if not isinstance(known, Mapping):
        raise ModelError(
            f"{directory / FACTS}: damaged: '{CHECKSUMS}' must map file names to checksums", hint=MIXED_FILES_HINT
        )
    for name in (FACTS, *_READ[form]):
        if name not in known or not (directory / name).is_file():
            continue
        with reading(directory / name):
            found = _checksum_of_facts(facts.stored) if name == FACTS else _checksum(directory / name)
        if found != known[name]:
            raise ModelError(
                f"{directory / name}: damaged: its checksum is {found}, but {FACTS} has {known[name]}",
                hint="copy it again, restore it from a backup, or train again. If you changed it yourself, remove its line "
                f"from '{CHECKSUMS}' in {FACTS}.",
            )


def _checksum(file: Path) -> str:
    """Return the checksum of a file's bytes, or of the JSON value of a record, whose line endings may change."""
    return record_checksum(loads(file.read_text(encoding="utf-8"))) if file.name in _RECORDS else file_checksum(file)


def _checksum_of_facts(facts: Mapping[str, Any]) -> str:
    """Return the checksum of `ie.json` without the parts that a user may edit."""
    return record_checksum(facts, (FINGERPRINTS, CHECKSUMS))


def _json(facts: Mapping[str, Any]) -> str:
    return json.dumps(facts, ensure_ascii=False, indent=2) + "\n"


def _text_fingerprint(file: Path) -> str:
    """Return the fingerprint of a text file, ignoring line endings and surrounding whitespace."""
    raw = file.read_bytes()
    if file.name == CONFIG:
        return _digest(
            json.dumps(loads(raw.decode(json.detect_encoding(raw), "surrogatepass")), sort_keys=True).encode()
        )
    return _digest(raw.replace(b"\r\n", b"\n").strip())


def _weights_fingerprint(file: Path) -> str:
    """Return the fingerprint of a file's size, its start, and its end, which contains the head."""
    size = file.stat().st_size
    with file.open("rb") as stream:
        start = stream.read(_ENDS)
        stream.seek(max(0, size - _ENDS))
        return _digest(str(size).encode() + start + stream.read())


_ENCODER_FIELDS = ("tokenization", "normalization")
"""The fields that token ids depend on, listed so that a new field does not change the fingerprint of old directories."""
_EARLIER_HEAD_FIELDS = ("name", "head_size", "rope", "entity_rows", "entity_scorer", "type_pairs")


def _recipe_fingerprint(recipe: Recipe, version: int) -> str:
    """Return the fingerprint of the run's name and of the settings that the weights depend on.

    Lengths, thresholds and batch sizes may be changed.
    """
    encoder = [getattr(recipe.encoder, name) for name in _ENCODER_FIELDS]
    if version < 3:
        [section] = recipe.instances().values()
        head = [getattr(section.head, name, None) for name in _EARLIER_HEAD_FIELDS]
        return _digest(json.dumps([recipe.name, section.task, encoder, head]).encode())
    # Defaults are excluded, so that a field added by a later version does not change the fingerprint.
    heads = {
        name: [part.task, part.head.name, part.head.model_dump(exclude=set(part.head.decoding), exclude_defaults=True)]
        for name, part in recipe.instances().items()
    }
    return _digest(json.dumps([recipe.name, encoder, heads], sort_keys=True).encode())


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=8).hexdigest()
