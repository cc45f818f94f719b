"""spaCy's JSON: pairs in all layouts, paragraphs of tokens, groups of spans, and pairs that are written."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.tool_records import detected, error_of, read, read_one, written

from ie_cli.document import Document, Entity, Relation
from ie_cli.formats import FORMATS, BadLine, Reading

TEXT = "Anna met Bob"
ANNA, BOB = Entity(0, 4, "PER"), Entity(9, 12, "PER")
PAIR: list[Any] = [TEXT, {"entities": [[0, 4, "PER"], [9, 12, "PER"]], "cats": {"a": 1.0}}]
EXPECTED = Document(TEXT, [ANNA, BOB], meta={"cats": {"a": 1.0}})


def token(orth: str, ner: Any = "O", **more: Any) -> dict[str, Any]:
    return {"orth": orth, "ner": ner, **more}


def paragraph(*tokens: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"sentences": [{"tokens": [each]} for each in tokens], **fields}


@pytest.mark.parametrize(
    "lines",
    [
        [json.dumps([PAIR, PAIR])],
        json.dumps([PAIR, PAIR], indent=2).splitlines(),
        [json.dumps(PAIR), "", json.dumps(PAIR)],
        ["[", json.dumps(PAIR) + ",", json.dumps(PAIR), "]"],
        [json.dumps({"classes": ["PER"], "annotations": [PAIR, None, PAIR]})],
    ],
)
def test_pairs_in_all_layouts(lines: list[str]) -> None:
    assert detected(*lines) == "spacy-json"
    assert list(FORMATS["spacy-json"].read(enumerate(lines, 1), "x", Reading())) == [EXPECTED, EXPECTED]


def test_the_place_of_a_wrong_pair() -> None:
    wrong = [TEXT, {"entities": [[0, 99, "PER"]]}]
    records, _ = read("spacy-json", PAIR, [TEXT, 3], wrong)
    assert records[0] == EXPECTED
    messages = [bad.error.message for bad in records[1:] if isinstance(bad, BadLine)]
    assert messages == [
        f'x:2: expected a pair of a text and its annotation, got ["{TEXT}", 3]',
        "x:3: entity 'PER' covers characters 0-99, but the text has 12",
    ]
    records, _ = read("spacy-json", PAIR, wrong, array=True)
    assert isinstance(records[1], BadLine)
    assert records[1].error.message.startswith("x:1 (record 2): entity 'PER' covers")
    [bad], _ = read("spacy-json", {"annotations": [wrong]})
    assert isinstance(bad, BadLine)
    assert bad.error.message.startswith("x:1 (annotation 1): entity 'PER' covers")


def test_paragraphs_are_examples() -> None:
    tagged = [token("Anna", "U-PER"), token("met"), token("Bob", "U-PER")]
    treebank = [token("``"), token("Anna", "B-PER"), token("Bell", "L-PER"), token("''"), token("-LRB-"), token("x")]
    spaced = [token("Anna", "U-PER", space=""), token("!", space="  "), token("Bob", "U-PER", space="")]
    document = {
        "id": 4,
        "paragraphs": [
            paragraph(*tagged, raw=TEXT, cats=[]),
            paragraph(*treebank, raw='"Anna  Bell" ( x'),
            paragraph(*spaced),
            paragraph(token("Anna"), token("met"), raw=None, entities=[[0, 4, "PER"]]),
        ],
    }
    assert detected(document) == "spacy-json"
    records, said = read("spacy-json", document)
    assert records == [
        Document(TEXT, [ANNA, BOB], id="4-1"),
        Document('"Anna  Bell" ( x', [Entity(1, 11, "PER")], id="4-2"),
        Document("Anna!  Bob", [Entity(0, 4, "PER"), Entity(7, 10, "PER")], id="4-3"),
        Document("Anna met", [ANNA], id="4-4"),
    ]
    assert [record.where for record in records if isinstance(record, Document)][1] == "x:1 (paragraph 2)"
    assert said == []
    assert read_one("spacy-json", {"id": 4, "paragraphs": [paragraph(*tagged, raw=TEXT)]}).id == 4


def test_unknown_tags_are_counted() -> None:
    some = paragraph(token("Anna", "U-PER"), token("met", "-"), token("Bob", None))
    none = paragraph(token("Anna", "-"), token("met", "-"))
    wrong = paragraph(token("Anna", "I-PER"))
    records, said = read("spacy-json", {"paragraphs": [some, none, wrong]})
    assert [record.entities for record in records if isinstance(record, Document)] == [[ANNA], [], [ANNA]]
    assert "1 tag" in said[-3]
    assert said[-2:] == [
        "tokens with the tag '-' (unknown) or without one, which counts as 'O': 2",
        "paragraphs without tags, which count as texts without entities: 1",
    ]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"paragraphs": [paragraph(token("Bob"), raw="Anna")]}, "'tokens' do not match the text: token 0 is \"Bob\" | correct"),
        ({"paragraphs": [paragraph(token(""))]}, "token 0 must have a non-empty 'orth'"),
        ({"paragraphs": [paragraph(token("Anna", "PER"))]}, "'ner' must be a tag such as O or U-PER, got \"PER\""),
        ({"paragraphs": 3}, "'paragraphs' must be a list"),
        (["a", {"entities": ["U-PER"]}], "an entity must be an object with start, end and label"),
    ],
)  # fmt: skip
def test_a_wrong_record_is_an_error(given: Any, message: str) -> None:
    assert message in error_of("spacy-json", given)


def test_groups_of_spans_are_read_if_there_are_no_entities() -> None:
    spans = {
        "sc": [{"start": 0, "end": 4, "label": "PER", "kb_id": "Q1"}],
        "other": [{"start": 9, "end": 12, "label": "PER"}],
    }
    fields = {"text": TEXT, "ents": [], "spans": spans, "tokens": [{"id": 0, "start": 0, "end": 4}], "cats": {}}
    assert detected(fields) == "spacy-json"
    records, said = read("spacy-json", fields)
    assert records == [Document(TEXT, [ANNA, BOB], meta={"cats": {}})]
    assert "spans of groups, whose names are not kept: 2" in said
    assert "records with 'tokens', which are not read: 1" in said
    records, said = read("spacy-json", fields | {"ents": [{"start": 9, "end": 12, "label": "PER"}]})
    assert records == [Document(TEXT, [BOB], meta={"cats": {}})]
    assert "spans of groups beside the entities, which are not read: 2" in said


def test_texts_to_predict_have_no_annotation() -> None:
    tagged = {"paragraphs": [paragraph(token("Anna", "U-PER"), token("met"))]}
    assert read_one("spacy-json", tagged, annotation=False) == Document("Anna met")
    assert read_one("spacy-json", PAIR, annotation=False) == Document(TEXT, meta={"cats": {"a": 1.0}})


def test_pairs_are_written_without_overlaps() -> None:
    inner = Entity(0, 1, "X")
    document = Document(
        TEXT, [inner, ANNA, BOB], [Relation(ANNA, "met", BOB)], id=1, meta={"cats": {"a": 1.0}, "source": 2}
    )
    assert json.loads(written("spacy-json", document)) == [PAIR]
    lost = FORMATS["spacy-json"].count_losses(document)
    assert list(lost.values()) == [1, 1, 1, 1], lost  # the inner entity, the relation, the id and a field
