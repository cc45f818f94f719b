"""Which model a command takes, and by which names its options can be given."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import suppress
from pathlib import Path

import pytest
from support.corpora import documents, write_jsonl
from support.runner import ie, said
from support.untrained import write_model

from ie_cli.cli import app
from ie_cli.commands import inputs
from ie_cli.commands.exit_codes import current_names
from ie_cli.errors import DataError, ModelError
from ie_cli.inference import model_paths
from ie_cli.inference.extractor import Extractor
from ie_cli.inference.model_paths import existing_directory, newest_model
from ie_cli.inference.resumable_output import Digest, open_job
from ie_cli.training.run_directory import MODEL

QUIET = ("--threshold", "0.999")


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("work")
    write_jsonl(directory / "data.jsonl", documents())
    write_model(directory / "runs" / "old" / "model", data="data.jsonl")
    for name in ("new", "new-int8"):
        shutil.copytree(directory / "runs" / "old", directory / "runs" / name)
    shutil.copytree(directory / "runs" / "old" / "model", directory / "runs" / "old" / "model-onnx-int8")
    for age, name in enumerate(("new", "new-int8", "old")):
        moment = 1_700_000_000 - 60 * age
        os.utime(directory / "runs" / name / "model" / "ie.json", (moment, moment))
    return directory


@pytest.fixture
def here(work: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(work)
    return work


def test_eval_takes_the_newest_model_and_says_so(here: Path) -> None:
    result = ie("eval", "data.jsonl", "--json", *QUIET)
    assert result.exit_code == 0, result.output
    assert "model: runs/new/model" in result.stderr
    assert json.loads(result.stdout)["gold"] == 54
    assert "model: " not in ie("eval", "data.jsonl", "--json", "--quiet", *QUIET).stderr


@pytest.mark.parametrize("arguments", [("runs/old", "data.jsonl"), ("data.jsonl", "-m", "runs/old")])
def test_a_run_directory_leads_to_its_model(here: Path, arguments: tuple[str, ...]) -> None:
    result = ie("eval", *arguments, *QUIET)
    assert result.exit_code == 0, result.output
    assert "runs/old/model on data.jsonl" in result.stderr


def test_every_command_accepts_a_run_directory(here: Path, tmp_path: Path) -> None:
    streamed = ie("predict", "data.jsonl", "-m", "runs/old", *QUIET)
    assert streamed.exit_code == 0, streamed.output
    job = ie("predict", "data.jsonl", "-m", "runs/old", "-o", str(tmp_path / "out.jsonl"), *QUIET)
    assert job.exit_code == 0, job.output
    assert (tmp_path / "out.jsonl").read_text(encoding="utf-8") == streamed.stdout
    listed = ie("push", "runs/old", "me/model", "--dry-run")
    assert "model.safetensors" in listed.stdout, listed.output
    assert Extractor.from_pretrained("runs/old").recipe.name == "test"
    assert MODEL == model_paths.RUN_MODEL


def test_an_export_of_a_run_is_beside_its_model(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Path] = []
    monkeypatch.setattr("ie_cli.commands.export.require_exportable_to", seen.append)
    monkeypatch.setattr(inputs.ModelChoice, "load", lambda choice: pytest.fail(f"loaded {choice.directory}"))
    with pytest.raises(pytest.fail.Exception, match="loaded runs/old/model"):
        ie("export", "runs/old")
    assert seen == [(here / "runs/old/model-onnx").resolve()]


def test_the_variable_is_named_in_messages(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IE_MODEL", "runs/odl")
    for arguments in (
        ["predict", "data.jsonl"],
        ["predict", "data.jsonl", "-o", "x"],
        ["eval", "data.jsonl"],
        ["serve"],
    ):
        result = ie(*arguments)
        assert result.exit_code == 1
        assert "error: IE_MODEL: runs/odl: no such directory; did you mean 'runs/old'?" in said(result)
    monkeypatch.setenv("IE_MODEL", "runs/old")
    assert "model: runs/old/model (IE_MODEL)" in ie("eval", "data.jsonl", *QUIET).stderr
    other = ie("eval", "runs/new", "data.jsonl", *QUIET)  # the command line takes precedence
    assert "runs/new/model on data.jsonl" in other.stderr
    assert "IE_MODEL" not in other.stderr


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("runs/old/model-onnx", "did you mean 'runs/old/model-onnx-int8'?"),
        ("runs/odl", "did you mean 'runs/old'?"),
        ("runs/odl/model", "did you mean 'runs/old'?"),
        ("nowhere", "no such directory hint: name the directory that `ie train` has written, e.g. runs/NAME; "
         "found: runs/new, runs/new-int8, runs/old."),
    ],
)  # fmt: skip
def test_a_missing_model_names_those_that_exist(here: Path, path: str, message: str) -> None:
    for arguments in (("eval", path, "data.jsonl"), ("predict", "data.jsonl", "-m", path), ("export", path)):
        result = ie(*arguments)
        assert result.exit_code == 1
        assert f"error: {path}: no such directory" in said(result)
        assert message in said(result)


def test_a_mistyped_run_is_not_looked_up_on_the_hub(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has the account `runs` there could otherwise choose the model."""
    with pytest.raises(ModelError, match="no such directory"):
        existing_directory("runs/qqqq")
    shutil.copytree("runs", tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match="no such directory"):
        existing_directory("runs/qqqq")
    with pytest.raises(ModelError, match="no such directory"):
        existing_directory("mine/qqqq")
    assert existing_directory("someone/model") is None


