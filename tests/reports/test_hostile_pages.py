"""Every page that the project writes, with texts, labels, ids and file names that look like markup or control the display."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from markdown_it import MarkdownIt
from support.corpora import relation_recipe
from support.hostile_pages import HOSTILE, NAME, PAGES, label_of, records, relations
from support.html_page import Page

from ie_cli.data.label_schema import LabelSchema
from ie_cli.formats.label_studio_writer import configuration
from ie_cli.metrics.relations import RelationScorer
from ie_cli.reports.model_card import model_card

DIRECTION = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
FRAME = frozenset({"html", "head", "meta", "title", "style", "body", "h1", "h2"})
TABLES = frozenset({"table", "thead", "tbody", "tr", "th", "td"})
TAGS = FRAME | TABLES | {"bdi", "p", "mark", "article", "header", "b", "small", "i", "ul", "li"}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("page_of", PAGES.values(), ids=PAGES)
def test_nothing_of_the_data_acts_in_a_page(page_of: Callable[[str], str], hostile: str) -> None:
    source = page_of(hostile)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]", source)
    page = Page(source)  # fails if elements are not closed in their order, or if there is a comment
    assert {tag for tag, _ in page.tags} <= TAGS
    names = {name for _, attributes in page.tags for name in attributes}
    assert names <= {"class", "title", "data-label", "dir", "scope", "charset", "content", "http-equiv", "name"}
    assert NAME in page.shown
    # Characters that change the direction of text affect neither attributes and titles nor what surrounds them.
    head = source[source.index("<title>") : source.index("</title>")]
    assert not DIRECTION & set(head)
    assert not DIRECTION & {
        char for _, attributes in page.tags for value in attributes.values() for char in value or ""
    }
    assert not DIRECTION & set(page.loose)
    [style] = re.findall("<style>(.*?)</style>", source, re.S)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert ("meta", {"http-equiv": "Content-Security-Policy", "content": policy}) in page.tags
    assert re.search(r"body \{[^}]*overflow-wrap: anywhere", style)  # a long word widens nothing


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE)
def test_nothing_of_a_document_acts_in_a_notebook(hostile: str) -> None:
    page = Page("".join(one._repr_html_() for one in records(hostile)))
    assert {tag for tag, _ in page.tags} <= TAGS - FRAME - TABLES
    assert {name for _, attributes in page.tags for name in attributes} <= {"style", "title", "dir"}
    assert page.texts == [hostile, f"{hostile}.", f"{hostile}!"]
    assert not DIRECTION & set(page.loose)


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE)
def test_names_are_only_names_in_a_model_card(hostile: str) -> None:
    label = label_of(hostile)
    made = relation_recipe(Path("train.jsonl"), encoder={"name": f"/encoders/{label.replace('/', '')}"})
    scorer, gold = RelationScorer([label], [label], entities=True), relations(hostile)
    scorer.add(gold, gold)
    schema = LabelSchema((label,), (label,), {label: ((label, label),)})
    card = model_card(made, {"relation": schema}, {"dev": {"relation": scorer.scores()}}, whole_words=["relation"])
    _, front, text = card.split("---\n", 2)
    assert yaml.safe_load(front)["pipeline_tag"] == "token-classification"
    blocks = MarkdownIt("commonmark").enable("table").parse(text)
    tokens = [token for block in blocks for token in (block, *(block.children or ()))]
    assert not [token for token in tokens if token.type in ("html_inline", "html_block", "image")]
    links = {token.attrs["href"] for token in tokens if token.type == "link_open"}
    assert links == {"https://pypi.org/project/ie-cli/"}
    shown = [token.content for token in tokens if token.type == "code_inline" and NAME in token.content]
    assert len(shown) == 5  # the encoder, and the label and the predicate in their lists and tables
    plain = "".join(char if char.isprintable() else " " for char in label).replace("`", "'").strip()
    assert {content.strip() for content in shown[1:]} == {plain}
    rows = "".join(token.type[0:2] for token in tokens if token.type in ("tr_open", "td_open", "th_open"))
    assert {len(row) for row in rows.split("tr")[1:]} == {2 * 7}  # no name ends its cell
    assert not DIRECTION & set(card)


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE)
def test_names_are_only_names_in_a_labelling_configuration(hostile: str) -> None:
    label = label_of(hostile)
    found = ElementTree.fromstring(configuration([label, "a"], [label]))
    values = [(one.tag, one.get("value")) for one in found.iter() if one.get("value") not in (None, "$text")]
    shown = "".join(char if char >= " " or char in "\t\n\r" else "\ufffd" for char in label)
    assert values == [("Label", shown), ("Label", "a"), ("Relation", shown)]
