"""`ie merge`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.corpora import write_jsonl
from support.runner import ie, said

from ie_cli.document import Document, Entity
from ie_cli.formats import read_documents

TEXT = "Ann met Bob in Rome"
ANN, BOB, ROME = Entity(0, 3, "person"), Entity(8, 11, "person"), Entity(15, 19, "city")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_jsonl(Path("a.jsonl"), [Document("only in a", id=1), Document(TEXT, [ANN, BOB], id=2)])
    write_jsonl(Path("cities.jsonl"), [Document(TEXT, [ROME]), Document("only here", id=1)])
    write_jsonl(Path("b.jsonl"), [Document(TEXT, [ANN])])
    return tmp_path


def test_texts_are_written_once_with_all_annotation(here: Path) -> None:
    Path("c.conll").write_text("Ann\tO\nmet\tO\nBob\tO\nin\tO\nRome\tO\n\nBob\tB-person\n\n", encoding="utf-8")
    result = ie("merge", "a.jsonl", "cities.jsonl", "-o", "out.jsonl")
    assert result.exit_code == 0, result.stderr
    found = list(read_documents("out.jsonl"))
    assert [document.text for document in found] == ["only in a", TEXT, "only here"]
    assert found[1].entities == [ANN, BOB, ROME]
    assert "1 text occurs several times and is written once: 0 with equal annotations, 1 item added" in said(result)
    assert "warning: ids that several records of the output have, with different texts: 1" in said(result)
    mixed = ie("merge", "c.conll", "cities.jsonl", "-o", "out.conll", "-q")
    assert mixed.exit_code == 0, mixed.stderr
    assert "Rome\tB-city" in Path("out.conll").read_text(encoding="utf-8")


def test_a_conflict_is_an_error_unless_chosen(here: Path) -> None:
    Path("out.jsonl").write_text("old\n", encoding="utf-8")
    result = ie("merge", "a.jsonl", "b.jsonl", "-o", "out.jsonl", "--conflicts", "c.jsonl")
    assert result.exit_code == 1
    assert f"a.jsonl:2 and b.jsonl:1: only in A: {TEXT}; A 'Bob' person; B nothing" in said(result)
    assert "error: 1 conflict (entity only in A 1, all in c.jsonl) between annotations of the same text" in said(result)
    assert Path("out.jsonl").read_text(encoding="utf-8") == "old\n"
    assert json.loads(Path("c.jsonl").read_text(encoding="utf-8"))["a"]["text"] == "Bob"
    for how, entities in (("first", [ANN]), ("union", [ANN, BOB])):
        result = ie("merge", "b.jsonl", "a.jsonl", "-o", "out.jsonl", "--on-conflict", how)
        assert result.exit_code == 0, result.stderr
        [document] = [found for found in read_documents("out.jsonl") if found.text == TEXT]
        assert document.entities == entities
        assert "warning: 1 conflict (entity only in B 1); " in said(result)


def test_equal_files_are_one(here: Path) -> None:
    Path("copy.jsonl").write_bytes(Path("a.jsonl").read_bytes())
    result = ie("merge", "a.jsonl", "copy.jsonl", "-q")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == Path("a.jsonl").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("a.jsonl", "-"), "stdin: a pipe can be read only once"),
        (("a.jsonl", "a.jsonl"), "this file is named twice"),
        (("a.jsonl", "b.jsonl", "-o", "b.jsonl"), "b.jsonl: this file is also the input"),
        (("a.jsonl", "b.jsonl", "-o", "o.jsonl", "--conflicts", "o.jsonl"), "o.jsonl: this file is also the output"),
        (("a.jsonl", "b.jsonl", "-o", "o.jsonl", "--conflicts", "c.html"), "the conflicts are written as JSON Lines"),
        (("a.jsonl", "b.jsonl", "-o", "o.xyz"), "stands for no output format"),
        (("a.jsonl", "bad.jsonl", "-o", "o.jsonl"), "use `--on-error skip` to drop such lines"),
        (("a.jsonl", "submission.jsonl", "-o", "o.jsonl"), "a record of a submission, without the text"),
    ],
)
def test_what_is_reported(arguments: tuple[str, ...], message: str, here: Path) -> None:
    Path("bad.jsonl").write_text("{\n", encoding="utf-8")
    Path("submission.jsonl").write_text('{"id": 1, "label": {"person": {"Ann": [[0, 2]]}}}\n', encoding="utf-8")
    result = ie("merge", *arguments)
    assert result.exit_code == 1, result.output
    assert message in said(result)
    assert not Path("o.jsonl").exists()


def test_bad_lines_are_counted_once(here: Path) -> None:
    Path("bad.jsonl").write_text("{\n" + Path("b.jsonl").read_text(encoding="utf-8"), encoding="utf-8")
    result = ie("merge", "cities.jsonl", "bad.jsonl", "-o", "o.jsonl", "--on-error", "skip")
    assert result.exit_code == 0, result.stderr
    assert "warning: 1 bad line skipped; the first: bad.jsonl:1" in said(result)
