"""Records nested more deeply than writers follow are bad lines like any other, of every reader and in every file."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from support.runner import ie, said
from support.untrained import write_model

from ie_cli.commands.inputs import ModelChoice
from ie_cli.document import Document
from ie_cli.formats import BadLine, read_records
from ie_cli.serving.limits import Limits
from ie_cli.serving.schemas import Refused, parse_body
from ie_cli.system.json_reading import MAX_LEVELS

FATAL = [980, 1000, 1023]  # read by one library, and written by none
WORDS = "its brackets are nested too deeply: more than 100 levels"
RECORDS = {
    "jsonl": '{"text": "Ann", "x": DEEP}',
    "duie": '{"text": "Ann", "spo_list": [], "x": DEEP}',
    "cluener": '{"text": "Ann", "label": {}, "x": DEEP}',
    "triples": '{"text": "Ann", "triple_list": [], "x": DEEP}',
    "bio-json": '{"tokens": ["Ann"], "ner_tags": ["O"], "x": DEEP}',
    "conll04": '{"tokens": ["Ann"], "entities": [], "x": DEEP}',
}


def record(format: str, levels: int) -> str:
    return RECORDS[format].replace("DEEP", "[" * (levels - 1) + "]" * (levels - 1))


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Any]:
    directory = str(write_model(tmp_path_factory.mktemp("model") / "model"))
    return directory, ModelChoice(directory, device="cpu", quiet=True).engine()


@pytest.mark.parametrize("format", RECORDS)
@pytest.mark.parametrize("levels", [MAX_LEVELS + 1, 254, *FATAL, 1024, 100_000])
def test_a_reader_yields_a_bad_line_with_its_place(format: str, levels: int, tmp_path: Path) -> None:
    file = tmp_path / "data"
    lines = [record(format, 3), record(format, levels), record(format, MAX_LEVELS)]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    first, bad, last = read_records(str(file), format=format)
    assert isinstance(first, Document)
    assert isinstance(last, Document)
    assert isinstance(bad, BadLine)
    assert (bad.where, bad.raw) == (f"{file}:2", lines[1])
    assert bad.error.message == f"{file}:2: not valid JSON: {WORDS}"


class Rows(list[dict[str, Any]]):
    """Rows of a dataset, with the names of its columns."""

    features: dict[str, Any] = {"text": None, "x": None}


def test_a_row_of_a_dataset(monkeypatch: pytest.MonkeyPatch) -> None:
    deep: list[Any] = []
    for _ in range(MAX_LEVELS - 1):
        deep = [deep]
    rows = Rows([{"text": "Ann", "x": deep[0]}, {"text": "Ann", "x": deep}])
    monkeypatch.setattr("ie_cli.formats.hub.load_rows", lambda source, report: rows)
    good, bad = read_records("hub:some")
    assert isinstance(good, Document)
    assert isinstance(bad, BadLine)
    assert bad.error.message == f"hub:some:2: {WORDS}"


@pytest.mark.parametrize("levels", FATAL)
def test_the_good_records_before_it_are_kept(
    levels: int, loaded: tuple[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ModelChoice, "engine", lambda self: loaded[1])
    good = [json.dumps({"text": "王伟", "id": n}) for n in range(50)]
    Path("in.jsonl").write_text("\n".join([*good, record("jsonl", levels), good[0]]) + "\n", encoding="utf-8")
    for command in (
        (
            "predict",
            "in.jsonl",
            "--model",
            loaded[0],
            "--output",
            "out.jsonl",
            "--on-error",
            "skip",
            "--rejects",
            "bad",
        ),
        ("convert", "in.jsonl", "out.jsonl", "--on-error", "skip"),
    ):
        assert ie(*command).exit_code == 0
        assert len(Path("out.jsonl").read_text(encoding="utf-8").splitlines()) == 51
        Path("out.jsonl").unlink()
    assert WORDS in Path("bad").read_text(encoding="utf-8")
    for command in (("predict", "in.jsonl", "--model", loaded[0]), ("convert", "in.jsonl", "-")):
        result = ie(*command)
        assert result.exit_code == 1
        assert f"in.jsonl:51: not valid JSON: {WORDS}" in said(result)


@pytest.mark.parametrize("levels", [*FATAL, 100_000])
def test_a_body_of_the_service(levels: int) -> None:
    with pytest.raises(Refused, match="nested too deeply: more than 100 levels") as refused:
        parse_body(('{"text": ' + "[" * levels + "]" * levels + "}").encode(), Limits())
    assert refused.value.status == 400


@pytest.mark.parametrize("levels", [*FATAL, 100_000])
@pytest.mark.parametrize("name", ["ie.json", "metrics.json"])
def test_a_file_of_a_model(name: str, levels: int, loaded: tuple[str, Any], tmp_path: Path) -> None:
    directory = write_model(tmp_path / "model")
    (directory / name).write_text('{"x": ' + "[" * levels + "]" * levels + "}", encoding="utf-8")
    result = ie("predict", "-", "--model", str(directory), stdin="{}")
    assert result.exit_code == 1
    assert f"{name}: damaged: {WORDS}" in said(result)


@pytest.mark.skipif(sys.platform == "win32", reason="named pipes of POSIX")
def test_named_pipes_in_a_model_and_of_a_job_are_damage(
    loaded: tuple[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = write_model(tmp_path / "model")
    (directory / "metrics.json").unlink()
    os.mkfifo(directory / "metrics.json")
    result = ie("predict", "-", "--model", str(directory), stdin="{}")
    assert result.exit_code == 1
    assert "metrics.json: damaged: it is a named pipe or a device, not a file" in said(result)
    monkeypatch.chdir(tmp_path)
    Path("in.jsonl").write_text('{"text": "王伟"}\n', encoding="utf-8")
    os.mkfifo("out.jsonl.part.json")
    result = ie("predict", "in.jsonl", "--model", loaded[0], "--output", "out.jsonl", "--resume")
    assert result.exit_code == 1
    assert "out.jsonl.part.json: damaged: it is a named pipe" in said(result)


@pytest.mark.parametrize("levels", FATAL)
def test_a_journal_and_a_run(
    levels: int, loaded: tuple[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = '{"x": ' + "[" * levels + "]" * levels + "}"
    Path("in.jsonl").write_text('{"text": "王伟"}\n', encoding="utf-8")
    Path("out.jsonl.part.json").write_text(text, encoding="utf-8")
    result = ie("predict", "in.jsonl", "--model", loaded[0], "--output", "out.jsonl", "--resume")
    assert result.exit_code == 1
    assert WORDS in said(result)
    Path("run").mkdir()
    Path("run/run.json").write_text(text, encoding="utf-8")
    recipe = "name: x\ntask: ner\ndata: {train: in.jsonl}\nencoder: {name: tiny}\nhead: {name: global_pointer}\n"
    Path("recipe.yaml").write_text(recipe, encoding="utf-8")
    result = ie("train", "recipe.yaml", "--output", "run", "--resume")
    assert result.exit_code == 1
    assert WORDS in said(result)
