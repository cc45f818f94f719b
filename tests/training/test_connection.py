"""The connection of the processes of a run: how it is closed, and what is said of its errors."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from support.two_processes import COUNT
from torch.distributed import TCPStore

from ie_cli.errors import TrainingError
from ie_cli.training import processes as module

ENDING = """
import atexit
import sys
from torch import distributed
atexit.register(lambda: print("connected" if distributed.is_initialized() else "disconnected"))  # called last
from ie_cli.recipe.schema import Recipe
from ie_cli.training.processes import Processes, wait_for_end_of_first
fields = {"name": "ending", "data": {"train": "train.jsonl"}, "encoder": {"name": "hash_cnn"}, "training": {"device": "cpu"}}
recipe = Recipe.model_validate(fields)
processes = Processes.connect(recipe)
assert processes.gather(processes.rank) == [0, 1]
if not processes.first:
    wait_for_end_of_first()
sys.exit(3)
"""


def test_a_process_closes_its_connections_before_it_ends(tmp_path: Path) -> None:
    store = TCPStore("localhost", 0, None, is_master=True, wait_for_workers=False)
    common = {"WORLD_SIZE": str(COUNT), "MASTER_ADDR": "localhost", "MASTER_PORT": str(store.port)}
    common |= {"TORCHELASTIC_USE_AGENT_STORE": "True", "OMP_NUM_THREADS": "1"}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", ENDING],
            env=os.environ | common | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(COUNT)
    ]
    for process in started:
        output, errors = process.communicate(timeout=100)
        assert (process.returncode, output, errors) == (3, "disconnected\n", "")


@pytest.mark.parametrize(
    ("raised", "message", "everywhere"),
    [
        (
            "[/x/gloo/pair.cc:553] Connection closed by peer [127.0.0.1]:41",
            "Connection closed by peer [127.0.0.1]:41",
            True,
        ),
        (
            "[/x/gloo/pair.cc:537] Read error [127.0.0.1]:41: reset. This is typically caused by bugs.",
            "Read error [127.0.0.1]:41: reset",
            True,
        ),
        (
            "NCCL error: remote process exited or stopped\nmore",
            "NCCL error: remote process exited or stopped",
            True,
        ),
        ("CUDA error: device-side assert triggered\nmore", "CUDA error: device-side assert triggered", False),
        ("The size of tensor a (3) must match", "The size of tensor a (3) must match", False),
        ("", "RuntimeError", False),
    ],
)
def test_the_error_of_an_exchange_says_what_has_happened(raised: str, message: str, everywhere: bool) -> None:
    with pytest.raises(TrainingError) as error, module.exchanging():
        raise RuntimeError(raised)
    assert error.value.message == f"the processes of the run could not exchange data: {message}"
    assert error.value.everywhere == everywhere
    with pytest.raises(TrainingError if everywhere else RuntimeError) as error, module.exchanging(computes=True):
        raise RuntimeError(raised)
    assert everywhere or str(error.value) == raised
    with pytest.raises(RuntimeError, match="out of memory"), module.exchanging():
        raise torch.OutOfMemoryError("CUDA out of memory.")
