"""Prodigy: spans, relations, answers, tokens, and records that its recipes read."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.tool_records import detected, error_of, read, read_one, written

from ie_cli.document import Document, Entity, Relation
from ie_cli.formats import FORMATS, BadLine
from ie_cli.formats.common.base import NAMES_TAKEN

TEXT = "Anna Bell met Bob"
ANNA, BOB = Entity(0, 9, "PER"), Entity(14, 17, "PER")
TOKENS = [
    {"text": "Anna", "start": 0, "end": 4, "id": 0, "ws": True},
    {"text": "Bell", "start": 5, "end": 9, "id": 1, "ws": True},
    {"text": "met", "start": 10, "end": 13, "id": 2, "ws": True},
    {"text": "Bob", "start": 14, "end": 17, "id": 3, "ws": False},
]
SPANS = [
    {"start": 0, "end": 9, "token_start": 0, "token_end": 1, "label": "PER"},
    {"start": 14, "end": 17, "token_start": 3, "token_end": 3, "label": "PER"},
]
MET = {"head": 1, "child": 3, "head_span": SPANS[0], "child_span": SPANS[1], "label": "met"}
RECORD: dict[str, Any] = {"text": TEXT, "tokens": TOKENS, "_task_hash": 7, "_input_hash": 8, "answer": "accept"}
RECORD |= {"spans": SPANS, "relations": [MET]}


def test_a_record_is_read_and_written_as_it_was() -> None:
    records, said = read("prodigy", RECORD)
    document = records[0]
    assert isinstance(document, Document)
    assert (document.entities, document.relations) == ([ANNA, BOB], [Relation(ANNA, "met", BOB)])
    assert said == []
    assert json.loads(written("prodigy", document)) == RECORD


@pytest.mark.parametrize("name", ["prodigy", "jsonl"])
def test_spans_of_a_relation_may_lack_a_label(name: str) -> None:
    bare = {"start": 14, "end": 17, "label": None}
    verb = {"start": 10, "end": 13, "label": None}
    relations = [MET | {"child_span": bare, "color": "#fff"}, MET | {"child_span": verb}]
    records, said = read(name, RECORD | {"relations": relations})
    document = records[0]
    assert isinstance(document, Document)
    assert document.relations == [Relation(ANNA, "met", BOB), Relation(ANNA, "met", Entity(10, 13, "entity"))]
    assert any("color 1" in line for line in said)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"relations": [MET | {"head_span": None}]}, "'head_span' of a relation must be an object with start and end"),
        ({"relations": [MET | {"label": None}]}, "the type of a relation must be a non-empty string, got null"),
        ({"relations": [MET | {"head_span": {"start": 0, "end": 99}}]}, "covers characters 0-99, but the text has 17"),
        ({"spans": [{"start": 0, "end": 4, "label": "P", "text": "Bell"}]}, "'Anna', but its text is 'Bell'"),
    ],
)
def test_a_wrong_record_is_an_error(fields: dict[str, Any], message: str) -> None:
    assert message in error_of("prodigy", RECORD | fields)


def test_only_accepted_records_are_examples() -> None:
    given = [RECORD | {"answer": answer} for answer in ("reject", "accept", "ignore", "reject")]
    others = [{"text": TEXT, "spans": SPANS}, RECORD | {"_is_binary": True}]
    records, said = read("prodigy", *given, *others)
    assert [isinstance(record, Document) and record.entities for record in records] == [[ANNA, BOB]] * 3
    assert said[-3:] == [
        "records with the answer 'ignore', which are skipped: 1",
        "records with the answer 'reject', which are skipped: 2",
        "records with an answer about a single span, which does not say whether the text has other entities: 1",
    ]
    assert isinstance(read("jsonl", {"text": TEXT, "spans": SPANS, "answer": "reject"})[0][0], BadLine)


def test_texts_to_predict_lose_what_belongs_to_the_old_task() -> None:
    document = read_one("prodigy", RECORD | {"answer": "reject"}, annotation=False)
    assert document == Document(TEXT, meta={"tokens": TOKENS, "_input_hash": 8})


def test_tokens_are_added_for_relations_alone() -> None:
    document = Document(TEXT, [ANNA, BOB])
    assert json.loads(written("prodigy", document)) == {
        "text": TEXT,
        "spans": [{"start": e.start, "end": e.end, "label": "PER"} for e in (ANNA, BOB)],
    }
    document.relations = [Relation(ANNA, "met", BOB)]
    assert json.loads(written("prodigy", document)) == {
        "text": TEXT,
        "tokens": TOKENS,
        "spans": SPANS,
        "relations": [MET],
    }
    inside = Document("Annabell", [Entity(0, 4, "x", 0.5)], [Relation(Entity(0, 4, "x"), "r", Entity(4, 8, "x"))])
    fields = json.loads(written("prodigy", inside))
    assert [token["text"] for token in fields["tokens"]] == ["Anna", "bell"]
    assert [fields["relations"][0][name] for name in ("head", "child")] == [0, 1]
    assert fields["spans"][0]["score"] == 0.5


def test_tokens_that_are_none_are_left_out_and_counted() -> None:
    document = Document(TEXT, [ANNA], meta={"tokens": ["Anna", "Bell"], "spans": 1, "source": 2})
    assert json.loads(written("prodigy", document)) == {
        "text": TEXT,
        "source": 2,
        "spans": [{"start": 0, "end": 9, "label": "PER"}],
    }
    assert sum(FORMATS["prodigy"].count_losses(document).values()) == 2


@pytest.mark.parametrize(
    ("fields", "format"),
    [
        (RECORD, "prodigy"),
        ({"text": TEXT, "_input_hash": 1}, "prodigy"),
        ({"text": TEXT, "spans": [], "answer": "ignore"}, "prodigy"),
        ({"text": TEXT, "spans": SPANS}, "prodigy"),
        ({"text": TEXT, "spans": [{"start": 0, "end": 9, "label": "PER"}]}, "jsonl"),
        ({"text": TEXT, "answer": "accept"}, "jsonl"),
    ],
)
def test_its_records_are_detected(fields: dict[str, Any], format: str) -> None:
    assert detected(fields) == format


@pytest.mark.parametrize("name", ["prodigy", "doccano"])
@pytest.mark.parametrize("answer", ["reject", "ignore"])
def test_the_answer_of_another_task_does_not_hide_a_record(name: str, answer: str) -> None:
    document = Document(TEXT, [ANNA], meta={"answer": answer, "note": "x"})
    assert read_one(name, json.loads(written(name, document))) == Document(TEXT, [ANNA], meta={"note": "x"})
    assert dict(FORMATS[name].count_losses(document)) == {NAMES_TAKEN: 1}
    kept = Document(TEXT, [ANNA], meta={"answer": "accept"})
    assert read_one(name, json.loads(written(name, kept))) == kept
