"""Documents and annotations in Python: the text of an entity, plain values, and short descriptions."""

from __future__ import annotations

import json
import traceback
from copy import deepcopy
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from support.corpora import documents, write_jsonl
from support.random_documents import native_documents
from support.untrained import write_model

import ie_cli
from ie_cli.document import Argument, Document, Entity, Event, Relation, Spo
from ie_cli.errors import DataError, ModelError
from ie_cli.formats import jsonl, read_documents

TEXT = "Ann met Bob in Rome"
ANN, BOB, ROME = Entity(0, 3, "person", 0.98), Entity(8, 11, "person"), Entity(15, 19, "city", 0.5)


def document(**named: Any) -> Document:
    relations, events = [Relation(ANN, "knows", BOB, 0.9)], [Event("meeting", (4, 7), (Argument("place", ROME),), 0.7)]
    return Document(**{"text": TEXT, "entities": [ROME, ANN, BOB], "relations": relations, "events": events, **named})


def test_an_entity_of_a_document_has_its_text() -> None:
    made = document()
    assert [entity.text for entity in made.entities] == ["Rome", "Ann", "Bob"]
    assert (made.relations[0].subject.text, made.events[0].arguments[0].entity.text) == ("Ann", "Rome")
    assert [entity.text for entity in made.events[0].entities] == ["met", "Rome"]
    assert (made.mention(ANN), made.mention((4, 7))) == ("Ann", "met")
    with pytest.raises(ValueError, match=r"Entity\(0, 1, 'x'\) is not part of a document.*document\.mention"):
        _ = Entity(0, 1, "x").text


@given(one=native_documents())
def test_every_entity_has_the_text_of_its_own_document(one: Document) -> None:
    """The same objects may become part of another document: both keep their texts, and nothing else changes."""
    before = deepcopy(one)
    other = replace(one, text="x" + one.text)
    for made in (one, other):
        sides = [side for relation in made.relations for side in (relation.subject, relation.object)]
        arguments = [argument.entity for event in made.events for argument in event.arguments]
        for entity in [*made.entities, *sides, *arguments]:
            assert entity.text == made.text[entity.start : entity.end] == made.mention(entity)
            assert replace(entity, document_text=None) == entity
    for name in ("entities", "relations", "events"):
        assert getattr(one, name) == getattr(before, name) == getattr(other, name)
        assert repr(getattr(one, name)) == repr(getattr(before, name))


