"""HTML pages: they contain exactly the text, whatever its characters are."""

from __future__ import annotations

import base64
import hashlib
import re
import time
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from support.html_page import Page, covered
from support.random_documents import native_documents
from typer.testing import CliRunner

from ie_cli.cli import app
from ie_cli.document import Argument, Document, Entity, Event, Relation, Spo
from ie_cli.document.markup import escape_name, mark
from ie_cli.errors import DataError
from ie_cli.formats import FORMATS, jsonl, read_records
from ie_cli.formats.html import FRAME, STYLE, write

NASTY = "<script>alert(1)</script><img src=x onerror=alert(1)>\"' onclick='x' & &lt; &#0; ]]> --> \x00\x1b[m\r\n\u202e\ud800"
TAGS = {"article", "header", "p", "mark", "ul", "li", "bdi", "b", "small", "i"}
# Contents of a page besides printable characters: whitespace that HTML keeps.
PICTURED = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


@given(native_documents())
def test_without_its_tags_a_page_is_the_text(document: Document) -> None:
    article = write(document)
    page = Page(article)
    assert page.texts == [document.text] + ([] if document.text_pair is None else [document.text_pair])
    assert not PICTURED.search(article)
    assert "\r" not in article  # a parser of HTML makes a line end of it
    assert {tag for tag, _ in page.tags} <= TAGS
    for _, attributes in page.tags:
        assert attributes.keys() <= {"class", "title", "data-label", "dir"}
    article.encode("utf-8")


@given(native_documents())
def test_every_entity_is_highlighted_at_its_position(document: Document) -> None:
    found = covered(Page(write(document)))
    arguments = [side for relation in document.relations for side in (relation.subject, relation.object)]
    expected: dict[str, set[int]] = {}
    arguments += [entity for event in document.events for entity in event.entities]
    mentions = dict.fromkeys([*document.entities, *arguments])
    too_deep = mark(document.text, mentions)[1]
    for entity in mentions.keys() - too_deep:
        score = "" if entity.score is None else f" {entity.score}"
        facts = f"{unescaped(escape_name(entity.label))} {entity.start}-{entity.end}{score}"
        expected.setdefault(facts, set()).update(range(entity.start, entity.end))
    assert found == expected


def unescaped(value: str) -> str:
    page = HTMLParser()
    seen: list[str] = []
    page.handle_starttag = lambda tag, attrs: seen.append(str(attrs[0][1]))  # type: ignore[method-assign]
    page.feed(f'<b title="{value}">')
    return seen[0]


def test_marks_nest_and_are_split_where_they_cross() -> None:
    inner, outer, crossing = Entity(0, 2, "a"), Entity(0, 4, "b", 0.5), Entity(3, 6, "c")
    html, deep = mark("012345", [inner, crossing, outer])
    assert deep == []
    assert re.sub(r' class="c\d"', "", html) == (
        '<mark data-label="b" title="b 0-4 0.5"><mark data-label="a" title="a 0-2">01</mark>2<mark title="c 3-6">3</mark></mark>'
        '<mark data-label="c" title="c 3-6">45</mark>'
    )


def test_what_lies_too_deep_is_listed_and_a_page_stays_small() -> None:
    crossing = [Entity(n, n + 1500, f"l{n}") for n in range(1500)]
    text = "x" * 3000
    began = time.monotonic()
    article = write(Document(text, crossing))
    assert time.monotonic() - began < 2
    assert len(article) < 2 * len(jsonl.write(Document(text, crossing)))
    page = Page(article)
    assert page.texts == [text]
    listed = re.findall(r"<li><b><bdi>(l\d+)</bdi></b> <bdi", article)
    marked = {facts.split()[0] for facts in covered(page)}
    assert len(listed) + len(marked) == 1500
    assert {*listed} | marked == {entity.label for entity in crossing}


