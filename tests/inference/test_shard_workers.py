"""Workers that predict shards: one that dies loses nothing, and its shard is predicted by another one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.shard_jobs import job, loads, make_shards, outputs

from ie_cli.errors import IEError, ModelError
from ie_cli.inference.shard_workers import RETRIES, Outcome, predict_here, predict_in_processes
from ie_cli.inference.shards import Shard


@pytest.fixture
def shards(tmp_path: Path) -> list[Shard]:
    return make_shards(tmp_path, 5)


def failed(outcomes: list[Outcome]) -> dict[str, IEError]:
    return {outcome.shard.name: outcome.error for outcome in outcomes if outcome.error is not None}


def test_a_killed_worker_loses_nothing(tmp_path: Path, shards: list[Shard], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr("ie_cli.inference.shard_workers.cores", lambda: 6)
    for name, trouble in {"1.txt": "1", "3.txt": "100", "4.txt": "bad"}.items():
        (tmp_path / "trouble" / name).write_text(trouble, encoding="utf-8")
    found = list(predict_in_processes(job(tmp_path, "out"), shards, workers=2))
    assert sorted(outcome.shard.name for outcome in found) == [shard.name for shard in shards]
    errors = failed(found)
    assert errors.keys() == {"3.txt", "4.txt"}
    assert "3.txt: the process that predicted it died 3 times, the last time by SIGKILL" in errors["3.txt"].message
    assert "fewer processes" in str(errors["3.txt"].hint)
    assert errors["4.txt"].message.endswith("4.txt:1: not JSON")
    assert (tmp_path / "trouble" / "3.txt").read_text(encoding="utf-8") == str(100 - 1 - RETRIES)
    # Every process loads the model once, and has half of the cores; those that died are replaced.
    assert {line.split()[1] for line in loads(tmp_path)} == {"3"}
    # Two at a time, of which one replaces another under its number.
    assert {line.split()[2] for line in loads(tmp_path)} == {"0", "1"}
    assert 2 <= len(loads(tmp_path)) == len({line.split()[0] for line in loads(tmp_path)}) <= 2 + 1 + 1 + RETRIES
    (tmp_path / "trouble" / "3.txt").unlink()
    (tmp_path / "trouble" / "4.txt").unlink()
    assert not failed(list(predict_here(job(tmp_path, "out"), shards[3:])))
    assert not failed(list(predict_here(job(tmp_path, "alone"), shards)))
    assert outputs(tmp_path / "out") == outputs(tmp_path / "alone")


def test_what_concerns_all_shards_ends_all_workers(tmp_path: Path, shards: list[Shard]) -> None:
    with pytest.raises(ModelError, match="the model is broken") as caught:
        list(predict_in_processes(job(tmp_path, "out", broken=True), shards, workers=2))
    assert caught.value.hint == "repair it."
    (tmp_path / "trouble" / "0.txt").write_text("bug", encoding="utf-8")
    with pytest.raises(RuntimeError, match="a bug") as bug:
        list(predict_in_processes(job(tmp_path, "out"), shards, workers=1))
    assert any("in _trouble" in note for note in bug.value.__notes__)


def test_workers_end_when_nobody_waits_for_them(tmp_path: Path, shards: list[Shard]) -> None:
    outcomes = predict_in_processes(job(tmp_path, "out"), shards, workers=2)
    next(outcomes)
    outcomes.close()  # type: ignore[attr-defined]
    for line in loads(tmp_path):
        require_ended(int(line.split()[0]))


PARENT = """
import sys
from pathlib import Path
from support.shard_jobs import job, make_shards
from ie_cli.inference.shard_workers import predict_in_processes

if __name__ == "__main__":
    here = Path(sys.argv[1])
    next(predict_in_processes(job(here, "out"), make_shards(here, 3), workers=2))
    print("started", flush=True)
    sys.stdin.read()
"""


def test_workers_end_with_a_killed_parent(tmp_path: Path) -> None:
    """They could otherwise still write when the command is started again."""
    (tmp_path / "parent.py").write_text(PARENT, encoding="utf-8")
    path = os.pathsep.join([str(Path(__file__).parent.parent), *filter(None, sys.path)])
    parent = subprocess.Popen(
        [sys.executable, str(tmp_path / "parent.py"), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"started\n"
        workers = [int(line.split()[0]) for line in loads(tmp_path)]
        parent.send_signal(signal.SIGKILL)
    for worker in workers:
        require_ended(worker)


def require_ended(process: int) -> None:
    """Wait for the end of a process that may not be a child."""
    for _ in range(200):
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    raise AssertionError(f"process {process} is still running")
