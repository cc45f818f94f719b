"""`ie diff`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.corpora import documents, write_jsonl
from support.runner import ie, said

from ie_cli.document import Document, Entity


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    first = [d for d in documents(12) if d.text]
    write_jsonl(Path("a.jsonl"), first)
    second = [Document(d.text, d.entities[:1], id=d.id) for d in reversed(first[1:])]
    write_jsonl(Path("b.jsonl"), second)
    return tmp_path


def test_the_report_has_scores_and_disagreements(here: Path) -> None:
    result = ie("diff", "a.jsonl", "b.jsonl", "--limit", "2")
    assert result.exit_code == 0, result.stderr
    assert "kappa of tokens" in result.stdout
    assert "10 records matched by id, 1 with the same annotation" in result.stdout
    assert "disagreements, entity: only in A 18" in result.stdout
    assert result.stdout.count("and b.jsonl:") == 2
    assert "… and 16 more" in result.stdout
    assert "warning: a.jsonl: 1 record without a partner of the same id" in said(result)


def test_json_has_all_of_it(here: Path) -> None:
    result = ie("diff", "a.jsonl", "b.jsonl", "--json", "-q")
    fields = json.loads(result.stdout)
    assert (fields["matched_by"], fields["only_a"], fields["only_b"], fields["equal"]) == ("id", 1, 0, 1)
    assert fields["entities"]["a"] == 27
    assert fields["entities"]["both"] == 9
    assert fields["entities"]["labels"]["place"]["f1"] == 0
    assert len(fields["disagreements"]) == 18
    scored = json.loads(ie("eval", "--predictions", "a.jsonl", "a.jsonl", "--json", "-q").stdout)
    same = json.loads(ie("diff", "a.jsonl", "a.jsonl", "--json", "-q").stdout)
    assert (same["entities"]["f1"], same["entities"]["a"]) == (scored["f1"], scored["gold"])
    assert same["disagreements"] == []
    piped = json.loads(ie("diff", "-", "a.jsonl", "--json", "-q", stdin=Path("a.jsonl").read_bytes()).stdout)
    assert (piped["a"], piped["b"]) == (None, "a.jsonl")  # standard input has no name


def test_the_result_can_be_saved(here: Path) -> None:
    write_jsonl(Path("c.jsonl"), [Document("<b>Ann & Bob</b>", [Entity(3, 6, "<x>")])])
    write_jsonl(Path("d.jsonl"), [Document("<b>Ann & Bob</b>", [Entity(3, 12, "<x>")])])
    result = ie("diff", "c.jsonl", "d.jsonl", "--save", "r.html", "--save", "r.json")
    assert result.exit_code == 0, result.stderr
    page = Path("r.html").read_text(encoding="utf-8")
    assert "<b>Ann" not in page
    assert '<mark class="both">Ann</mark><mark class="predicted"> &amp; Bob</mark>' in page
    assert "other boundary" in page
    assert json.loads(Path("r.json").read_text(encoding="utf-8"))["disagreements"][0]["kind"] == "boundary"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("a.jsonl", "other.jsonl"), "no record of one has a partner of the same text in the other"),
        (("a.jsonl", "b.jsonl", "--save", "a.jsonl.json"), ""),
        (("a.jsonl", "c.json", "--save", "c.json"), "c.json: this file is also an input"),
        (("a.jsonl", "bad.jsonl"), "bad.jsonl:1: "),
        (("a.jsonl", "none.jsonl"), "none.jsonl: no such file"),
        (("a.jsonl", "numbered.jsonl"), "the texts of the id 0 differ"),
    ],
)
def test_what_is_reported(arguments: tuple[str, ...], message: str, here: Path) -> None:
    write_jsonl(Path("other.jsonl"), [Document("something else")])
    write_jsonl(Path("numbered.jsonl"), [Document("something else", id=0)])
    write_jsonl(Path("c.json"), documents(5))
    Path("bad.jsonl").write_text("{\n", encoding="utf-8")
    result = ie("diff", *arguments)
    assert result.exit_code == int(bool(message))
    assert message in said(result)


def test_bad_lines_can_be_skipped(here: Path) -> None:
    Path("bad.jsonl").write_text("{\n" + Path("b.jsonl").read_text(encoding="utf-8"), encoding="utf-8")
    result = ie("diff", "a.jsonl", "bad.jsonl", "--on-error", "skip")
    assert result.exit_code == 0
    assert "warning: 1 bad line skipped; the first: bad.jsonl:1" in said(result)
