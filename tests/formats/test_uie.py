"""UIE: prompts that are grouped to documents, relations by the texts of their subjects, losses and errors."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ie_cli.document import Document, Entity, Relation
from ie_cli.formats import FORMATS, BadLine, Reading, Record
from ie_cli.formats.uie import ENTITIES_LOST, RELATIONS_CHANGED, count_losses, separating_writer, write

TEXT = "周雨晨毕业于青川大学，其后周雨晨住在云州"
ZHOU, AGAIN, SCHOOL, CITY = (
    Entity(0, 3, "人物"),
    Entity(13, 16, "人物"),
    Entity(6, 10, "学校"),
    Entity(18, 20, "entity"),
)


def prompt(name: str, *entities: Entity, text: str = TEXT, **more: Any) -> dict[str, Any]:
    results = [{"text": text[e.start : e.end], "start": e.start, "end": e.end} for e in entities]
    return {"content": text, "result_list": results, "prompt": name, **more}


def read(*records: Any, **options: Any) -> list[Record]:
    lines = [json.dumps(fields, ensure_ascii=False) if isinstance(fields, dict) else fields for fields in records]
    return list(FORMATS["uie"].read(enumerate(lines, 1), "x.json", Reading(**options)))


def losses(document: Document) -> dict[str, int]:
    return {what: count for what, count in count_losses(document).items() if count}


PEOPLE, SCHOOLS = prompt("人物", ZHOU, AGAIN), prompt("学校", SCHOOL)


def test_consecutive_prompts_are_one_document() -> None:
    reported: list[str] = []
    relations = prompt("周雨晨的毕业院校", SCHOOL), prompt("周雨晨的住地", CITY)
    found = read(PEOPLE, SCHOOLS, *relations, prompt("人物", text="云州"), report=reported.append)
    document = Document(
        TEXT, [ZHOU, AGAIN, SCHOOL], [Relation(ZHOU, "毕业院校", SCHOOL), Relation(AGAIN, "住地", CITY)]
    )
    assert found == [document, Document("云州")]
    assert [record.where for record in found] == ["x.json:1", "x.json:5"]
    assert reported == ["x.json: relations whose subject has several possible positions: 2 of 2"]
    assert losses(document) == {}
    assert read(*write(document).splitlines()) == [document]
    assert read(PEOPLE, SCHOOLS, annotation=False) == [Document(TEXT)]


def test_other_fields_separate_documents() -> None:
    first, second = read(PEOPLE | {"id": 1}, SCHOOLS | {"id": 2, "source": "x"})
    assert first == Document(TEXT, [ZHOU, AGAIN], id=1)
    assert second == Document(TEXT, [SCHOOL], id=2, meta={"source": "x"})
    assert isinstance(second, Document)
    assert read(*write(second).splitlines()) == [second]


def test_equal_texts_that_follow_each_other_stay_separate_documents() -> None:
    reported: list[str] = []
    first, second = Document(TEXT, [SCHOOL]), Document(TEXT, [Entity(0, 3, "人物"), SCHOOL])
    nothing = Document(TEXT)
    documents = [first, second, nothing, nothing, second]
    write_next = separating_writer(())
    lines = [line for document in documents for line in write_next(document).splitlines()]
    assert read(*lines, report=reported.append) == documents
    assert reported == []
    texts = FORMATS["uie"].read(enumerate(lines, 1), "x.json", Reading(annotation=False))
    assert list(texts) == [nothing] * 5


def test_lines_of_a_text_that_are_not_consecutive_are_counted() -> None:
    reported: list[str] = []
    found = read(PEOPLE, prompt("人物", text="云州"), SCHOOLS, report=reported.append)
    assert len(found) == 3
    assert reported[0].startswith("x.json: documents that lack annotation, because other records with their text are")
    assert reported[0].endswith("in the file: 1; sort the records by 'content' first")


@pytest.mark.parametrize(
    ("text", "name", "subject", "predicate"),
    [
        ("王伟住在青川", "王伟的住地", (0, 2), "住地"),
        ("我的家的门", "我的家的门", (0, 3), "门"),  # the longest subject
        ("Ann met Bob", "friend of Ann", (0, 3), "friend"),
        ("Bank of Ann, Bob", "head of Bank of Ann", (0, 11), "head"),
        ("xAnn Ann", "friend of Ann", (5, 8), "friend"),
    ],
)
def test_a_prompt_with_a_subject_is_a_relation(text: str, name: str, subject: tuple[int, int], predicate: str) -> None:
    last = Entity(len(text) - 1, len(text), "entity")
    [document] = read(prompt(name, last, text=text))
    assert isinstance(document, Document)
    assert document.relations == [Relation(Entity(*subject, "entity"), predicate, last)]
    assert document.entities == []


def test_a_prompt_without_its_subject_in_the_text_is_a_label() -> None:
    [document] = read(prompt("公司的名称", Entity(0, 2, "x"), text="蓝鳍裁员"))
    assert document == Document("蓝鳍裁员", [Entity(0, 2, "公司的名称")])


def test_prompts_with_options_are_counted() -> None:
    reported: list[str] = []
    options = {"content": TEXT, "prompt": "情感[正向,负向]", "result_list": [{"text": "正向", "start": -6, "end": -4}]}
    assert read(SCHOOLS, options, report=reported.append) == [Document(TEXT, [SCHOOL])]
    assert reported == ["x.json: prompts with options, which are not read: 1"]


def test_what_is_read_back_differently_is_counted() -> None:
    ann, bob, again = Entity(0, 3, "x"), Entity(8, 11, "x"), Entity(12, 15, "x")
    labels = Document("Ann met Bob Ann", [Entity(0, 3, "friend of Ann"), Entity(0, 3, "a[b]"), ann])
    assert losses(labels) == {ENTITIES_LOST: 2}
    nearest = Document("Ann met Bob Ann", [ann, bob, again], [Relation(ann, "p", bob), Relation(again, "p", bob)])
    assert losses(nearest) == {RELATIONS_CHANGED: 1}
    assert losses(Document("Ann met Bob Ann", [ann], [Relation(ann, "p", bob)])) == {RELATIONS_CHANGED: 1}  # its type


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"prompt": "人物", "result_list": []}, "'content' must be a string, got null"),
        (PEOPLE | {"prompt": None}, "'prompt' must be a string, got null"),
        (PEOPLE | {"prompt": ""}, "'prompt' must not be empty if there are results"),
        (PEOPLE | {"result_list": {}}, "'result_list' must be a list, got {}"),
        (PEOPLE | {"result_list": [{"text": "周", "start": 0, "end": 2}]}, "entity 'entity' covers characters 0-2, which"),
        (PEOPLE | {"id": []}, "'id' must be a string or an integer, got []"),
        ("{", "not valid JSON"),
    ],
)  # fmt: skip
def test_a_bad_prompt_is_an_error_of_its_document(bad: Any, message: str) -> None:
    own = isinstance(bad, dict) and bad.get("content") == TEXT and "id" not in bad
    before, found, after = read(prompt("x", text="一"), bad, prompt("x", text="二"))
    assert (before, after) == (Document("一"), Document("二"))
    assert isinstance(found, BadLine)
    assert found.error.message.startswith(f"x.json:2: {message}"), found.error.message
    assert found.error.hint
    if own:  # the text would lack annotation
        [whole] = read(SCHOOLS, bad, prompt("x", text=TEXT))
        assert isinstance(whole, BadLine)
        assert (whole.where, whole.raw.count("\n")) == ("x.json:1", 2)
        assert whole.error.message.startswith(f"x.json:2: {message}")
