"""Fuzz targets for stored files that were damaged: an error of ours, what was written, or a word that it is not; never silence.

The bytes of an input seed the damage.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from support import fakes
from support.damage import damage
from support.fuzz_targets import Target, directory, need
from support.untrained import write_model

from ie_cli.data.label_schema import LabelSchema
from ie_cli.document import Document, Entity
from ie_cli.encoding.tokenizer import TextTokenizer
from ie_cli.encoding.windows import WindowPlan
from ie_cli.errors import DataError, ModelError
from ie_cli.inference import resumable_output as jobs
from ie_cli.inference.extractor import Extractor
from ie_cli.training.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from ie_cli.training.encoded_dataset import EncodedDataset, encode_dataset
from ie_cli.training.window_encoding import Encoding

MODEL_FILES = ("ie.json", "config.json", "tokenizer.json", "metrics.json", "model.safetensors")
DATA = {
    "a": [Document("去北京大学" * 9, [Entity(1, 3, "place"), Entity(1, 5, "school")]), Document("")],
    "b": [Document("上海在北京", [Entity(0, 2, "place")])],
}


@contextmanager
def copied(whole: Path) -> Iterator[Path]:
    """A copy of a directory, under one name for all inputs: a journal has full names in it."""
    copy = directory() / f"{whole.name}-damaged"
    shutil.rmtree(copy, ignore_errors=True)
    yield Path(shutil.copytree(whole, copy))


def named(error: DataError | ModelError, changed: list[Path]) -> None:
    """An error must name a file that was changed, and say what to do."""
    need(any(path.name in error.message for path in changed), f"{error.message!r} names none of {changed}")
    need(bool(error.hint), f"no hint: {error.message!r}")


# Encoded windows


@cache
def encoding() -> Encoding:
    codec = fakes.codec_of(LabelSchema(("place", "school")))
    return Encoding(tokenizer=TextTokenizer(fakes.characters()), plan=WindowPlan(10, 4), codec=codec, pad_id=0)


def windows_of(dataset: EncodedDataset) -> Any:
    rows = dataset.rows(range(len(dataset)))
    columns = {name: [entries.tolist() for entries in part] for name, part in rows.columns.items()}
    return dataset.counts, [ids.tolist() for ids in rows.input_ids], columns, rows.documents


@cache
def caches() -> tuple[Path, dict[str, Any]]:
    path = directory() / "cache"
    path.mkdir()
    with mock.patch.dict(os.environ, {"IE_CACHE": str(path)}):
        return path, {key: windows_of(encode_dataset(part, encoding(), key=key)) for key, part in DATA.items()}


def damaged_cache(data: bytes) -> None:
    """What training sees is what was encoded."""
    whole, expected = caches()
    with copied(whole) as path, mock.patch.dict(os.environ, {"IE_CACHE": str(path)}):
        changed = damage(random.Random(data), path, "*.arrow", "*.json")
        replaced = []
        for key, documents in DATA.items():
            found = encode_dataset(documents, encoding(), key=key)
            need(windows_of(found) == expected[key], f"other windows of {key} after damage of {changed}")
            replaced.append(found.replaced)
        windows = {path for path in changed if path.suffix == ".arrow"}
        need(windows <= {*replaced}, f"no word about {windows}")


# Checkpoints


@cache
def checkpoints() -> Path:
    path = directory() / "checkpoints"
    for step in (1, 2):
        write_checkpoint(path, step, checkpoint(step), keep=2)
    return path


def checkpoint(step: int) -> Checkpoint:
    tensors = {"model.a": torch.full((30, 40), 0.5 * step), "random.0": torch.arange(9, dtype=torch.uint8)}
    return Checkpoint(
        tensors, {"step": step, "rates": [0.25, step], "random": {"numpy": ["MT", [step] * 50, 3, 0, 0.0]}}
    )


def damaged_checkpoint(data: bytes) -> None:
    """A run resumes from what was written, and reports if that is an older checkpoint."""
    with copied(checkpoints()) as path:
        changed = {file.parent.name: file for file in damage(random.Random(data), path, "state.*")}
        try:
            found = read_checkpoint(path, ("step", "rates"))
        except ModelError:
            need(len(changed) == 2, f"both were refused, but only {changed} were changed")
            raise
        need(found is not None, "a checkpoint")
        assert found is not None
        expected = checkpoint(1 if found.damaged else 2)
        need({file.name for file in found.damaged} <= changed.keys(), f"{found.damaged} were not changed")
        need(found.tensors.keys() == expected.tensors.keys(), "names of tensors")
        need(
            all(torch.equal(found.tensors[name], x) for name, x in expected.tensors.items()), f"tensors after {changed}"
        )
        numbers = {name: found.numbers.get(name) for name in expected.numbers}
        need(numbers == dict(expected.numbers), f"{numbers} after {changed}")


# Journals


def targets_of(path: Path) -> dict[str, str]:
    return {"output": str(path / "out.jsonl"), "rejects": str(path / "bad.jsonl.gz")}


@cache
def interrupted() -> Path:
    path = directory() / "job"
    with copied_names(path) as place:
        job = jobs.Job(targets_of(place), {"model": "m"}, {})
        for count in (1, 2):
            for part in job.parts.values():
                part.write(f"record {count}\n" * 99)
            job.commit(count, jobs.Digest(), {"written": count})
        job.close()
    return path


@contextmanager
def copied_names(path: Path) -> Iterator[Path]:
    """A directory under the name that its copies will have, which gets its own at the end."""
    place = directory() / f"{path.name}-damaged"
    place.mkdir()
    yield place
    place.rename(path)


def damaged_journal(data: bytes) -> None:
    """A job resumes from what it wrote."""
    with copied(interrupted()) as path:
        expected = {file.name: file.read_bytes() for file in path.glob("*.part")}
        changed = damage(random.Random(data), path, "*.part", "*.json")
        try:
            with jobs.open_job(targets_of(path), {"model": "m"}, resume=True) as job:
                assert job is not None
                need((job.records, job.done["tally"]) == (2, {"written": 2}), f"{job.done} after damage of {changed}")
                found = {file.name: file.read_bytes() for file in path.glob("*.part")}
                need(found == expected, f"other content after damage of {changed}")
        except DataError as error:
            named(error, changed)
            raise


# Model directories


def contents(extractor: Extractor) -> Any:
    weights = [(name, x.numpy().tobytes()) for name, x in extractor.model.state_dict().items()]
    config = json.loads(extractor.model.encoder.config.to_json_string())  # type: ignore[operator,union-attr]
    config.pop("_name_or_path", None)
    parts = extractor.tasks, extractor.tokenizer.to_str(), extractor.recipe, extractor.pad_id, extractor.scores
    return *parts, weights, config


def load(path: Path) -> Extractor:
    return Extractor.from_pretrained(path, device="cpu", precision="float32")


@cache
def whole_model() -> tuple[Path, Any]:
    path = write_model(directory() / "whole")
    load(path).write_scores(path, {"dev": {"f1": 0.5}})
    return path, contents(load(path))


def damaged_model(data: bytes) -> None:
    """A model is what was written."""
    whole, expected = whole_model()
    with copied(whole) as path:
        changed = damage(random.Random(data), path, *MODEL_FILES)
        try:
            loaded = load(path)
        except ModelError as error:
            named(error, changed)
            raise
        need(contents(loaded) == expected, f"another model after damage of {changed}")


def _after(prepare: Callable[[], object]) -> Callable[[], list[bytes]]:
    """Make the whole files while an input is drawn: what that takes is not counted as an input's time."""

    def samples() -> list[bytes]:
        prepare()
        return []

    return samples


def damage_targets() -> list[Target]:
    """All of them."""
    return [
        Target("damaged-cache", damaged_cache, _after(caches)),
        Target("damaged-checkpoint", damaged_checkpoint, _after(checkpoints)),
        Target("damaged-journal", damaged_journal, _after(interrupted)),
        Target("damaged-model", damaged_model, _after(whole_model), 0.5),
    ]
