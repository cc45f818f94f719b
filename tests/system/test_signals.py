"""Signals and full disks, as a user's shell and file system produce them."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from support.corpora import documents, write_jsonl
from support.killed import killed_in
from support.untrained_export import write_export
from typer.testing import CliRunner, Result

from ie_cli.cli import app
from ie_cli.commands.console import console
from ie_cli.errors import ModelError, StorageError
from ie_cli.system.atomic import replace_directory, replace_text, storing
from ie_cli.system.signals import Stop, Stopped
from ie_cli.system.temporary import sweep, workspace
from ie_cli.training import loop

RECIPE = """name: test
data: {train: train.jsonl, dev: train.jsonl}
encoder: {name: tiny, max_length: 64, stride: 16}
training: {epochs: 3, batch_size: 8, precision: float32, device: cpu}
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_jsonl(Path("train.jsonl"), documents())
    Path("recipe.yaml").write_text(RECIPE, encoding="utf-8")
    return tmp_path


def ie(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def signal_at(step: int, signals: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Send this process signals when a step is done."""
    mark = loop.Run._finish_step

    def marked(run: loop.Run) -> None:
        mark(run)
        if run.step == step:
            for signum in signals:
                signal.raise_signal(signum)

    monkeypatch.setattr(loop.Run, "_finish_step", marked)


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_training_with_a_checkpoint(
    signum: int, code: int, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with monkeypatch.context() as patch:
        signal_at(4, [signum], patch)
        result = ie("train", "recipe.yaml")
    assert result.exit_code == code
    assert "stopping after this step with a checkpoint; interrupt again to stop at once" in result.stderr.replace(
        "\n", " "
    )
    assert "stopped at step 4 of 9; continue with --resume" in result.stderr
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    assert [path.name for path in Path("runs/test/checkpoints").iterdir()] == ["step-000000004"]
    assert Path("runs/test/model/ie.json").exists()
    refused = ie("train", "recipe.yaml")
    assert refused.exit_code == 1
    assert "contains an unfinished run" in refused.stderr
    resumed = ie("train", "recipe.yaml", "--resume")
    assert resumed.exit_code == 0
    assert "resuming from the checkpoint of step 4" in resumed.stderr
    again = ie("train", "recipe.yaml", "--resume")
    assert again.exit_code == 0
    assert "already complete: there is nothing to resume" in again.stderr


def test_a_second_signal_ends_at_once_and_keeps_what_was_there(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    signal_at(4, [signal.SIGINT, signal.SIGTERM], monkeypatch)
    result = ie("train", "recipe.yaml", "--set", "training.checkpoint_every=3")
    assert result.exit_code == 143
    assert [path.name for path in Path("runs/test/checkpoints").iterdir()] == ["step-000000003"]


def test_overwrite_and_resume_contradict_each_other(here: Path) -> None:
    assert ie("train", "recipe.yaml", "--overwrite", "--resume").exit_code == 2


def test_sigterm_ends_a_prediction_with_143_and_nothing_half_written(here: Path) -> None:
    write_export(here / "onnx")  # starts without torch
    command = [sys.executable, "-m", "ie_cli", "predict", "-", "-o", "out.jsonl", "-m", "onnx"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, cwd=here) as process:
        assert process.stdin is not None
        process.stdin.write(b'{"text": "x"}\n')
        process.stdin.flush()
        until = time.monotonic() + 60
        while not Path("out.jsonl.part").exists() and time.monotonic() < until:
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 143
    assert b"Traceback" not in said
    assert not list(here.glob("out.jsonl*"))


@pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")
def test_a_full_disk_is_reported(here: Path) -> None:
    import resource

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    done = subprocess.run(
        [sys.executable, "-m", "ie_cli", "train", "recipe.yaml"], capture_output=True, cwd=here, preexec_fn=limit
    )
    said = done.stderr.decode().replace("\n", " ")
    assert done.returncode == 1, said
    assert "model: File too large" in said
    assert "ulimit -f" in said
    assert "Traceback" not in said
    assert not Path("runs/test/model").exists()
    assert ie("train", "recipe.yaml", "--resume").exit_code == 0


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_a_full_device_is_an_error(here: Path) -> None:
    result = ie("convert", "train.jsonl", "/dev/full")
    assert result.exit_code == 1
    assert "No space left on device" in result.stderr
    assert "free some space" in result.stderr


def test_outside_the_main_thread_signals_stay_as_they_are() -> None:
    before = signal.getsignal(signal.SIGTERM)
    seen = []

    def work() -> None:
        with Stop().listening() as stop:
            seen.append((stop.signum, signal.getsignal(signal.SIGTERM)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(None, before)]


def test_a_signal_raises_in_interruptible_work() -> None:
    received: list[int] = []
    with Stop(received.append).listening() as stop:
        with pytest.raises(Stopped) as stopped, stop.interruptible():
            signal.raise_signal(signal.SIGTERM)
        assert stopped.value.exit_code == 143
        assert not stop.repeated
        with pytest.raises(Stopped):
            stop.check()
        with pytest.raises(Stopped), stop.interruptible():
            pytest.fail("entered after a signal")
    assert received == []


def test_a_listener_that_fails_costs_no_checkpoint(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(signum: int) -> None:
        raise SystemExit(1)  # as rich does if nobody reads stderr any more

    monkeypatch.setattr("ie_cli.commands.train._report_stop", gone)
    signal_at(4, [signal.SIGINT], monkeypatch)
    assert ie("train", "recipe.yaml").exit_code == 130
    assert [path.name for path in Path("runs/test/checkpoints").iterdir()] == ["step-000000004"]


def test_talk_that_nobody_reads_ends_no_command(monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    talk = type(console)(file=Closed(), force_terminal=False)
    talk.print("one")
    talk.print("two")
    assert talk.quiet


def test_an_ignored_signal_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Stop().listening() as stop:
            signal.raise_signal(signal.SIGINT)
            assert stop.signum is None
    finally:
        signal.signal(signal.SIGINT, before)


def fill(directory: Path, text: str) -> Path:
    directory.mkdir()
    (directory / "file").write_text(text, encoding="utf-8")
    return directory


@pytest.mark.parametrize("swaps", [True, False])
def test_a_directory_is_replaced_as_a_whole(swaps: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not swaps:
        monkeypatch.setattr("ie_cli.system.atomic._exchange", lambda one, other: False)
    fill(tmp_path / "model", "old")
    replace_directory(fill(tmp_path / ".model-new", "new"), tmp_path / "model")
    assert (tmp_path / "model" / "file").read_text(encoding="utf-8") == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("ends_at", [1, 2])
def test_a_process_that_ended_between_two_names_is_made_up_for(
    ends_at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an atomic exchange of names: the process is killed after renaming the old directory, or both."""
    monkeypatch.setattr("ie_cli.system.atomic._exchange", lambda one, other: False)
    fill(tmp_path / "model", "old")
    real, calls = os.replace, []

    def replace(source: Path, target: Path) -> None:
        calls.append(target)
        if len(calls) <= ends_at:
            real(source, target)
        if len(calls) >= ends_at:
            raise SystemExit

    monkeypatch.setattr("ie_cli.system.atomic.os.replace", replace)
    with killed_in(tmp_path), pytest.raises(SystemExit), workspace(tmp_path, "model") as room:
        replace_directory(fill(room / "new", "new"), tmp_path / "model")
    monkeypatch.undo()
    sweep(tmp_path)
    assert (tmp_path / "model" / "file").read_text(encoding="utf-8") in ("old", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_text_is_replaced_atomically(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.json"
    replace_text(path, "old\n")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("ie_cli.system.atomic.os.fsync", full)
        with pytest.raises(StorageError, match=r"x\.json: No space left on device"):
            replace_text(path, "new\n")
    assert path.read_bytes() == b"old\n"
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


def test_errors_of_libraries_become_storage_errors(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="model: No space left"), storing(tmp_path / "model"):
        raise RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)")
    with pytest.raises(RuntimeError, match="else"), storing(tmp_path):
        raise RuntimeError("something else")
    with pytest.raises(ModelError, match="os error"), storing(tmp_path):
        raise ModelError("x: damaged (os error 2)")
    with pytest.raises(BrokenPipeError), storing(tmp_path):
        raise BrokenPipeError
