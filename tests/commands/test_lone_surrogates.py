"""Halves of surrogate pairs, of data or of file names, in whatever the commands write: no traceback, nothing lost."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.runner import ie, said
from support.untrained import write_model

from ie_cli.commands.inputs import ModelChoice
from ie_cli.errors import ModelError
from ie_cli.formats import BadLine, Reading, read_records
from ie_cli.inference.extractor import Extractor

ANY = st.text(st.sampled_from('a王\ud800\udcff\ude00\n"\\,'), max_size=6)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.integers(-5, 5) | ANY,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(ANY, inner, max_size=2),
)
ENTITIES = st.lists(
    st.fixed_dictionaries({"start": VALUES, "end": st.integers(0, 3), "label": VALUES}, optional={"text": VALUES}),
    max_size=2,
)
RECORDS = st.fixed_dictionaries(
    {"text": ANY | VALUES},
    optional={"id": VALUES, "entities": ENTITIES | VALUES, "relations": VALUES, "events": VALUES, "more\ud800": VALUES},
)
FORMATS = ["jsonl", "conll", "cluener", "duie", "triples", "conll04", "conll04-table", "multihead", "pairs", "html"]
FORMATS += ["bio-json", "w2ner", "dygie", "oneie", "duee", "uie", "oneke", "cmeee"]
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such file names")


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Any]:
    directory = str(write_model(tmp_path_factory.mktemp("model") / "model"))
    return directory, ModelChoice(directory, device="cpu", quiet=True).engine()


@pytest.fixture
def here(loaded: tuple[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The model, which is loaded once; the tests run in a separate directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ModelChoice, "engine", lambda self: loaded[1])
    return loaded[0]


@pytest.mark.parametrize("how", ["skip", "keep"])
@pytest.mark.parametrize("output", ["out", "-"])
def test_the_reproduction(here: str, how: str, output: str) -> None:
    lines = ['{"text": ["\\ud800"]}', '{"text": "王伟", "id": "\\ud800"}']
    Path("in.jsonl").write_text("\n".join(lines), encoding="utf-8")
    given = ("predict", "in.jsonl", "--model", here, "--on-error", how, "--rejects", "rejects")
    result = ie(*given, *(() if output == "-" else ("--output", output)))
    assert result.exit_code == 0
    written = (result.stdout if output == "-" else Path(output).read_text(encoding="utf-8")).splitlines()
    assert [json.loads(line).get("id") for line in written][-1] == "\ud800"
    assert len(written) == (1 if how == "skip" else 2)
    [rejected] = map(json.loads, Path("rejects").read_text(encoding="utf-8").splitlines())
    assert rejected["line"] == lines[0]
    assert rejected["error"].startswith("in.jsonl:1: 'text' must be a string, got")


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    records=st.lists(RECORDS, min_size=1, max_size=4),
    how=st.sampled_from(["stop", "skip", "keep"]),
    rejects=st.booleans(),
    to=st.sampled_from(FORMATS),
)
def test_whatever_is_in_a_record_a_job_ends_well(
    records: list[dict[str, Any]], how: str, rejects: bool, to: str, here: str
) -> None:
    Path("in.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    to = "jsonl" if how == "keep" else to
    rejects = rejects and how != "stop"
    for name in ("out", "rejects", "out.part", "out.part.json", "rejects.part"):
        Path(name).unlink(missing_ok=True)
    command = ["predict", "in.jsonl", "--model", here, "--from", "jsonl", "--output", "out", "--to", to]
    result = ie(*command, "--on-error", how, *(("--rejects", "rejects") if rejects else ()))
    read = read_records("in.jsonl", format="jsonl", reading=Reading(annotation=False))
    bad = [record for record in read if isinstance(record, BadLine)]
    assert result.exit_code == (1 if bad and how == "stop" else 0), said(result)
    if result.exit_code == 0:
        Path("out").read_bytes().decode("utf-8")
    if rejects:
        rejected_lines = [json.loads(line) for line in Path("rejects").read_text(encoding="utf-8").splitlines()]
        lines = Path("in.jsonl").read_text(encoding="utf-8").splitlines()
        assert [row["line"] for row in rejected_lines] == [
            lines[int(row["where"].partition(":")[2]) - 1] for row in rejected_lines
        ]
        assert len(rejected_lines) == len(bad)
    if to == "jsonl" and how != "stop":
        kept = Path("out").read_text(encoding="utf-8").splitlines()
        assert len(kept) == len(records) - (len(bad) if how == "skip" else 0)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    records=st.lists(RECORDS, min_size=1, max_size=4),
    to=st.sampled_from(FORMATS),
    how=st.sampled_from(["stop", "skip"]),
)
def test_converting_ends_well(records: list[dict[str, Any]], to: str, how: str, here: str) -> None:
    Path("in.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    result = ie("convert", "in.jsonl", "out", "--from", "jsonl", "--to", to, "--on-error", how)
    assert result.exit_code in ((0,) if how == "skip" else (0, 1))
    if result.exit_code == 0:
        Path("out").read_bytes().decode("utf-8")


def test_scores_of_such_data_are_stored_and_printed(here: str) -> None:
    gold = {"text": "\ud800王伟", "id": "\udcff", "entities": [{"start": 0, "end": 2, "label": "person"}]}
    Path("gold.jsonl").write_text(json.dumps(gold) + "\n", encoding="utf-8")
    result = ie("eval", here, "gold.jsonl", "--json", "--errors", "3", "--save", "r.json", "--save", "r.html")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["gold"] == 1
    assert "王" in Path("r.html").read_text(encoding="utf-8")
    stored = json.loads(Path("r.json").read_text(encoding="utf-8"))
    assert any("\ud800" in case["text"] for case in stored["errors"]["cases"])


@LINUX
def test_names_of_files_that_are_no_utf_8(here: str) -> None:
    lines = ['{"text": "王伟", "entities": [{"start": 0, "end": 2, "label": "person"}]}', '{"text": 1}']
    name = "in\udcff.jsonl"
    Path(name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    for how in ("skip", "keep"):
        given = ("predict", name, "--model", here, "--on-error", how, "--output", "out\udcfe", "--rejects", "re\udcfd")
        assert ie(*given).exit_code == 0
        assert ie(*given, "--resume").exit_code == 0
        [row] = map(json.loads, Path("re\udcfd").read_text(encoding="utf-8").splitlines())
        assert row["where"] == "in\udcff.jsonl:2"
    assert "in\\udcff.jsonl:2" in said(ie("predict", name, "--model", here, "--output", "out\udcfe"))
    Path(name).write_text(lines[0] + "\n", encoding="utf-8")
    result = ie("eval", here, name, "--json", "--save", "r\udcff.json", "--save", "r\udcff.html", "--errors", "1")
    assert result.exit_code == 0
    assert "in\\udcff.jsonl" in Path("r\udcff.html").read_text(encoding="utf-8") or "\ufffd" in Path(
        "r\udcff.html"
    ).read_text(encoding="utf-8")
    assert json.loads(Path("r\udcff.json").read_text(encoding="utf-8"))["data"] == name
    for to in [*FORMATS, "csv", "brat", "parquet"]:
        assert ie("convert", name, f"c\udcff.{to}", "--to", to).exit_code == 0


@LINUX
def test_a_job_is_resumed_under_such_a_name(here: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("in\udcff.jsonl").write_text('{"text": "王伟"}\n{"text": 1}\n', encoding="utf-8")
    monkeypatch.setattr("ie_cli.inference.resumable_output.Job.due", lambda self: True)
    command = ("predict", "in\udcff.jsonl", "--model", here, "--output", "out\udcff", "--batch-size", "1")
    assert ie(*command).exit_code == 1
    again = ie(*command, "--resume")
    assert again.exit_code == 1
    assert "damaged" not in said(again)


@LINUX
def test_a_directory_that_no_model_can_be_stored_in_is_reported_before_training(here: str) -> None:
    Path("train.jsonl").write_text(
        '{"text": "王伟", "entities": [{"start": 0, "end": 2, "label": "p"}]}\n', encoding="utf-8"
    )
    Path("recipe.yaml").write_text(
        "name: x\ntask: ner\ndata: {train: train.jsonl}\nencoder: {name: tiny}\nhead: {name: global_pointer}\n",
        encoding="utf-8",
    )
    for command in (("train", "recipe.yaml", "--output", "runs\udcff"), ("export", here, "out\udcff")):
        result = ie(*command)
        assert result.exit_code == 1
        assert "the path is not valid UTF-8" in said(result)
        assert "rename the directory" in said(result)
    os.rename("train.jsonl", "model\udcff")
    with pytest.raises(ModelError, match="is not valid UTF-8"):
        Extractor.from_pretrained("model\udcff")
