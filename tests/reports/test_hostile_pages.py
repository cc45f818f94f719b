"""Every page that the project writes, with texts, labels, ids and file names that look like markup or control the display."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from markdown_it import MarkdownIt
from support.corpora import recipe, relation_recipe, write_jsonl
from support.html_page import Page
from support.runner import ie
from support.untrained import write_model

from ie_cli.data.label_schema import LabelSchema
from ie_cli.document import Argument, Document, Entity, Event, Relation, Spo
from ie_cli.formats.label_studio_writer import configuration
from ie_cli.metrics.relations import RelationScorer
from ie_cli.reports.model_card import model_card

NAME = "Zarq"
"""It is in each hostile string, so that a test knows that the string has arrived."""
HOSTILE = {
    "script": f"{NAME}</title></style></textarea></bdi></p><script>alert(1)</script>",
    "attributes": f"{NAME}\"><img src=x onerror=alert(1)>' onclick='alert(1)' autofocus",
    "declarations": f"{NAME} <!-- <![CDATA[ ]]> --> --!> <?php x ?> &lt; &#0; &amp",
    "markdown": f"{NAME} `` ` | [a](javascript:alert(1)) ![i](x) **b** <b>c</b> {{{{d}}}} \\ #",
    "direction": f"{NAME} a\u202eb\u2066c\u200fd\u061ce\u2028f",
    "controls": f"{NAME}\x00\x07\x1b[2Ja\rb\x0c\x85\x7f",
    "surrogates": f"{NAME} a\ud800b\udfff",
    "length": NAME + "W" * 3000,
}
DIRECTION = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
FRAME = frozenset({"html", "head", "meta", "title", "style", "body", "h1", "h2"})
TABLES = frozenset({"table", "thead", "tbody", "tr", "th", "td"})
TAGS = FRAME | TABLES | {"bdi", "p", "mark", "article", "header", "b", "small", "i", "ul", "li"}


def page_of_view(hostile: str) -> str:
    return saved("view", write_jsonl(file_of(hostile), records(hostile)), "--html", "out.html")


def page_of_conversion(hostile: str) -> str:
    return saved("convert", write_jsonl(file_of(hostile), records(hostile)), "out.html", "--to", "html")


def page_of_prediction(hostile: str) -> str:
    model = write_model(Path("model"), labels=(label_of(hostile),))
    data = write_jsonl(file_of(hostile), [Document(hostile[:100], id=hostile)])  # an untrained model finds much
    return saved("predict", data, "--model", model, "--format", "html", "-o", "out.html")


def page_of_evaluation(hostile: str) -> str:
    gold, found = both(hostile)
    return saved("eval", "--predictions", found, gold, "--save", "out.html")


def page_of_relations(hostile: str) -> str:
    gold = write_jsonl(file_of(hostile), [relations(hostile)])
    write_jsonl(Path("b.jsonl"), [relations(hostile, NAME)])
    return saved("eval", "--predictions", "b.jsonl", gold, "--save", "out.html")


def page_of_pairs(hostile: str) -> str:
    pairs = [Document(hostile, text_pair=hostile, label=label, id=hostile) for label in (label_of(hostile), NAME)]
    gold = write_jsonl(file_of(hostile), pairs[:1])
    write_jsonl(Path("b.jsonl"), pairs[1:])
    return saved("diff", gold, "b.jsonl", "--save", "out.html")


def page_of_differences(hostile: str) -> str:
    gold, found = both(hostile)
    return saved("diff", gold, found, "--save", "out.html")


def page_of_check(hostile: str) -> str:
    files = [write_jsonl(file_of(hostile, split), records(hostile)) for split in ("train", "test")]
    page = saved("check", *files, "--save", "out.html", fails=True)
    assert "Errors" in Page(page).shown  # the test data are training data
    return page


def page_of_recipe(hostile: str) -> str:
    """Of `ie check` with recipes, whose files are shown."""
    from ie_cli.recipe.loader import dump_recipe

    data = write_jsonl(Path("train.jsonl"), records(hostile))
    path = file_of(hostile).with_suffix(".yaml")
    path.write_text(dump_recipe(recipe(data, data={"dev": None})), encoding="utf-8")
    return saved("check", path, "--save", "out.html")


PAGES: dict[str, Callable[[str], str]] = {
    "view": page_of_view,
    "convert": page_of_conversion,
    "predict": page_of_prediction,
    "eval": page_of_evaluation,
    "eval relations": page_of_relations,
    "diff": page_of_differences,
    "diff pairs": page_of_pairs,
    "check": page_of_check,
    "check recipe": page_of_recipe,
}


def saved(command: str, *arguments: str | Path, fails: bool = False) -> str:
    """Run a command, and return its page."""
    result = ie(command, *map(str, arguments))
    assert result.exit_code == int(fails), result.stderr
    return Path("out.html").read_bytes().decode("utf-8")


def file_of(hostile: str, name: str = "data") -> Path:
    """Return a file whose name has as much of a string as the system allows."""
    if sys.platform != "linux":
        return Path(f"{name}.jsonl")
    shown = "".join({"/": "\u2215", "\x00": ""}.get(char, char) for char in hostile)
    shown = shown.translate({code: 0xDC00 + code % 128 + 128 for code in range(0xD800, 0xE000)})
    return Path(f"{os.fsdecode(os.fsencode(shown)[:200])} {name}.jsonl")


def label_of(hostile: str) -> str:
    """Return a string as a label, which cannot have lone surrogates."""
    return re.sub("[\ud800-\udfff]", "", hostile)


def records(hostile: str) -> list[Document]:
    """Return records with everything that a document can have."""
    label = label_of(hostile)
    whole, part = Entity(0, len(hostile), label), Entity(0, len(NAME), NAME, 0.5)
    event = Event(label, (0, len(NAME)), (Argument(label, part),))
    first = Document(hostile, [whole, part, Entity(1, 3, label)], [Relation(whole, label, part)], id=hostile)
    other = Document(f"{hostile}.", [Entity(0, len(NAME), label)], id=f"{hostile}2", events=[event])
    return [first, other, Document(f"{hostile}!", id=hostile, spos=[Spo(hostile, label, "none")])]


def relations(hostile: str, name: str | None = None) -> Document:
    label = name or label_of(hostile)
    subject, object_ = Entity(0, len(NAME), label_of(hostile)), Entity(1, 3, label)
    return Document(hostile, [subject, object_], [Relation(subject, label, object_)], id=hostile)


def both(hostile: str) -> tuple[Path, Path]:
    """Return a file and one with another annotation of the same texts."""
    gold = write_jsonl(file_of(hostile), records(hostile)[:2])
    other = [Document(one.text, [Entity(0, 2, label_of(hostile))], id=one.id) for one in records(hostile)[:2]]
    return gold, write_jsonl(file_of(hostile, "other"), other)


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
