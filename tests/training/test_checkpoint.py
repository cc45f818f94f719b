"""A checkpoint is what was written, or gives way to the one before."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from support.damage import damage
from support.old_versions import FORMAT_2

from ie_cli.errors import ModelError
from ie_cli.training.checkpoint import Checkpoint, read_checkpoint, write_checkpoint


def made(step: int) -> Checkpoint:
    tensors = {"model.a": torch.full((40, 50), 0.5 * step), "random.0": torch.arange(10, dtype=torch.uint8)}
    return Checkpoint(tensors, {"step": step, "best_score": float("-inf"), "losses": (0.25, step)})


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two checkpoints, of steps 1 and 2."""
    directory = tmp_path_factory.mktemp("checkpoints")
    for step in (1, 2):
        write_checkpoint(directory, step, made(step), keep=2)
    return directory


def assert_is(found: Checkpoint, step: int) -> None:
    expected = made(step)
    assert found.tensors.keys() == expected.tensors.keys()
    assert all(torch.equal(found.tensors[name], tensor) for name, tensor in expected.tensors.items())
    numbers = json.loads(json.dumps(expected.numbers))
    assert {name: found.numbers[name] for name in numbers} == numbers


@settings(max_examples=80, phases=[Phase.generate])  # a seed has no smaller one
@given(seed=st.integers(0, 2**32))
def test_no_damage_goes_unseen(seed: int, stored: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    directory = Path(shutil.copytree(stored, tmp_path_factory.mktemp("damaged") / "checkpoints"))
    changed = {path.parent.name[-1] for path in damage(random.Random(seed), directory, "state.*")}
    try:
        found = read_checkpoint(directory, ("step", "losses"))
    except ModelError as error:
        read, said = None, error.message
    else:
        read, said = found, ""
    if read is None:
        assert changed == {"1", "2"}
        assert "no checkpoint can be read" in said
    else:
        assert_is(read, 1 if read.damaged else 2)
        assert [path.name for path in read.damaged] in ([], ["step-000000002"])
        assert not read.damaged or "2" in changed
    shutil.rmtree(directory)


@pytest.mark.parametrize("name", ["state.safetensors", "state.json"])
def test_one_with_the_file_of_another_gives_way(name: str, stored: Path, tmp_path: Path) -> None:
    directory = Path(shutil.copytree(stored, tmp_path / "checkpoints"))
    shutil.copy(directory / "step-000000001" / name, directory / "step-000000002" / name)
    found = read_checkpoint(directory)
    assert found is not None
    assert found.damaged == (directory / "step-000000002",)
    assert_is(found, 1)


def test_a_checkpoint_of_an_earlier_version_has_no_checksum() -> None:
    found = read_checkpoint(FORMAT_2 / "ner" / "run" / "checkpoints", ("step", "rates"))
    assert found is not None
    assert found.numbers["step"] == 148
    assert not found.damaged
