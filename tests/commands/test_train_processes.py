"""`ie train` in several processes: one output, one error, the exit code of the run, and signals for all processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.corpora import documents, write_jsonl
from support.runner import ie
from support.two_processes import COUNT

from ie_cli.commands import train
from ie_cli.commands.console import console
from ie_cli.errors import TrainingError
from ie_cli.recipe.loader import load_recipe
from ie_cli.system import launcher
from ie_cli.system.signals import Stopped
from ie_cli.training import launch as module
from ie_cli.training import processes


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_jsonl(tmp_path / "train.jsonl", documents())
    recipe = "name: small\ndata: {train: train.jsonl, dev: train.jsonl}\nencoder: {name: hash_cnn}\n"
    (tmp_path / "small.yaml").write_text(
        recipe + "training: {epochs: 1, batch_size: 4, device: cpu}\n", encoding="utf-8"
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def start(here: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "ie_cli", "train", "small.yaml", "-o", "run", *arguments]
    # In a session of its own, as a shell starts it, so that no signal of the tests gets there.
    return subprocess.Popen(command, cwd=here, stderr=subprocess.PIPE, text=True, start_new_session=True)


def test_it_trains_and_reports_once(here: Path) -> None:
    first = start(here, "--processes", "2")
    _, errors = first.communicate(timeout=120)
    assert first.returncode == 0, errors
    assert "3 steps on 2 processes, cpu in " in errors
    assert errors.count("model: run/model") == errors.count("all (micro)") == 1
    assert json.loads((here / "run" / "run.json").read_text(encoding="utf-8"))["processes"] == COUNT
    again = start(here, "--processes=2", "--set", "training.epochs=1")
    _, errors = again.communicate(timeout=120)
    assert again.returncode == 1
    [error, hint] = errors.splitlines()
    assert error.startswith("error: run already exists")
    assert hint.startswith("hint:")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("small.yaml", "--set", "training.epoch=2"), "error: --set training.epoch=2: unknown key"),
        (("missing.yaml",), "error: missing.yaml: no such recipe"),
        (("small.yaml", "--set", "data.train=missing.jsonl"), "missing.jsonl: no such file"),
        (("small.yaml", "--processes", "2"), "error: --processes 2: a launcher has already started 2 processes"),
        (("small.yaml", "--epochs", "2"), "No such option: --epochs"),
    ],
)
def test_under_torchrun_an_error_of_all_processes_is_printed_once(
    arguments: tuple[str, ...], message: str, here: Path
) -> None:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(COUNT)]
    command = [*torchrun, "-m", "ie_cli", "train", *arguments]
    run = subprocess.run(command, cwd=here, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 1
    assert run.stderr.count(message) == 1
    assert run.stderr.count("error: ") + run.stderr.count("─ Error ─") == 1
    assert "process 1:" not in run.stderr


WRONG = [
    (("missing.yaml",), "error: missing.yaml: no such recipe", 1),
    (("small.yaml", "--epochs", "2"), "No such option: --epochs", 2),
]


@pytest.fixture
def second(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This is the second of two processes of a launcher, before they are connected."""
    launched = {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"}
    for name, value in launched.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(console, "quiet", False)  # restored at the end


def sleep_with(sleep: Callable[[float], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the waiting of a process for its end; threads of other tests may sleep at the same time."""
    monkeypatch.setattr(launcher, "time", SimpleNamespace(sleep=sleep))


@pytest.mark.usefixtures("second")
@pytest.mark.parametrize(("arguments", "message", "code"), WRONG)
def test_an_error_of_another_process_alone_is_reported_after_some_time(
    arguments: tuple[str, ...], message: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    sleep_with(waited.append, monkeypatch)
    result = ie("train", *arguments)
    assert waited == [launcher.PATIENCE]
    assert result.exit_code == code
    assert result.stderr.startswith("process 1:\n")
    assert result.stderr.count(message) == 1


@pytest.mark.usefixtures("second")
@pytest.mark.parametrize(("arguments", "message", "code"), WRONG)
def test_a_process_that_is_ended_meanwhile_prints_nothing(
    arguments: tuple[str, ...], message: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ended(seconds: float) -> None:
        raise Stopped(signal.SIGTERM)

    sleep_with(ended, monkeypatch)
    result = ie("train", *arguments)
    assert (result.exit_code, result.output) == (143, "")


@pytest.mark.usefixtures("second")
def test_a_package_that_only_another_process_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> None:
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    sleep_with(lambda seconds: None, monkeypatch)
    monkeypatch.setattr(train, "_train", missing)
    result = ie("train", "small.yaml")
    assert result.exit_code == 1
    assert result.stderr.startswith("process 1:\nerror: this command needs torch, which is not installed\n")


@pytest.mark.usefixtures("second")
def test_the_disk_and_the_memory_of_another_process_are_named_after_the_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(processes, "is_connected", lambda: True)
    for error, message in (
        (OSError(28, "No space left on device", "cache"), "No space left"),
        (MemoryError(), "out of memory"),
    ):

        def fail(*_: object, error: Exception = error) -> None:
            raise error

        monkeypatch.setattr(train, "_train", fail)
        result = ie("train", "small.yaml")
        assert result.exit_code == 1
        assert result.stderr.startswith("process 1:\nerror: ")
        assert message in result.stderr


def test_a_signal_stops_all_processes_with_a_checkpoint(here: Path) -> None:
    run = start(here, "--processes", "2", "--set", "training.epochs=5000", "--set", "training.eval_every=100000")
    ends = time.monotonic() + 100
    while not (here / "run" / "log.csv").exists() or (here / "run" / "log.csv").read_text().count("\n") < 2:
        assert run.poll() is None, run.communicate()[1]
        assert time.monotonic() < ends
        time.sleep(0.1)
    os.kill(run.pid, signal.SIGTERM)
    _, errors = run.communicate(timeout=60)
    assert run.returncode == 143, errors
    assert errors.count("stopped at step") == errors.count("stopping after this step") == 1
    [checkpoint] = (here / "run" / "checkpoints").iterdir()
    assert f"stopped at step {int(checkpoint.name.removeprefix('step-'))} of" in errors


def test_what_a_launcher_has_started_is_not_started_again(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "number_of_processes", lambda: 4)
    result = ie("train", "small.yaml", "--processes", "2")
    assert result.exit_code == 1
    assert "a launcher has already started 4 processes" in result.stderr


def test_the_processes_share_the_cores_that_this_one_may_use(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[str] = []
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # restored at the end
    del os.environ["OMP_NUM_THREADS"]
    monkeypatch.setenv("TORCHELASTIC_SIGNALS_TO_HANDLE", "SIGHUP")
    monkeypatch.setattr(module, "available_cores", lambda: 9)
    monkeypatch.setattr(module._Agent, "run", lambda self: threads.append(os.environ["OMP_NUM_THREADS"]) or result())
    assert module.launch(load_recipe("small.yaml"), [], processes=2) == 0
    assert threads == ["4"]


def result(**failures: tuple[int, int]) -> Any:
    """How processes ended: their exit codes, and when the agent noticed that."""
    ended = {
        int(name[1:]): SimpleNamespace(exitcode=code, timestamp=timestamp)
        for name, (code, timestamp) in failures.items()
    }
    return SimpleNamespace(failures=ended)


def test_the_exit_code_is_that_of_the_first_process_that_reports_an_error() -> None:
    assert module.exit_code(result()) == 0
    assert module.exit_code(result(p1=(1, 5), p0=(130, 6))) == 130
    assert module.exit_code(result(p2=(3, 5), p1=(4, 6))) == 3
    assert module.exit_code(result(p1=(1, 5), p0=(-15, 5))) == 1  # the agent has ended the first one
    assert module.exit_code(result(p0=(-6, 5), p1=(1, 5))) == 1
    assert module.exit_code(result(p1=(1, 5), p0=(-9, 35))) == 1  # the agent has killed it after some time


@pytest.mark.parametrize(
    ("ended", "named"),
    [
        ({"p1": (-9, 5)}, "process 1 of the run was ended by SIGKILL"),
        ({"p1": (-9, 5), "p0": (-15, 5)}, "process 1 of the run was ended by SIGKILL"),
        ({"p0": (1, 5), "p1": (-9, 5)}, "process 1 of the run was ended by SIGKILL"),
        ({"p1": (-11, 5), "p0": (-6, 6)}, "process 1 of the run was ended by SIGSEGV"),
        ({"p1": (-15, 5), "p0": (-9, 35)}, "process 1 of the run was ended by SIGTERM"),
        ({"p0": (-6, 5), "p1": (-15, 5)}, "process 0 of the run was ended by SIGABRT"),
        ({"p0": (-40, 5)}, "process 0 of the run was ended by signal 40"),
    ],
)
def test_a_process_that_was_killed_is_named(ended: dict[str, tuple[int, int]], named: str) -> None:
    with pytest.raises(TrainingError) as error:
        module.exit_code(result(**ended))
    assert error.value.message == named
    assert ("lack of memory" in str(error.value.hint)) == named.endswith("SIGKILL")


def test_a_signal_that_ends_processes_before_they_handle_it_stops_the_run() -> None:
    for ended in ({"p0": (-15, 5), "p1": (-15, 5)}, {"p1": (-15, 5), "p0": (-9, 35)}):
        with pytest.raises(Stopped) as stopped:
            module.exit_code(result(**ended), signum=signal.SIGTERM)
        assert stopped.value.exit_code == 143
    assert module.exit_code(result(p0=(143, 6), p1=(-15, 5)), signum=signal.SIGTERM) == 143
    with pytest.raises(TrainingError, match="SIGKILL"):
        module.exit_code(result(p0=(-9, 5), p1=(-9, 5)), signum=signal.SIGTERM)


@pytest.mark.parametrize("moment", ["before", "while", "after"])
def test_a_signal_reaches_processes_that_are_being_started(moment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = module._Agent.__new__(module._Agent)
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda pid, signum: sent.append((pid, signum)))

    def begin(self: Any, group: Any) -> dict[int, int]:
        if moment == "while":
            agent.forward(signal.SIGINT, None)
        return {0: 70, 1: 71}

    monkeypatch.setattr(module.LocalElasticAgent, "_start_workers", begin)
    if moment == "before":
        agent.forward(signal.SIGINT, None)
        with pytest.raises(Stopped):
            agent._start_workers(None)  # type: ignore[arg-type]
        return
    agent._start_workers(None)  # type: ignore[arg-type]
    if moment == "after":
        agent.forward(signal.SIGINT, None)
    assert sent == [(70, signal.SIGINT), (71, signal.SIGINT)]
