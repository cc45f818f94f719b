"""`ie stats` and `ie view`."""

from __future__ import annotations

import json
import re
from pathlib import Path

import click
import pytest
from support.corpora import documents, write_jsonl
from support.runner import ie, said

from ie_cli.document import Argument, Document, Entity, Event, Relation, Spo
from ie_cli.reports.document_text import DocumentText

TEXT = "The University of Porto is in Porto."
SCHOOL, INSIDE, CITY = Entity(4, 23, "school"), Entity(18, 23, "city"), Entity(30, 35, "city", 0.987)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    nested = Document(TEXT, [CITY, INSIDE, SCHOOL], [Relation(SCHOOL, "is_in", CITY)], id="p")
    write_jsonl(Path("in.jsonl"), [*documents(12), nested])
    return tmp_path


def test_the_statistics_are_data(here: Path) -> None:
    result = ie("stats", "in.jsonl", "-q")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "13 documents, 2 without annotation" in result.stdout
    assert re.search("school +│ +11 │ +11 │", result.stdout)
    assert "is_in: school → city 1" in result.stdout
    fields = json.loads(ie("stats", "in.jsonl", "--json").stdout)
    assert (fields["documents"], fields["entities"]["number"], fields["entities"]["nested"]) == (13, 33, 11)
    twice = json.loads(ie("stats", "in.jsonl", "-", "--json", stdin=Path("in.jsonl").read_bytes()).stdout)
    assert (twice["documents"], twice["files"]) == (26, ["in.jsonl", None])


@pytest.mark.parametrize("command", ["stats", "view"])
def test_bad_lines_stop_or_are_counted(command: str, here: Path) -> None:
    Path("bad.jsonl").write_text('{"text": "a"}\n{\n', encoding="utf-8")
    stopped = ie(command, "bad.jsonl")
    assert stopped.exit_code == 1
    assert "bad.jsonl:2: " in said(stopped)
    assert "use `--on-error skip` to drop such lines" in said(stopped)
    skipped = ie(command, "bad.jsonl", "--on-error", "skip")
    assert skipped.exit_code == 0
    assert "warning: 1 bad line skipped; the first: bad.jsonl:2" in said(skipped)


def test_nothing_to_count_is_an_error(here: Path) -> None:
    Path("empty.conll").write_text("\n", encoding="utf-8")
    assert "contains no record" in said(ie("stats", "empty.conll", "--from", "conll"))


def test_a_record_is_shown_with_brackets_and_arrows(here: Path) -> None:
    result = ie("view", "in.jsonl", "--label", "is_in")
    assert result.exit_code == 0
    assert result.stdout == (
        "p  in.jsonl:13\n"
        "The [University of [Porto|city]|school] is in [Porto|city 0.987].\n"
        "  University of Porto (school) ──is_in──▶ Porto (city)\n\n"
    )
    assert "1 record shown, 13 read" in said(result)


def test_records_can_be_chosen(here: Path) -> None:
    assert ie("view", "in.jsonl", "--grep", "UNIVERSITY", "-q").stdout.count("in.jsonl:") == 1
    assert ie("view", "in.jsonl", "--grep", "大学", "--limit", "2", "-q").stdout.count("in.jsonl:") == 2
    assert ie("view", "in.jsonl", "--label", "city", "--label", "place", "-q").stdout.count("in.jsonl:") == 11
    assert "0 records shown, 13 read" in said(ie("view", "in.jsonl", "--grep", "nowhere"))


def test_no_more_is_read_than_shown(here: Path) -> None:
    Path("in.jsonl").write_text(Path("in.jsonl").read_text(encoding="utf-8") + "{\n", encoding="utf-8")
    result = ie("view", "in.jsonl", "--limit", "3")
    assert result.exit_code == 0
    assert "3 records shown, 3 read" in said(result)


def test_colours_only_where_they_are_wanted(here: Path) -> None:
    plain = ie("view", "in.jsonl", "-q").stdout
    assert "\x1b" not in plain
    coloured = ie("view", "in.jsonl", "-q", "--color").stdout
    assert "\x1b[" in coloured
    assert click.unstyle(coloured) == plain


@pytest.mark.parametrize(("variables", "colour"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
def test_a_terminal_gets_colours_and_a_pager(
    variables: dict[str, str], colour: bool, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ie_cli.commands import view

    pages: list[tuple[str, bool]] = []
    monkeypatch.setattr(view, "_is_terminal", lambda: True)
    monkeypatch.setattr(click, "echo_via_pager", lambda parts, color: pages.append(("".join(parts), color)))
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert ie("view", "in.jsonl", "--limit", "1").stdout == ""
    [(text, used)] = pages
    assert (used, "\x1b[" in text) == (colour, colour)
    direct = ie("view", "in.jsonl", "--limit", "1", "--no-pager").stdout
    assert direct == text


def test_a_page_is_written_instead(here: Path) -> None:
    result = ie("view", "in.jsonl", "--label", "is_in", "--html", "page.html")
    assert result.exit_code == 0
    assert result.stdout == ""
    page = Path("page.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert page.count("<article>") == 1
    assert "in.jsonl: this file is also the input" in said(ie("view", "in.jsonl", "--html", "in.jsonl"))


def render(document: Document) -> str:
    return DocumentText(colour=False).render(document)


def test_crossing_entities_and_control_characters() -> None:
    crossing = Document("abcdef", [Entity(0, 4, "x"), Entity(2, 6, "y\x1b")])
    assert render(crossing) == "[ab[cd|x]ef|y\\x1b]\n\n"
    assert render(Document("a\x1b[31mb\x07", meta={})) == "a\\x1b[31mb\\x07\n\n"
    assert render(Document("", id=3)) == "3\n\n\n"


def test_events_pairs_and_triples() -> None:
    trip = Event("trip", (24, 26), (Argument("to", CITY),))
    assert "  trip 'is': to Porto (city)\n" in render(Document(TEXT, events=[trip]))
    assert render(Document("a", text_pair="b", label="1", score=0.5)) == "a\nb\n  = 1 0.5\n\n"
    assert "  Ann ──knows──▶ Eve (not in the text)\n" in render(Document("Ann", spos=[Spo("Ann", "knows", "Eve")]))
