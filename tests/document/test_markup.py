"""The fragment of a notebook: the text and its annotation, and nothing that reaches beyond it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from support.html_page import Page, covered
from support.random_documents import native_documents

from ie_cli import Document, Entity, Event, Relation
from ie_cli.document import Argument, Spo
from ie_cli.document.markup import NOTEBOOK, article

TAGS = {"article", "header", "p", "mark", "ul", "li", "bdi", "b", "small", "i"}
NASTY = "<script>alert(1)</script><img src=x onerror=alert(1)>\"' onclick='x' & &lt; ]]> --> \x00\x1b[m\r\n\u202e\ud800"


def fragment(document: Document) -> str:
    return document._repr_html_()


@given(native_documents())
def test_without_its_tags_a_fragment_is_the_text(document: Document) -> None:
    html = fragment(document)
    page = Page(html)
    assert page.texts == [document.text] + ([] if document.text_pair is None else [document.text_pair])
    assert [tag for tag, _ in page.tags].count("article") == 1
    assert {tag for tag, _ in page.tags} <= TAGS
    for _, attributes in page.tags:
        assert attributes.keys() <= {"style", "title", "dir"}
    html.encode("utf-8")


@given(native_documents())
def test_a_fragment_marks_what_a_page_marks(document: Document) -> None:
    assert covered(Page(fragment(document))) == covered(Page(article(document)))
    listed = re.findall(r"<li>.*?</li>", fragment(document), re.S)
    assert listed == re.findall(r"<li>.*?</li>", article(document), re.S)


def test_nested_and_crossing_entities_show_their_labels_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NOTEBOOK, "_order", {})  # other tests have shown labels in this process
    html = fragment(Document("012345", [Entity(0, 2, "a"), Entity(0, 4, "b", 0.5), Entity(3, 6, "c")]))
    plain = re.sub(r' (style|dir)="[^"]*"', "", html)
    assert plain == (
        '<article>\n<p><mark title="b 0-4 0.5"><mark title="a 0-2">01<small>\u2060<bdi>a</bdi></small></mark>2'
        '<mark title="c 3-6">3</mark><small>\u2060<bdi>b</bdi></small></mark>'
        '<mark title="c 3-6">45<small>\u2060<bdi>c</bdi></small></mark></p>\n</article>\n'
    )
    assert len(set(re.findall(r"background:(#\w+)", html))) == 3


def test_relations_events_pairs_and_triples_without_a_place_are_shown() -> None:
    ann, rome = Entity(0, 3, "person"), Entity(15, 19, "city")
    document = Document(
        "Ann met Bob in Rome",
        [ann],
        [Relation(ann, "visits", rome, 0.5)],
        id=7,
        spos=[Spo("Ann", "visits", "Rome"), Spo("Ann", "likes", "Paris", (("since", "1999"),))],
        events=[Event("meeting", (4, 7), (Argument("place", rome),))],
        text_pair="a <b>",
        label="same",
        score=4.5,
    )
    plain = re.sub(r' (style|dir|title)="[^"]*"', "", fragment(document))
    for part in (
        "<header><bdi>7</bdi>  <b><bdi>same</bdi></b><small> 4.5</small></header>",
        "<p>a &lt;b&gt;</p>",
        "<li><bdi>Ann</bdi> <b><bdi>visits</bdi></b> <bdi>Rome</bdi><small> 0.5</small></li>",
        "<li><bdi>Ann</bdi> <b><bdi>likes</bdi></b> <bdi>Paris</bdi> <small>(not in the text)</small></li>",
        "<li><bdi>Paris</bdi> <b><bdi>likes.since</bdi></b> <bdi>1999</bdi> <small>(not in the text)</small></li>",
        "<li><b><bdi>meeting</bdi></b> <bdi>met</bdi>; <small><bdi>place</bdi></small> <bdi>Rome</bdi><small></small></li>",
    ):
        assert part in plain, part
    assert plain.count("<li>") == 4


def test_names_and_texts_are_no_markup() -> None:
    nasty = Entity(0, 8, NASTY)
    document = Document(NASTY, [nasty], [Relation(nasty, NASTY, Entity(3, 20, NASTY))], id=NASTY, label=NASTY)
    html = fragment(document)
    page = Page(html)
    assert page.texts == [NASTY]
    assert {tag for tag, _ in page.tags} <= TAGS
    assert "<script" not in html
    # Neither a style sheet nor an address: the styles of the attributes are ours alone.
    for style in re.findall(r'style="([^"]*)"', html):
        assert re.fullmatch(r"[-a-z0-9:;.# ]*", style), style
        assert "url" not in style


def test_a_span_that_is_none_leaves_the_marks_balanced() -> None:
    html = fragment(Document("abc", [Entity(1, 1, "empty"), Entity(2, 1, "reversed"), Entity(0, 9, "long")]))
    assert Page(html).texts == ["abc"]
