"""CoNLL04's two JSON layouts: exact examples, errors with their places, round trips."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.random_documents import documents, joined_documents

from ie_cli.document import Document, Entity, Relation
from ie_cli.formats import FORMATS, BadLine, Reading, Record
from ie_cli.formats.common.joining import join_tokens
from ie_cli.formats.conll04 import count_losses, count_losses_table, read, write, write_table

TOKENS = ["Anna", "Meyer", "在", "云", "州", "of", "Vale", "."]
SPERT = {
    "tokens": TOKENS,
    "entities": [
        {"type": "Peop", "start": 0, "end": 2},
        {"type": "Loc", "start": 3, "end": 7},
        {"type": "Loc", "start": 3, "end": 5},
    ],
    "relations": [{"type": "Live_In", "head": 0, "tail": 2}],
    "orig_id": 7,
}
TABLE = {
    "tokens": TOKENS,
    "tags": ["B-Peop", "L-Peop", "O", "B-Loc", "I-Loc", "I-Loc", "L-Loc", "O"],
    "relations": [{"type": "Live_In", "head": 0, "tail": 1}],
    "orig_id": 7,
}
TEXT = "Anna Meyer在云州of Vale ."
ANNA, VALE, CITY = Entity(0, 10, "Peop"), Entity(11, 20, "Loc"), Entity(11, 13, "Loc")


def records(*fields: Any, **options: Any) -> list[Record]:
    lines = json.dumps(fields, indent=1, ensure_ascii=False).split("\n")
    return list(read(enumerate(lines, 1), "x.json", Reading(**options)))


def one(fields: dict[str, Any], **options: Any) -> Document:
    [record] = records(fields, **options)
    assert isinstance(record, Document), record
    return record


def again(name: str, *some: Document) -> list[Record]:
    before, between, after = FORMATS[name].frame
    given = FORMATS[name].write
    assert given is not None
    text = before + between.join(map(given, some)) + after
    return list(read(enumerate(text.split("\n"), 1), "x.json", Reading()))


def test_spert_counts_tokens_and_entities() -> None:
    document = one({**SPERT, "pos": ["x"]})
    assert document == Document(TEXT, [ANNA, VALE, CITY], [Relation(ANNA, "Live_In", CITY)], 7, {"pos": ["x"]})
    assert document.where == "x.json:2"


def test_the_table_has_tags() -> None:
    assert one(TABLE) == Document(TEXT, [ANNA, VALE], [Relation(ANNA, "Live_In", VALE)], 7)
    assert one({"tokens": TOKENS}) == Document(TEXT)
    assert one({"tokens": [], "tags": []}) == Document("")


def test_the_joiner_separates_tokens() -> None:
    document = one(SPERT, joiner="_")
    assert document.text == "_".join(TOKENS)
    assert [document.text[e.start : e.end] for e in document.entities] == ["Anna_Meyer", "云_州_of_Vale", "云_州"]


def test_text_to_predict_has_no_annotation() -> None:
    assert one({**SPERT, "entities": "spam"}, annotation=False) == Document(TEXT, id=7)
    assert one({**TABLE, "tags": "spam", "relations": 1}, annotation=False) == Document(TEXT, id=7)


def test_fields_of_other_layouts_are_neither_kept_nor_read() -> None:
    assert one({"tokens": ["a"], "text": "b", "id": "x1", "source": 3}) == Document("a", id="x1", meta={"source": 3})
    assert one({**SPERT, "tags": TABLE["tags"]}).entities == [ANNA, VALE, CITY]
    twice = {"type": "Loc", "start": 3, "end": 5}
    document = one({**SPERT, "entities": [twice, twice], "relations": [{"type": "p", "head": 0, "tail": 1}]})
    assert (document.entities, document.relations) == ([CITY], [Relation(CITY, "p", CITY)])


def test_tags_that_continue_nothing_are_reported() -> None:
    reported: list[str] = []
    document = one({"tokens": ["a", "b"], "tags": ["I-X", "L-X"]}, report=reported.append)
    assert document.entities == [Entity(0, 3, "X")]
    assert reported == [
        "x.json: 1 tag without a preceding tag of the same entity; each starts an entity, as in conlleval and seqeval"
    ]


def spert(**changes: Any) -> dict[str, Any]:
    return {**SPERT, **changes}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"words": [], "a": 1}, "no field 'tokens' (found: a, words)"),
        (spert(tokens="Anna"), "'tokens' must be a list of strings, got \"Anna\""),
        (spert(tokens=["Anna", ""]), 'token 1 must be a non-empty string, got ""'),
        (spert(tokens=["Anna", None]), "token 1 must be a non-empty string, got null"),
        (spert(orig_id=[1]), "'id' must be a string or an integer, got [1]"),
        (spert(entities=3), "'entities' must be a list, got 3"),
        (spert(entities=[3]), "'entities' must contain objects, got 3"),
        (spert(entities=[{"start": 0, "end": 1}]), "no field 'type': {"),
        (spert(entities=[{"type": "X", "start": 0, "end": 9}]), "an entity must satisfy 0 <= start < end <= 8,"),
        (spert(entities=[{"type": "X", "start": 2, "end": 2}]), "an entity must satisfy 0 <= start < end <= 8,"),
        (spert(entities=[{"type": "X", "start": True, "end": 2}]), "an entity must satisfy 0 <= start < end <= 8,"),
        (spert(entities=[{"type": "X", "start": 0}]), "an entity must satisfy 0 <= start < end <= 8,"),
        (spert(entities=[{"type": "\ud800", "start": 0, "end": 1}]), "the label '\\ud800' contains a lone surrogate"),
        (spert(relations=[{"type": "p", "head": 0, "tail": 3}]), "relation 'p': tail must be an entity index below 3, got 3"),
        (spert(relations=[{"type": "p", "head": -1, "tail": 0}]), "relation 'p': head must be an entity index below 3, got -1"),
        (spert(relations=[{"type": "p", "tail": 0}]), "relation 'p': head must be an entity index below 3, got null"),
        (spert(relations=[{"type": "", "head": 0, "tail": 0}]), "'type' must be a non-empty string, got \"\""),
        ({**TABLE, "tags": "O"}, "'tags' must be a list, got \"O\""),
        ({**TABLE, "tags": ["O"]}, "got 8 tokens, but 1 tag"),
        ({**TABLE, "tags": ["Peop"] * 8}, 'expected a tag such as O or B-PER, got "Peop"'),
        ({**TABLE, "tags": [0] * 8}, "expected a tag such as O or B-PER, got 0"),
    ],
)  # fmt: skip
def test_a_bad_record_is_reported_with_its_place(fields: dict[str, Any], message: str) -> None:
    first, bad, last = records({"tokens": ["a"]}, fields, {"tokens": ["b"]})
    assert (first, last) == (Document("a"), Document("b"))
    assert isinstance(bad, BadLine)
    assert bad.where == "x.json:7"
    assert json.loads(bad.raw) == fields
    assert bad.error.message.startswith("x.json:7: " + message), bad.error.message


@given(st.lists(joined_documents(flat=False), max_size=3))
def test_spert_is_read_as_it_was_written(some: list[Document]) -> None:
    assert again("conll04", *some) == some
    assert not any(value for document in some for value in count_losses(document).values())


@given(st.lists(joined_documents(flat=True), max_size=3))
def test_the_table_is_read_as_it_was_written(some: list[Document]) -> None:
    assert again("conll04-table", *some) == some
    assert not any(value for document in some for value in count_losses_table(document).values())


@pytest.mark.parametrize("name", ["conll04", "conll04-table"])
@given(document=documents())
def test_losses_of_any_example_are_counted(name: str, document: Document) -> None:
    [back] = again(name, document)
    assert isinstance(back, Document)
    assert "".join(back.text.split()) == "".join(document.text.split())
    reported = FORMATS[name].count_losses(document)
    overlapping, blank, ragged, relations, broken, blanks = reported.values()
    assert (back.text != document.text) <= bool(broken or blanks)
    assert len(back.relations) == len(document.relations) - relations
    arguments = {entity for r in document.relations for entity in (r.subject, r.object)}
    everything = {*document.entities, *arguments}
    if not any((ragged, broken, blanks)):
        assert len(back.entities) == len(everything) - overlapping - blank
        assert set(back.entities) <= everything
    if name == "conll04":
        assert overlapping == 0


def test_arguments_of_relations_are_entities_too() -> None:
    document = Document("Anna Vale", [], [Relation(Entity(0, 4, "Peop"), "p", Entity(5, 9, "Loc"))])
    assert json.loads(write(document)) == {
        "tokens": ["Anna", "Vale"],
        "entities": [{"type": "Peop", "start": 0, "end": 1}, {"type": "Loc", "start": 1, "end": 2}],
        "relations": [{"type": "p", "head": 0, "tail": 1}],
    }
    assert json.loads(write_table(document))["tags"] == ["U-Peop", "U-Loc"]


def test_the_table_keeps_the_longer_of_two_that_overlap() -> None:
    document = one(SPERT)
    assert json.loads(write_table(document)) == {**TABLE, "relations": []}
    assert json.loads(write(document)) == SPERT
    assert list(count_losses_table(document).values()) == [1, 0, 0, 1, 0, 0]
    assert list(count_losses(document).values()) == [0] * 6


def test_words_are_split_at_entity_boundaries() -> None:
    document = Document("New Yorker  x", [Entity(0, 8, "LOC"), Entity(10, 12, "X")])
    assert json.loads(write(document))["tokens"] == ["New", "York", "er", "x"]
    assert list(count_losses(document).values()) == [0, 1, 0, 0, 1, 0]
    assert list(count_losses(Document("a  b", [Entity(0, 2, "X")])).values()) == [0, 0, 1, 0, 0, 1]


def test_meta_and_ids_come_out_again() -> None:
    fields = json.loads(write(Document("a b", id="x", meta={"source": 1, "tags": 2, "text": 3})))
    assert fields == {"tokens": ["a", "b"], "entities": [], "relations": [], "orig_id": "x", "source": 1}


def test_long_texts_with_many_entities_are_written_soon() -> None:
    tokens = ["ab"] * 20_000
    text, starts = join_tokens(tokens, None)
    document = Document(text, [Entity(start, start + 2, "X") for start in starts[::4]])
    assert len(json.loads(write(document))["entities"]) == 5000
    assert count_losses(document)
