"""OneKE, IEPile and InstructIE: annotation by texts, in lists or in the answers to instructions."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ie_cli.document import Document, Entity, Relation, Spo
from ie_cli.formats import FORMATS, BadLine, Reading, Record
from ie_cli.formats.common.detect import detect
from ie_cli.formats.oneke import ADDED, ENTITIES_LOST, NO_OFFSETS, OTHER_PLACE, count_losses, write

TEXT = "周雨晨住在青川，青川在云州"
PERSON, CITY, AGAIN = Entity(0, 3, "人物"), Entity(5, 7, "地点"), Entity(8, 10, "地点")
LISTS: dict[str, Any] = {
    "id": 7,
    "text": TEXT,
    "entity": [{"entity": "周雨晨", "entity_type": "人物"}, {"entity": "青川", "entity_type": "地点"}],
    "relation": [{"head": "周雨晨", "relation": "住地", "tail": "青川", "head_type": "人物", "tail_type": "地点"}],
}
LIVES = Relation(PERSON, "住地", CITY)


def instruction(task: str, output: Any, text: str = TEXT, **more: Any) -> dict[str, Any]:
    asked = {"instruction": "你是抽取专家", "schema": ["人物"], "input": text}
    answer = output if isinstance(output, str) else json.dumps(output, ensure_ascii=False)
    return {"task": task, "instruction": json.dumps(asked, ensure_ascii=False), "output": answer, **more}


def read(*records: Any, **options: Any) -> list[Record]:
    lines = [json.dumps(fields, ensure_ascii=False) for fields in records]
    return list(FORMATS["oneke"].read(enumerate(lines, 1), "x.json", Reading(**options)))


def losses(document: Document) -> dict[str, int]:
    return {what: count for what, count in count_losses(document).items() if count}


def test_annotation_by_texts_is_located() -> None:
    reported: list[str] = []
    absent = {"entity": "何明", "entity_type": "人物"}
    fields = LISTS | {"entity": [*LISTS["entity"], absent], "cate": "人物"}
    [document] = read(fields, report=reported.append)
    assert isinstance(document, Document)
    assert (document.entities, document.relations) == ([PERSON, CITY, AGAIN], [LIVES])
    assert document.spos == [Spo("周雨晨", "住地", "青川")]
    assert (document.id, document.meta) == (7, {"cate": "人物"})
    assert reported == [
        "x.json: mentions without offsets: 3; with several possible positions: 1; not found in the text: 1, "
        "first in x.json:1: 何明",
        "x.json: triples without offsets: 1; with several possible positions: 1 (mentions: nearest); "
        "not found in the text: 0",
    ]
    [first] = read(LISTS, mentions="first")
    assert isinstance(first, Document)
    assert first.entities == [PERSON, CITY]
    assert losses(document) == {}
    assert json.loads(write(document)) == LISTS | {"cate": "人物"}
    assert read(LISTS, annotation=False) == [Document(TEXT, id=7)]


def test_the_text_may_be_named_input() -> None:
    fields = {"input": TEXT, "relation": LISTS["relation"], "output": "(周雨晨,住地,青川)", "instruction": "抽取"}
    [document] = read(fields)
    assert isinstance(document, Document)
    assert (document.text, document.relations) == (TEXT, [LIVES])


def test_consecutive_instructions_about_a_text_are_one_document() -> None:
    ner = instruction("NER", {"人物": ["周雨晨"], "企业": []}, source="a")
    more = instruction("NER", {"地点": ["青川", ""]}, source="a")
    re = instruction("RE", {"住地": [{"subject": "周雨晨", "object": "青川"}], "父亲": []}, source="a")
    other = instruction("NER", {"人物": []}, source="b")
    found = read(ner, more, re, other)
    spo = Spo("周雨晨", "住地", "青川")
    relation = Relation(Entity(0, 3, "entity"), "住地", Entity(5, 7, "entity"))
    assert found == [
        Document(TEXT, [PERSON, CITY, AGAIN], [relation], meta={"source": "a"}, spos=[spo]),
        Document(TEXT, meta={"source": "b"}),
    ]
    assert detect([(1, json.dumps(ner))], "x") == "oneke"


def test_equal_texts_of_lists_are_several_documents() -> None:
    assert len(read(LISTS, LISTS)) == 2


def test_what_is_read_back_differently_is_counted() -> None:
    inside = Entity(1, 2, "x")
    document = Document(
        "Anna met Anna", [Entity(0, 4, "p"), inside], [Relation(Entity(9, 13, "p"), "p", Entity(5, 8, "m"))]
    )
    assert losses(document) == {ENTITIES_LOST: 1, ADDED: 1, NO_OFFSETS: 1, OTHER_PLACE: 1}
    other = Document("Anna met Anna", [], [Relation(Entity(0, 4, "p"), "p", Entity(9, 13, "p"))] * 2)
    assert losses(other) == {NO_OFFSETS: 1}
    same = Relation(Entity(0, 4, "p"), "p", Entity(0, 4, "p"))
    assert losses(Document("Anna met Anna", [], [same])) == {NO_OFFSETS: 1, OTHER_PLACE: 1}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (LISTS | {"text": 3}, "'text' must be a string, got 3"),
        (LISTS | {"id": []}, "'id' must be a string or an integer, got []"),
        (LISTS | {"entity": {}}, "'entity' must be a list, got {}"),
        (LISTS | {"entity": [{"entity": "", "entity_type": "x"}]}, "'entity' must be a non-empty string, got \"\""),
        (LISTS | {"relation": [{"head": "a", "tail": "b"}]}, "no field 'relation'"),
        (LISTS | {"relation": [{"head": "a", "relation": "p", "tail": "b", "head_type": 1}]}, "'head_type' must be"),
        (instruction("EE", {}), 'instructions of the task "EE" are not read'),
        (instruction("NER", {"x": "青川"}), "'output' must map names to lists"),
        (instruction("NER", {"x": [1]}), "an entity in 'output' must be a string, got 1"),
        (instruction("NER", "{x"), "'output' is not valid JSON"),
        (instruction("RE", {"x": ["青川"]}), "'x' must contain objects"),
        (instruction("RE", {"x": [{"subject": "青川"}]}), "no field 'object'"),
        (instruction("NER", {}) | {"instruction": "{}"}, "'text' must be a string, got null"),
    ],
)  # fmt: skip
def test_a_bad_record_is_reported_with_its_place(fields: dict[str, Any], message: str) -> None:
    good, bad = read({"text": "a", "entity": []}, fields)
    assert good == Document("a")
    assert isinstance(bad, BadLine)
    assert bad.error.message.startswith(f"x.json:2: {message}"), bad.error.message
    assert bad.error.hint
