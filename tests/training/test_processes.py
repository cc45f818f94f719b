"""The connection of the processes of a run: how it is closed, and what is said of its errors."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from support.two_processes import COUNT
from torch.distributed import TCPStore

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
