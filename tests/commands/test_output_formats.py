"""What a command writes is what the name of the output promises."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from support.corpora import documents, write_jsonl
from support.runner import ie, said
from support.untrained import LABELS, write_model

from ie_cli.commands.records import Tally
from ie_cli.document import Document, Entity, Relation
from ie_cli.formats import read_documents


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_model(tmp_path_factory.mktemp("model") / "model"))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_jsonl(Path("in.jsonl"), documents(6))
    return tmp_path


def written(path: str) -> str:
    """The format of a file, by its contents."""
    raw = Path(path).read_bytes()
    text = (gzip.decompress(raw) if path.endswith(".gz") else raw).decode()
    if text.startswith("<!doctype html>"):
        return "html"
    if all("text" in json.loads(line) for line in text.splitlines() if line.startswith("{")) and text[0] == "{":
        return "jsonl"
    assert all(not line or line.count("\t") == 1 for line in text.splitlines())
    return "conll"


@pytest.mark.parametrize(
    ("name", "format"),
    [
        ("out.html", "html"),
        ("out.HTM", "html"),
        ("out.conll", "conll"),
        ("out.bio.gz", "conll"),
        ("out.jsonl", "jsonl"),
        ("out.json.gz", "jsonl"),
        ("out", "jsonl"),
    ],
)
def test_the_suffix_decides_the_format(name: str, format: str, here: Path) -> None:
    result = ie("convert", "in.jsonl", name)
    assert result.exit_code == 0, result.stderr
    assert written(name) == format


def test_predictions_are_written_as_their_suffix_says(here: Path, model: str) -> None:
    for name, format in (("out.html", "html"), ("out.conll.gz", "conll"), ("out", "jsonl")):
        assert ie("predict", "in.jsonl", "-m", model, "-o", name).exit_code == 0
        assert written(name) == format


@pytest.mark.parametrize("command", ["predict", "convert"])
def test_an_unknown_suffix_is_an_error_before_anything_is_written(command: str, here: Path) -> None:
    for name in ("b.xls", "b.doc", "b.xlsx", "b.txt", "b.jsonl.bz2"):
        options = ("-o", name, "-m", "no-model") if command == "predict" else (name,)
        result = ie(command, "in.jsonl", *options)
        assert result.exit_code == 1
        assert f"{name}: the suffix '{Path(name).suffix}' stands for no output format" in said(result)
        assert "use .jsonl, .ndjson, .json, .conll, .bio, .iob, .tsv, .csv, " in said(result)
        assert ".html, .htm, with .gz or .zst" in said(result)
        assert "name the format with --to" in said(result)
    assert sorted(path.name for path in here.iterdir()) == ["in.jsonl"]


def test_a_named_format_overrides_the_suffix(here: Path, model: str) -> None:
    for name, format in (("b.csv", "conll"), ("b.html", "jsonl"), ("b.jsonl", "html")):
        assert ie("convert", "in.jsonl", name, "--to", format).exit_code == 0
        assert written(name) == format
    assert ie("predict", "in.jsonl", "-m", model, "-o", "p.csv", "--to", "conll").exit_code == 0
    assert written("p.csv") == "conll"


def test_the_format_of_the_suffix_must_hold_bad_lines(here: Path, model: str) -> None:
    assert ie("predict", "in.jsonl", "-m", model, "-o", "out.conll", "--on-error", "keep").exit_code == 1
    assert not Path("out.conll").exists()


def test_documents_of_several_lines_are_predicted_whole(here: Path, model: str) -> None:
    text = "王伟在青川大学读书。\r\n\r\n张敏敏在云州。\n"
    Path("notes.txt").write_bytes(text.encode())
    assert ie("predict", "notes.txt", "-m", model, "--document", "--threshold", "0", "-o", "out.jsonl").exit_code == 0
    [record] = [json.loads(line) for line in Path("out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert (record["id"], record["text"]) == ("notes.txt", text)
    assert record["entities"]
    assert all(text[one["start"] : one["end"]] == one["text"] for one in record["entities"])
    piped = ie("predict", "-", "-m", model, "--document", stdin=text.encode())
    assert json.loads(piped.stdout).keys() == {"text", "entities"}
    both = ie("predict", "notes.txt", "--document", "--text")
    assert (both.exit_code, "contradict each other" in said(both)) == (2, True)


def test_input_that_is_no_file_or_no_format_names_the_remedy(here: Path, model: str) -> None:
    missing = ie("predict", "王伟在青川大学读书", "-m", model)
    assert (missing.exit_code, "echo 'SENTENCE' | ie predict - --text" in said(missing)) == (1, True)
    assert "echo" not in said(ie("predict", "我的.jsonl", "-m", model))
    Path("notes.txt").write_text("王伟在青川大学读书。\n", encoding="utf-8")
    unknown = ie("predict", "notes.txt", "-m", model)
    assert unknown.exit_code == 1
    assert "`ie predict --text` (one document per line) or `ie predict --document` (one per file)" in said(unknown)
    assert "--document" not in said(ie("convert", "notes.txt", "out.jsonl"))


@pytest.mark.parametrize(("name", "code"), [("bad.jsonl", 0), ("bad.log.gz", 0), ("bad.html", 1), ("b.csv", 1)])
def test_rejects_are_json_lines_and_not_named_otherwise(name: str, code: int, here: Path, model: str) -> None:
    with Path("in.jsonl").open("a", encoding="utf-8") as file:
        file.write("{bad\n")
    result = ie("predict", "in.jsonl", "-m", model, "-o", "out.jsonl", "--rejects", name)
    assert result.exit_code == code, result.stderr
    assert Path(name).exists() == (code == 0)
    if code:
        assert f"{name}: the rejects are written as JSON Lines" in said(result)
        assert not Path("out.jsonl").exists()


@pytest.mark.parametrize("target", ["label_studio", "doccano-relations", "prodigy"])
def test_predictions_are_pre_annotations_of_annotation_tools(target: str, here: Path, model: str) -> None:
    assert ie("predict", "in.jsonl", "-m", model, "-o", "native.jsonl").exit_code == 0
    result = ie("predict", "in.jsonl", "-m", model, "--to", target, "-o", "out.json")
    assert result.exit_code == 0, result.stderr
    native, back = (list(read_documents(name)) for name in ("native.jsonl", "out.json"))
    assert [(d.id, d.text, sorted(d.entities)) for d in back] == [(d.id, d.text, sorted(d.entities)) for d in native]
    scores = [[entity.score for entity in sorted(document.entities)] for document in (*native, *back)]
    assert scores[: len(native)] == scores[len(native) :]
    assert any(map(any, scores))
    assert {entity.label for document in native for entity in document.entities} <= {*LABELS}
    labels = {*LABELS}  # of the model, whether they were found or not
    shown = {label for label in labels if f'<Label value="{label}"/>' in result.stderr}
    assert shown == (labels if target == "label_studio" else set())


def test_the_names_for_the_configuration_are_part_of_the_journal() -> None:
    tally = Tally(written=1)
    assert Tally.from_fields(tally.fields()) == tally
    assert "labels" not in tally.fields()  # as in the journals of earlier versions
    one, other = Entity(0, 1, "b"), Entity(1, 2, "a")
    tally.add_names(Document("xy", [one], [Relation(one, "r", other)]))
    assert Tally.from_fields(tally.fields()) == tally
    assert (list(tally.labels), list(tally.predicates)) == (["b", "a"], ["r"])
