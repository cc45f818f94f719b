"""DuEE: events, also as entities and relations; mentions without offsets; losses and errors."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ie_cli.document import Argument, Document, Entity, Event, Relation
from ie_cli.formats import FORMATS, BadLine, Reading, Record
from ie_cli.formats.duee import ENTITIES_LOST, LABELS_LOST, RELATIONS_LOST, count_losses, write

TEXT = "星辰科技昨日裁员，星辰科技称有三百人"
LAYOFF = {
    "event_type": "组织关系-裁员",
    "trigger": "裁员",
    "trigger_start_index": 6,
    "arguments": [
        {"argument_start_index": 0, "role": "裁员方", "argument": "星辰科技", "alias": []},
        {"argument_start_index": 15, "role": "人数", "argument": "三百人", "alias": []},
    ],
    "class": "组织关系",
}
FIELDS: dict[str, Any] = {"id": "1", "text": TEXT, "event_list": [LAYOFF], "source": 3}
TRIGGER, FIRM, PEOPLE = Entity(6, 8, "组织关系-裁员"), Entity(0, 4, "裁员方"), Entity(15, 18, "人数")
EVENT = Event(
    "组织关系-裁员", (6, 8), (Argument("裁员方", Entity(0, 4, "entity")), Argument("人数", Entity(15, 18, "entity")))
)
RELATIONS = [Relation(TRIGGER, "裁员方", FIRM), Relation(TRIGGER, "人数", PEOPLE)]


def read(*records: Any, **options: Any) -> list[Record]:
    lines = [json.dumps(fields, ensure_ascii=False) for fields in records]
    return list(FORMATS["duee"].read(enumerate(lines, 1), "x.json", Reading(**options)))


def without_offsets(**changes: Any) -> dict[str, Any]:
    arguments = [{name: value for name, value in a.items() if "index" not in name} for a in LAYOFF["arguments"]]  # type: ignore[attr-defined]
    event = {name: value for name, value in LAYOFF.items() if "index" not in name}
    return {"text": TEXT, "event_list": [event | {"arguments": arguments} | changes]}


def losses(document: Document) -> dict[str, int]:
    return {what: count for what, count in count_losses(document).items() if count}


def test_events_are_also_entities_and_relations() -> None:
    reported: list[str] = []
    [document] = read(FIELDS, report=reported.append)
    assert isinstance(document, Document)
    assert document.events == [EVENT]
    assert set(document.entities) == {TRIGGER, FIRM, PEOPLE}
    assert set(document.relations) == set(RELATIONS)
    assert (document.id, document.meta, reported) == ("1", {"source": 3}, [])
    assert losses(document) == {}
    [back] = read(json.loads(write(document)))
    assert back == document
    [unread] = read(FIELDS, annotation=False)
    assert unread == Document(TEXT, id="1", meta={"source": 3})


def test_predicted_relations_become_events() -> None:
    document = Document(TEXT, [TRIGGER, FIRM, PEOPLE], RELATIONS, "1", {"source": 3})
    written = json.loads(write(document))
    assert sorted(written["event_list"][0]["arguments"], key=str) == sorted(LAYOFF["arguments"], key=str)  # type: ignore[call-overload]
    assert {k: v for k, v in written["event_list"][0].items() if k != "arguments"} == {
        k: v for k, v in LAYOFF.items() if k != "arguments"
    }
    assert losses(document) == {}
    other = Document(TEXT, [Entity(0, 2, "x")], [Relation(TRIGGER, "裁员方", Entity(0, 4, "firm"))])
    assert json.loads(write(other))["event_list"] == []
    assert losses(other) == {ENTITIES_LOST: 1, RELATIONS_LOST: 1}


def test_the_labels_of_arguments_are_lost() -> None:
    labelled = Event("x", None, (Argument("r", Entity(0, 4, "firm")),))
    document = Document(TEXT, events=[labelled])
    assert losses(document) == {LABELS_LOST: 1}
    [back] = read(json.loads(write(document)))
    assert isinstance(back, Document)
    assert back.events == [Event("x", None, (Argument("r", Entity(0, 4, "entity")),))]
    assert (back.entities, back.relations) == ([Entity(0, 4, "r")], [])


def test_mentions_without_offsets_are_located() -> None:
    reported: list[str] = []
    [document] = read(without_offsets(), report=reported.append)
    assert isinstance(document, Document)
    [event] = document.events
    # Of two occurrences, the argument is the one that is nearest to the trigger.
    assert set(event.arguments) == {
        Argument("裁员方", Entity(9, 13, "entity")),
        Argument("人数", Entity(15, 18, "entity")),
    }
    assert reported == [
        "x.json: mentions without offsets: 3; with several possible positions: 1; not found in the text: 0"
    ]


def test_mentions_that_are_not_in_the_text_are_counted() -> None:
    reported: list[str] = []
    [document] = read(without_offsets(trigger="解雇"), report=reported.append)
    assert isinstance(document, Document)
    assert document.events[0].trigger is None
    assert document.relations == []
    assert reported[0].endswith("not found in the text: 1, first in x.json:1: 解雇")


def test_fields_that_are_not_kept_are_counted() -> None:
    reported: list[str] = []
    event = LAYOFF | {"class": "其他", "time": "今天"}
    event["arguments"] = [{**LAYOFF["arguments"][0], "alias": ["星辰"]}]  # type: ignore[index]
    read({**FIELDS, "event_list": [event]}, report=reported.append)
    assert reported == ["x.json: fields of events and arguments that are not kept: time 1, alias 1, class 1"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"event_type": ""}, "event_list[0]: 'event_type' must be a non-empty string, got \"\""),
        ({"trigger_start_index": 5}, "event_list[0]: entity '组织关系-裁员' covers characters 5-7, which are '日裁'"),
        ({"trigger_start_index": "6"}, "event_list[0]: entity '组织关系-裁员': start must be an integer, got '6'"),
        ({"trigger": 3}, "event_list[0]: 'trigger' must be a non-empty string, got 3"),
        ({"arguments": {}}, "event_list[0]: 'arguments' must be a list, got {}"),
        ({"arguments": [{"role": "x"}]}, "event_list[0]: arguments[0]: 'argument' must be a non-empty string, got null"),
        ({"arguments": [{"argument": "星"}]}, "event_list[0]: arguments[0]: no field 'role'"),
    ],
)  # fmt: skip
def test_a_bad_event_is_reported_with_its_place(change: dict[str, Any], message: str) -> None:
    good, bad = read(FIELDS, {**FIELDS, "event_list": [LAYOFF | change]})
    assert isinstance(good, Document)
    assert isinstance(bad, BadLine)
    assert bad.error.message.startswith(f"x.json:2: {message}"), bad.error.message
    assert bad.error.hint


def test_texts_without_events_are_counted() -> None:
    reported: list[str] = []
    assert read({"text": "a"}, report=reported.append) == [Document("a")]
    assert reported == ["x.json: records without a field 'event_list', which count as texts without events: 1 of 1"]
    [bad] = FORMATS["jsonl"].read([(1, json.dumps(FIELDS, ensure_ascii=False))], "x.json", Reading())
    assert isinstance(bad, BadLine)
    assert "'event_list', which belongs to the format duee" in bad.error.message