def test_names_and_texts_are_no_markup() -> None:
    nasty = Entity(0, 8, NASTY)
    relation = Relation(nasty, NASTY, Entity(3, 20, NASTY), 0.25)
    event = Event(NASTY, (1, 5), (Argument(NASTY, Entity(2, 9, NASTY)),), 0.5)
    document = Document(
        NASTY, [nasty], [relation], id=NASTY, where=NASTY, events=[event], text_pair=NASTY, label=NASTY, score=1.5
    )
    article = write(document)
    page = Page(article)
    assert page.texts == [NASTY, NASTY]
    assert {tag for tag, _ in page.tags} == TAGS
    assert "<script" not in article
    assert "onerror=alert" not in re.sub(r">[^<]*<", "><", re.sub(r'"[^"]*"', '""', article))
    # A bidirectional control character must not affect its context: text is isolated, attributes are escaped.
    for value in re.findall(r'"([^"]*)"', article):
        assert "\u202e" not in value
    assert article.count("\u202e") == article.count("\u202e", article.index("<p class"), article.rindex("</p>")) + sum(
        part.count("\u202e") for part in re.findall(r"<bdi[^>]*>(.*?)</bdi>", article, re.S)
    )


def test_events_are_listed_with_their_roles() -> None:
    place = Argument("place", Entity(15, 19, "city"))
    some = [Event("meeting", (4, 7), (place,), 0.5), Event("visit", None, (place,))]
    article = re.sub(r' title="[^"]*"', "", write(Document("Ann met Bob in Rome", events=some)))
    assert '>met</mark> Bob in <mark class="c' in article
    assert (
        "<li><b><bdi>meeting</bdi></b> <bdi>met</bdi>; <small><bdi>place</bdi></small> <bdi>Rome</bdi><small> 0.5</small></li>\n"
        "<li><b><bdi>visit</bdi></b>; <small><bdi>place</bdi></small> <bdi>Rome</bdi><small></small></li>"
    ) in article


def test_a_pair_is_two_texts_below_its_label_and_score() -> None:
    article = write(Document("a", id=1, text_pair="b <", label="same", score=4.5))
    assert "<header><bdi>1</bdi>  <b><bdi>same</bdi></b><small> 4.5</small></header>" in article
    assert article.endswith('<p class="text" dir="auto">a</p>\n<p class="text" dir="auto">b &lt;</p>\n</article>\n')
    assert "<header>" not in write(Document("a", text_pair="b"))


def test_triples_without_a_place_are_listed() -> None:
    spo = Spo("甲<", "董事长", "乙")
    article = write(Document("没有", spos=[spo]))
    assert (
        "<li><bdi>甲&lt;</bdi> <b><bdi>董事长</bdi></b> <bdi>乙</bdi> <small>(not in the text)</small></li>" in article
    )


def test_a_page_is_self_contained_and_runs_nothing() -> None:
    page = FRAME[0] + write(Document("a")) + FRAME[2]
    read = Page(page)
    policy = next(str(a["content"]) for tag, a in read.tags if a.get("http-equiv") == "Content-Security-Policy")
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}';")
    assert "unsafe" not in policy
    assert f"<style>{STYLE}</style>" in page
    assert not re.search(r"<(script|link|img|iframe|object|base|form)\b|\bsrc=|\bhref=|url\(|@import", page)
    assert read.tags[2] == ("meta", {"charset": "utf-8"})


def test_only_other_fields_are_lost() -> None:
    entity = Entity(0, 1, "x")
    whole = Document("ab", [entity], [Relation(entity, "p", entity)], id=1, where="f:1", spos=[Spo("z", "p", "y")])
    assert not sum(FORMATS["html"].count_losses(whole).values())
    assert sum(FORMATS["html"].count_losses(Document("ab", meta={"a": 1, "b": 2})).values()) == 2


def test_a_page_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "x.html").write_text(FRAME[0] + FRAME[2], encoding="utf-8")
    with pytest.raises(DataError, match=r"x\.html: format 'html' cannot be read"):
        list(read_records(str(tmp_path / "x.html"), format="html"))
    with pytest.raises(DataError, match="the format cannot be detected from the first line"):
        list(read_records(str(tmp_path / "x.html")))


def test_convert_writes_a_page(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text(
        '{"text": "a\\u0000<b>\\ud800", "entities": [{"start": 0, "end": 2, "label": "x"}], "source": 1}\n{"text": "c"}\n'
    )
    run = CliRunner().invoke(app, ["convert", str(tmp_path / "in.jsonl"), str(tmp_path / "out.html"), "--to", "html"])
    assert run.exit_code == 0, run.output
    assert "other fields of the records cannot be shown on the page: 1" in run.stderr
    page = Page((tmp_path / "out.html").read_text(encoding="utf-8"))
    assert page.texts == ["a\x00<b>\ud800", "c"]
    assert [tag for tag, _ in page.tags].count("article") == 2
