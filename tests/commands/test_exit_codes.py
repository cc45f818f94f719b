"""How commands end if memory is insufficient, on any signal, and without standard streams or a home directory."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from support.corpora import documents, write_jsonl
from support.untrained import write_model
from support.untrained_export import write_export
from typer.main import get_command

from ie_cli.cli import app
from ie_cli.errors import DataError, TrainingError

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="streams, limits and signals of POSIX")
COMMANDS = {
    "convert": ("ie_cli.commands.convert.run_convert", ["convert", "a", "b"]),
    "eval": ("ie_cli.commands.evaluate.run_eval", ["eval", "a", "b"]),
    "predict": ("ie_cli.commands.predict.run_predict", ["predict", "a"]),
    "train": ("ie_cli.commands.train.run_train", ["train", "quickstart"]),
}


class PanicException(BaseException):
    """What fails in Rust."""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a model and with an export, which starts without torch."""
    directory = tmp_path_factory.mktemp("models")
    write_model(directory / "model", labels=("人物", "地点"))
    write_export(directory / "onnx", labels=("人物", "地点"))
    return directory


@pytest.fixture
def here(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_jsonl(Path("data.jsonl"), documents())
    for name in ("model", "onnx"):
        shutil.copytree(models / name, name)
    return tmp_path


def run(script: str, here: Path, **variables: str) -> subprocess.CompletedProcess[bytes]:
    """Run a line of shell in which `ie` is the command."""
    line = f'ie() {{ "{sys.executable}" -m ie_cli "$@"; }}; {script}'
    return subprocess.run(["sh", "-c", line], cwd=here, capture_output=True, env=os.environ | variables, check=False)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("could not create a primitive"),
        PanicException("ThreadPoolBuildError"),
        OSError(12, "x"),
    ],
)
def test_out_of_memory_is_reported_with_what_to_do(
    command: str, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise error

    function, arguments = COMMANDS[command]
    monkeypatch.setattr(function, fail)
    result = CliRunner().invoke(get_command(app), arguments)
    assert (result.exit_code, "Traceback" in result.output) == (1, False)
    said = " ".join(result.stderr.split())
    assert "error: out of memory" in said
    assert "raise the memory limit" in said
    assert "choose another place" not in said
    assert "out of memory: hint" not in said
    assert ("--batch-size" in said) == (command in ("eval", "predict"))
    assert ("training.batch_size" in said) == (command == "train")


def test_an_error_of_ours_that_comes_of_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise DataError("config.json: damaged: MemoryError", hint="restore this file from a backup") from MemoryError()

    monkeypatch.setattr(COMMANDS["predict"][0], fail)
    said = CliRunner().invoke(get_command(app), ["predict", "a"]).stderr
    assert "out of memory" in said
    assert "damaged" not in said


def test_what_training_says_of_it_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise TrainingError("out of memory, even with one window at a time", hint="set x lower.") from MemoryError()

    monkeypatch.setattr(COMMANDS["train"][0], fail)
    said = CliRunner().invoke(get_command(app), ["train", "quickstart"]).stderr
    assert "out of memory, even with one window at a time" in said
    assert "hint: set x lower." in said


def test_unexpected_errors_are_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(COMMANDS["predict"][0], fail)
    assert isinstance(CliRunner().invoke(get_command(app), ["predict", "a"]).exception, RuntimeError)


@pytest.mark.skipif(sys.platform != "linux", reason="`ulimit -v` limits nothing elsewhere")
@pytest.mark.parametrize("megabytes", [45, 100, 400])
def test_under_a_limit_of_memory_there_is_a_message(megabytes: int, here: Path) -> None:
    done = run(f"ulimit -v {megabytes * 1024}; ie predict data.jsonl -m model -o out.jsonl", here)
    said = done.stderr.decode()
    assert done.returncode != 0
    assert "Traceback" not in said
    assert "memory" in said.lower()
    assert not (here / "out.jsonl").exists()


HOOK = """
import os, runpy, sys
module, signum = sys.argv[1], int(sys.argv[2])
class Hook:
    def find_spec(self, name, path=None, target=None):
        if name == module:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signum)
sys.meta_path.insert(0, Hook())
sys.argv = ["ie", *sys.argv[3:]]
if os.environ["ENTRY"] == "module":
    runpy.run_module("ie_cli", run_name="__main__", alter_sys=True)
else:
    from ie_cli.__main__ import main
    sys.exit(main())
"""
"""A command that sends itself a signal when it begins to import a module."""


@POSIX
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("module", ["ie_cli.cli", "typer", "ie_cli.commands.predict", "torch"])
def test_a_signal_while_the_command_starts_ends_it_with_its_own_code(signum: int, module: str, here: Path) -> None:
    predict = ["predict", "data.jsonl", "-m", "model", "-o", "out.jsonl"]
    command = [sys.executable, "-c", HOOK, module, str(int(signum)), *predict]
    entry = "module" if module in ("typer", "torch") else "script"
    done = subprocess.run(command, cwd=here, capture_output=True, env=os.environ | {"ENTRY": entry}, check=False)
    assert done.returncode in (-signum, 128 + signum), done.stderr.decode()
    assert b"Traceback" not in done.stderr
    assert not list(here.glob("out.jsonl*"))


@POSIX
@pytest.mark.parametrize(
    "line",
    [
        "ie convert - - <&-",
        "ie init - <&-",
        "ie convert data.jsonl - >&-",
        "ie predict data.jsonl -m onnx >&-",
        "ie eval model data.jsonl --json >&-",
        "ie recipes >&-",
        "ie --version >&-",
        "ie --help >&-",
    ],
)
def test_a_closed_stream_is_reported(line: str, here: Path) -> None:
    done = run(line, here)
    said = done.stderr.decode()
    assert done.returncode == 1, said
    assert "Traceback" not in said
    assert "is closed" in said
    assert "Exception ignored" not in said


@POSIX
def test_commands_that_use_no_stream_need_none(here: Path) -> None:
    done = run("ie convert data.jsonl out.jsonl <&- >&- 2>&-", here)
    assert done.returncode == 0
    assert (here / "out.jsonl").read_bytes() == (here / "data.jsonl").read_bytes()
    assert run("ie predict data.jsonl -m onnx 2>&-", here).stdout == run("ie predict data.jsonl -m onnx", here).stdout


ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}


@POSIX
@pytest.mark.parametrize(
    "line",
    [
        "ie eval model 数据.jsonl --json",
        "ie eval onnx 数据.jsonl --errors 2 --save result.json --save page.html && cat result.json page.html",
        "ie convert 数据.jsonl -",
        "ie init 数据.jsonl --encoder tiny",
        "ie predict --help",
        "ie convert 没有.jsonl -",
    ],
)
def test_in_an_ascii_locale_data_are_utf_8_and_nothing_ends_in_a_traceback(line: str, here: Path) -> None:
    text = (here / "data.jsonl").read_text(encoding="utf-8").replace("person", "人物").replace("place", "地点")
    (here / "数据.jsonl").write_text(text, encoding="utf-8")
    done = run(line, here, **ASCII)
    assert b"Traceback" not in done.stderr
    assert done.returncode == int("没有" in line)
    written = done.stdout.decode("utf-8")
    if "convert" in line and "没有" not in line:
        assert written == text
    if "--json" in line:
        assert json.loads(written)["gold"] > 0
        assert "人物" in written
