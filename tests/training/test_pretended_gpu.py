"""On a GPU that does not exist: no operation mixes devices, and no training step waits for the GPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from support import pretended_gpu
from support.pretended_gpu_cases import CASES

INTERNALS = "2.13"
"""The release of torch whose internals the library is written for; those of older ones differ."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(pretended_gpu.compiler() is None, reason="no C++ compiler"),
    pytest.mark.skipif(sys.platform != "linux", reason="needs LD_PRELOAD"),
    pytest.mark.skipif(torch.__version__ < INTERNALS, reason="another release of torch"),
    pytest.mark.skipif(torch.backends.cuda.is_built(), reason="torch has a CUDA device of its own"),
]


@pytest.fixture(scope="module")
def errors(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str | None]:
    """The error of each case."""
    library = pretended_gpu.build(tmp_path_factory.mktemp("library"))
    tests = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-m", "support.pretended_gpu_cases"],
        env={**os.environ, "LD_PRELOAD": str(library), "PYTHONPATH": os.pathsep.join([str(tests), str(tests.parent)])},
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {one["case"]: one["error"] for one in found}


@pytest.mark.parametrize("case", CASES)
def test_devices_are_not_mixed_and_the_host_does_not_wait(case: str, errors: dict[str, str | None]) -> None:
    assert errors[case] is None
