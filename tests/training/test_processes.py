"""A run has several processes if a launcher sets all its variables; a single variable changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.corpora import documents, recipe, write_jsonl

from ie_cli.errors import DataError, TrainingError
from ie_cli.system.launcher import launched_rank
from ie_cli.training import run as module
from ie_cli.training.run import train

LAUNCHED = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}
VARIABLES = (*LAUNCHED, "PMI_SIZE", "PMI_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK")


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("environment", "first"),
    [
        ({}, True),
        ({"RANK": "1"}, True),
        ({"RANK": "1", "WORLD_SIZE": "1"}, True),
        ({"RANK": "3", "MASTER_ADDR": "x"}, True),
        (LAUNCHED, True),
        (LAUNCHED | {"WORLD_SIZE": "1"}, True),
        (LAUNCHED | {"RANK": "1", "LOCAL_RANK": "1"}, False),
        ({"OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_RANK": "0"}, True),
        ({"OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_RANK": "3"}, False),
        ({"PMI_SIZE": "2", "PMI_RANK": "1"}, False),
    ],
    ids=str,
)
def test_who_writes(environment: dict[str, str], first: bool) -> None:
    assert (launched_rank(environment) == 0) is first


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"WORLD_SIZE": "2"}, "has WORLD_SIZE=2, but no RANK and no LOCAL_RANK and no MASTER_ADDR"),
        ({"LOCAL_RANK": "1"}, "has LOCAL_RANK=1, but no RANK"),
        (LAUNCHED | {"MASTER_PORT": ""}, "but no MASTER_PORT"),
        (LAUNCHED | {"RANK": "2"}, "process 2 of 2, counted from 0"),
        (LAUNCHED | {"RANK": "x"}, "RANK=x, which is not a number"),
        (LAUNCHED | {"WORLD_SIZE": "two"}, "WORLD_SIZE=two, which is not a number"),
    ],
    ids=str,
)
def test_incomplete_launcher_variables_are_reported(environment: dict[str, str], message: str) -> None:
    with pytest.raises(TrainingError, match=message) as error:
        launched_rank(environment)
    assert "torchrun" in str(error.value.hint)


def test_a_rank_alone_replaces_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = recipe(write_jsonl(tmp_path / "train.jsonl", documents()), training={"epochs": 1})
    monkeypatch.setenv("RANK", "1")
    list(train(made, tmp_path / "run"))
    assert (tmp_path / "run" / "run.json").exists()
    before = (tmp_path / "run" / "model" / "model.safetensors").stat()
    with pytest.raises(DataError, match="already exists"):
        list(train(made, tmp_path / "run"))
    assert (tmp_path / "run" / "model" / "model.safetensors").stat() == before


def test_accelerate_and_the_environment_must_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = recipe(write_jsonl(tmp_path / "train.jsonl", documents()), training={"epochs": 1})
    monkeypatch.setattr(module, "is_first_process", lambda: False)
    with pytest.raises(TrainingError, match="accelerate sees this as process 0 of 1"):
        list(train(made, tmp_path / "run"))
    assert not (tmp_path / "run").exists()