@pytest.mark.parametrize(
    "line",
    [
        '{"text": "Ann slept", "entities": [{"start": 0, "end": 3, "label": "name"}]}',
        '{"text": "Ann slept", "spo_list": [{"subject": "Ann", "predicate": "did", "object": "slept", '
        '"subject_type": "name", "object_type": "act"}]}',
        '{"text": "Ann slept", "triple_list": [["Ann", "did", "slept"]]}',
        '{"text": "Ann slept", "label": {"name": {"Ann": [[0, 2]]}}}',
    ],
)
def test_readers_give_entities_their_text(line: str, tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text(line + "\n", encoding="utf-8")
    [read] = read_documents(tmp_path / "x.jsonl")
    found = [*read.entities, *(relation.subject for relation in read.relations)]
    assert {entity.text for entity in found} == {"Ann"}


@given(one=native_documents())
def test_to_dict_is_what_is_written(one: Document) -> None:
    assert json.loads(jsonl.write(one)) == json.loads(json.dumps(one.to_dict()))
    assert jsonl.from_fields(one.to_dict()) == one


def test_parts_have_the_same_fields_alone() -> None:
    fields_of = document().to_dict()
    made = document()
    assert [entity.to_dict() for entity in sorted(made.entities)] == fields_of["entities"]
    assert [relation.to_dict() for relation in made.relations] == fields_of["relations"]
    assert [event.to_dict() for event in made.events] == fields_of["events"]
    assert Entity(0, 3, "person").to_dict() == {"start": 0, "end": 3, "label": "person"}
    assert Event("meeting", (4, 7)).to_dict() == {"type": "meeting", "trigger": {"start": 4, "end": 7}, "arguments": []}


def test_triples_without_offsets_are_complete_in_a_dict_and_short_in_a_file() -> None:
    made = document(
        events=[], entities=[ANN, BOB], spos=[Spo("Ann", "knows", "Bob", subject_type="person", object_type="person")]
    )
    assert made.to_dict()["offsets"] == "guessed"
    assert [triple["object"] for triple in made.to_dict()["triples"]] == [{"@value": "Bob"}]
    assert "triples" not in json.loads(jsonl.write(made))
    assert jsonl.from_fields(made.to_dict()) == jsonl.from_fields(json.loads(jsonl.write(made))) == made


def test_descriptions_are_short() -> None:
    assert repr(Entity(0, 3, "person")) == "Entity(0, 3, 'person')"
    assert repr(document().relations) == (
        "[Relation(Entity(0, 3, 'person', text='Ann', score=0.98), 'knows', Entity(8, 11, 'person', text='Bob'), score=0.9)]"
    )
    assert repr(Document(TEXT)) == "Document('Ann met Bob in Rome')"
    assert repr(Document(TEXT, [ANN, BOB], id=7, where="a:1", meta={"source": "x" * 1000})) == (
        "Document('Ann met Bob in Rome', id=7, where='a:1', entities=[Entity(0, 3, 'person', text='Ann', score=0.98), "
        "Entity(8, 11, 'person', text='Bob')], meta={'source'})"
    )
    long = Document("字" * 10_000, [Entity(n, n + 5000, "x") for n in range(50)])
    assert repr(long).count("Entity(") == 3
    assert "… 47 more]" in repr(long)
    assert len(repr(long)) < 600


def test_the_description_of_an_annotation_has_all_its_values() -> None:
    """Duplicate texts with different annotations are found by it."""
    varied = [Entity(0, 3, "a"), Entity(1, 3, "a"), Entity(0, 4, "a"), Entity(0, 3, "b"), Entity(0, 3, "a", 0.5)]
    assert len(set(map(repr, varied))) == len(varied)
    assert len({repr(Relation(one, "p", ANN, score)) for one in varied for score in (None, 0.1)}) == 2 * len(varied)
    assert {field.name for field in fields(Entity)} == {"start", "end", "label", "score", "document_text"}


def test_predict_takes_one_text_or_several(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model")
    extractor = ie_cli.Extractor.from_pretrained(model)
    gold = documents(5)
    [streamed] = extractor.extract([gold[0]], threshold=0.5)
    assert extractor.predict(gold[0], threshold=0.5) == streamed
    assert extractor.predict(gold[0].text, threshold=0.5).entities == streamed.entities
    several = extractor.predict((one.text for one in gold), threshold=0.5, flat=True)
    assert several == list(extractor.extract([one.text for one in gold], threshold=0.5, flat=True))
    assert extractor.predict([]) == []
    assert streamed.entities
    assert all(entity.text == gold[0].text[entity.start : entity.end] for entity in streamed.entities)
    with pytest.raises(TypeError, match=r"use predict\(text\)"):
        extractor.extract("a single string")
    [read] = read_documents(write_jsonl(tmp_path / "x.jsonl", [streamed]))
    assert read.to_dict() == streamed.to_dict()


def test_the_package_lists_its_names() -> None:
    assert dir(ie_cli) == sorted(ie_cli.__all__)
    assert ie_cli.IEError in ModelError.__mro__


def test_a_traceback_shows_the_hint() -> None:
    error = DataError("x: no such file", hint="check the path.")
    assert (str(error), error.hint) == ("x: no such file", "check the path.")
    assert traceback.format_exception_only(error) == [
        "ie_cli.errors.DataError: x: no such file\n",
        "hint: check the path.\n",
    ]
    assert traceback.format_exception_only(DataError("x")) == ["ie_cli.errors.DataError: x\n"]
