"""At its end, a process has closed its connections: their threads would abort it while its libraries are unloaded."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from support.joint_runs import ner
from support.two_processes import run_ranks

TRAINING = """
import atexit
import sys
from pathlib import Path


def show():
    names = [file.read_text().strip() for file in Path("/proc/self/task").glob("*/comm")]
    print("threads:", [name for name in names if "gloo" in name])


atexit.register(show)  # before all others, so that it is called after them

from ie_cli.cli import main
from ie_cli.training.loop import Run

connect = Run.connect


def connected(run):
    connect(run)
    show()


Run.connect = connected
sys.argv = ["ie", "train", sys.argv[1], "--output", sys.argv[2], "--quiet"]
main()
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("divided", [False, True])
def test_no_thread_of_a_connection_is_left(divided: bool, tmp_path: Path) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text(ner(tmp_path, shard_weights=divided).model_dump_json(), encoding="utf-8")
    for done in run_ranks(TRAINING, str(file), str(tmp_path / "run")):
        assert done.returncode == 0, done.stderr
        during, after = (line for line in done.stdout.splitlines() if line.startswith("threads: "))
        assert "gloo" in during
        assert after == "threads: []"