def test_the_newest_model_is_looked_up_once(here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that stores the fingerprint of one model must not run with another one that was finished meanwhile."""
    looked: list[Path] = []
    monkeypatch.setattr(model_paths, "newest_model", lambda: looked.append(newest_model()) or looked[-1])
    assert ie("predict", "data.jsonl", "-o", str(tmp_path / "out.jsonl"), *QUIET).exit_code == 0
    assert len(looked) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("runs/new/model",), "runs/new/model is a model: name the gold data after it."),
        (("runs/new",), "runs/new is a model: name the gold data after it."),
        (("runs/new", "data.jsonl", "-m", "runs/old"), "MODEL and --model contradict each other"),
        (
            ("--predictions", "data.jsonl", "data.jsonl", "-m", "runs/old"),
            "--predictions and --model contradict each other",
        ),
        (("a", "b", "c"), "expected MODEL and DATA, or only DATA; got 3 paths."),
    ],
)
def test_contradictions_are_usage_errors(here: Path, arguments: tuple[str, ...], message: str) -> None:
    result = ie("eval", *arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.replace("│", " ").split())


def test_earlier_names_of_options_are_accepted_and_not_shown(here: Path, tmp_path: Path) -> None:
    new = ie("predict", "data.jsonl", "--from", "jsonl", "--to", "html", *QUIET)
    for given in (("--input-format", "jsonl", "--format", "html"), ("--input-format=jsonl", "--format=html")):
        assert ie("predict", "data.jsonl", *given, *QUIET).stdout == new.stdout != ""
    for command in ("init", "eval", "predict", "export", "convert"):
        shown = ie(command, "--help").output
        assert "--from" in shown
        assert "--input-format" not in shown
        assert "--format" not in shown
    assert ie("eval", "data.jsonl", "--format", "x").exit_code == 2  # there was no such option
    assert current_names(["--format", "x", "--", "--format"], {"--to"}) == ["--to", "x", "--", "--format"]
    assert app.info.name == "ie"


def test_the_suffix_of_the_output_names_its_format(here: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    assert ie("predict", "data.jsonl", "-o", str(page), *QUIET).exit_code == 0
    assert page.read_text(encoding="utf-8") == ie("predict", "data.jsonl", "--to", "html", *QUIET).stdout
    assert ie("predict", "data.jsonl", "-o", str(page), "--to", "jsonl", *QUIET).exit_code == 0
    assert json.loads(page.read_text(encoding="utf-8").splitlines()[0])["id"] == 0


def test_a_job_of_an_earlier_version_keeps_its_options(tmp_path: Path) -> None:
    """Its journal has the options under their earlier names."""
    targets = {"output": str(tmp_path / "out.jsonl")}
    with suppress(KeyboardInterrupt), open_job(targets, {"format": "jsonl", "input-format": None}, resume=False) as job:
        assert job is not None
        job.commit(1, Digest(), {})
        raise KeyboardInterrupt
    with suppress(KeyboardInterrupt), open_job(targets, {"to": "jsonl", "from": None}, resume=True) as job:
        assert job is not None
        assert job.records == 1
        raise KeyboardInterrupt
    with (
        pytest.raises(DataError, match="--to was jsonl and is now html"),
        open_job(targets, {"to": "html", "from": None}, resume=True),
    ):
        pass
