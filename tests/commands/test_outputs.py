"""Output never destroys a file: neither the input nor what another command or a shell is writing there."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.corpora import documents, recipe, write_jsonl
from support.runner import ie, said
from support.untrained_export import write_export

from ie_cli.recipe.loader import dump_recipe
from ie_cli.system.places import claimed
from ie_cli.training.run import train

SAMPLES = Path(__file__).parent.parent.parent / "data" / "samples"
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="links, devices and shells of POSIX")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("model")
    list(train(recipe(write_jsonl(directory / "train.jsonl", documents()), training={"epochs": 1}), directory / "run"))
    return directory / "run" / "model"


@pytest.fixture(params=["plain", "/dev/shm"])
def here(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory with `in.jsonl`, on a disk and in memory."""
    directory = tmp_path
    if request.param != "plain":
        if not os.access(request.param, os.W_OK):
            pytest.skip(f"no {request.param}")
        directory = Path(tempfile.mkdtemp(dir=request.param))
    monkeypatch.chdir(directory)
    write_jsonl(Path("in.jsonl"), documents())
    yield directory
    if directory != tmp_path:
        shutil.rmtree(directory)


@pytest.mark.parametrize("how", ["name", "link", "hard link", "descriptor"])
def test_the_input_is_not_the_output(how: str, here: Path, model: Path) -> None:
    before = Path("in.jsonl").read_bytes()
    other = here / "other.jsonl"
    if how == "link":
        other.symlink_to("in.jsonl")
    elif how == "hard link":
        os.link("in.jsonl", other)
    with Path("in.jsonl").open("ab") as file:
        path = str({"name": here / "in.jsonl", "descriptor": f"/dev/fd/{file.fileno()}"}.get(how, other))
        Path("save.json").symlink_to(path)
        for command in (
            ("convert", "in.jsonl", path),
            ("predict", "in.jsonl", "-m", str(model), "-o", path),
            ("predict", "in.jsonl", "-m", str(model), "-o", "out.jsonl", "--rejects", path),
            ("eval", "--predictions", "in.jsonl", "in.jsonl", "--save", "save.json"),
        ):
            result = ie(*command)
            assert result.exit_code == 1, command
            assert f"{command[-1]}: this file is also {'an' if command[0] == 'eval' else 'the'} input" in said(result)
    assert Path("in.jsonl").read_bytes() == before
    assert not Path("out.jsonl").exists()


def test_the_input_on_stdin_is_not_the_output(here: Path) -> None:
    before = Path("in.jsonl").read_bytes()
    done = shell("$IE convert - in.jsonl --to conll < in.jsonl")
    assert done.returncode == 1
    assert "in.jsonl: this file is also the input" in done.stderr
    done = shell("$IE convert in.jsonl - >> in.jsonl")
    assert done.returncode == 1
    assert "standard output: this file is also the input" in done.stderr
    assert Path("in.jsonl").read_bytes() == before


def test_two_outputs_are_not_one(here: Path, model: Path) -> None:
    Path("there").touch()
    Path("soft").symlink_to("there")
    os.link("there", "hard")
    Path("none").symlink_to("nowhere")
    for one, other in (("x", "x"), ("there", "soft"), ("there", "hard"), ("none", "nowhere"), ("-", "-")):
        result = ie("predict", "in.jsonl", "-m", str(model), "-o", one, "--rejects", other)
        assert result.exit_code == 1
        shown = "standard output" if other == "-" else other
        assert f"{shown}: this file is also the output" in said(result)
    Path("soft.json").symlink_to("there.json")
    twice = ie("eval", "--predictions", "in.jsonl", "in.jsonl", "--save", "there.json", "--save", "soft.json")
    assert twice.exit_code == 1
    assert "soft.json: this file is also the file of another --save" in said(twice)
    assert ie("predict", "in.jsonl", "-m", str(model), "-o", "/dev/null", "--rejects", "/dev/null").exit_code == 0
    assert Path("there").read_bytes() == b""


def test_a_command_that_fails_leaves_an_older_output(here: Path) -> None:
    Path("bad.jsonl").write_bytes(Path("in.jsonl").read_bytes() + b"{\n")
    Path("out.jsonl").write_text("old\n", encoding="utf-8")
    Path("out.jsonl").chmod(0o600)
    assert ie("convert", "bad.jsonl", str(here / "out.jsonl")).exit_code == 1
    assert Path("out.jsonl").read_text(encoding="utf-8") == "old\n"
    assert ie("convert", "in.jsonl", str(here / "out.jsonl")).exit_code == 0
    assert Path("out.jsonl").stat().st_size > 1000
    assert stat.S_IMODE(Path("out.jsonl").stat().st_mode) == 0o600
    assert sorted(path.name for path in here.iterdir()) == ["bad.jsonl", "in.jsonl", "out.jsonl"]


def test_one_file_of_two_jobs_has_one_writer(here: Path, model: Path) -> None:
    for arguments in (("-o", "x", "--rejects", "shared"), ("-o", "shared"), ("-o", "shared", "--rejects", "x")):
        with claimed("shared"):
            result = ie("predict", "in.jsonl", "-m", str(model), *arguments)
        assert result.exit_code == 1
        assert "shared: another process is writing it" in said(result)
        assert [path.name for path in here.iterdir()] == ["in.jsonl"]
    for command in (
        ("convert", "in.jsonl", "shared.json"),
        ("eval", "--predictions", "in.jsonl", "in.jsonl", "--save", "shared.json"),
    ):
        with claimed("shared.json"):
            assert "another process is writing it" in said(ie(*command))
    assert [path.name for path in here.iterdir()] == ["in.jsonl"]


def test_parts_and_journals_are_as_private_as_what_they_become(
    here: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ie_cli.inference import resumable_output as jobs

    seen: dict[str, int] = {}
    real = jobs._rename_parts

    def looking(targets: dict[str, str], journal: Path) -> None:
        seen.update({path.name: stat.S_IMODE(path.stat().st_mode) for path in here.glob("*.part*")})
        real(targets, journal)

    monkeypatch.setattr(jobs, "_rename_parts", looking)
    for name, mode in (("out", 0o600), ("bad", 0o640)):
        Path(name).touch()
        Path(name).chmod(mode)
    assert ie("predict", "in.jsonl", "-m", str(model), "-o", "out", "--rejects", "bad").exit_code == 0
    assert seen == {"out.part": 0o600, "bad.part": 0o640, "out.part.json": 0o600}
    assert [stat.S_IMODE(Path(name).stat().st_mode) for name in ("out", "bad")] == [0o600, 0o640]


def shell(script: str, **named: object) -> subprocess.CompletedProcess[str]:
    """Run a script of a shell in which `$IE` is the command."""
    named = {"IE": f"{sys.executable} -m ie_cli", "IN": str(SAMPLES / "ner.jsonl"), **named}
    environment = {**os.environ, **{name: str(value) for name, value in named.items()}}
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=environment, check=False)


def test_what_a_shell_writes_before_and_after_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = shell("{ echo head; $IE convert $IN /dev/stdout --quiet; echo tail; } > out; $IE convert $IN >(cat > sub)")
    assert done.returncode == 0, done.stderr
    lines = Path("out").read_text(encoding="utf-8").splitlines()
    assert (lines[0], lines[-1]) == ("head", "tail")
    assert [json.loads(line)["text"] for line in lines[1:-1]]
    until = time.monotonic() + 30
    while not Path("sub").exists() or len(Path("sub").read_text(encoding="utf-8").splitlines()) < len(lines) - 2:
        assert time.monotonic() < until
        time.sleep(0.05)
    appended = shell("cp $IN grows; $IE convert grows - >> grows")
    assert appended.returncode == 1
    assert "standard output: this file is also the input" in appended.stderr
    assert Path("grows").read_bytes() == (SAMPLES / "ner.jsonl").read_bytes()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
@pytest.mark.parametrize("command", ["--version", "--help", "recipes", "show quickstart", "convert $IN -"])
def test_data_that_standard_output_does_not_take_are_an_error(command: str) -> None:
    done = shell(f"$IE {command} > /dev/full")
    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == "error: standard output: No space left on device"
    assert done.stderr.count("error") == 1


def test_closed_streams_are_reported_and_their_numbers_are_not_reused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    closed = shell("$IE recipes >&-")
    assert (closed.returncode, closed.stderr.splitlines()[0]) == (1, "error: standard output: Bad file descriptor")
    assert "the stream is closed" in closed.stderr
    closed = shell("$IE convert - out <&-")
    assert closed.returncode == 1
    assert "stdin" in closed.stderr.splitlines()[0]
    assert "closed" in closed.stderr
    assert shell("$IE convert $IN whole; $IE convert $IN out <&- >&- 2>&-").returncode == 0
    assert Path("out").read_bytes() == Path("whole").read_bytes()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
@pytest.mark.parametrize("stderr", ["2> /dev/full", "2>&-", "2> >(exit)"])
def test_messages_end_no_command(stderr: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    data = write_jsonl(tmp_path / "train.jsonl", documents())
    Path("recipe.yaml").write_text(dump_recipe(recipe(data, training={"epochs": 1})), encoding="utf-8")
    done = shell(f"$IE train recipe.yaml -o run --set training.checkpoint_every=1 {stderr}")
    assert done.returncode == 0
    assert json.loads(Path("run/run.json").read_text(encoding="utf-8"))["finished"] is True
    if "full" not in stderr:
        return
    write_export(tmp_path / "onnx")  # starts without torch
    done = shell(
        f"$IE predict train.jsonl -m onnx -o out.jsonl {stderr} &&"
        f"$IE eval run/model train.jsonl --save r.json --json {stderr}"
    )
    assert done.returncode == 0
    assert len(Path("out.jsonl").read_text(encoding="utf-8").splitlines()) == len(documents())
    assert json.loads(done.stdout)["f1"] == json.loads(Path("r.json").read_text(encoding="utf-8"))["scores"]["f1"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_a_result_is_stored_whatever_becomes_of_its_print(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = shell("$IE eval --predictions $IN $IN --json --save r.json > /dev/full")
    assert done.returncode == 1
    assert "standard output: No space left on device" in done.stderr
    assert Path("r.json").stat().st_size
    done = shell("ln -s /dev/full full.json; $IE eval --predictions $IN $IN --json --save full.json")
    assert done.returncode == 1
    assert "full.json: No space left on device" in done.stderr
    assert json.loads(done.stdout)["f1"] == 1.0
