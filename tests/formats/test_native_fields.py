"""Pairs and events in native JSON Lines, user fields of the same names, and what other formats lose."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fuzz_targets import require_slices
from support.random_documents import FOREIGN_EVENTS
from typer.testing import CliRunner

from ie_cli.cli import app
from ie_cli.document import Argument, Document, Entity, Event, Relation
from ie_cli.formats import FORMATS, BadLine, Reading, Record, hub, read_records
from ie_cli.formats.common.base import EVENTS_LOST, PAIRS_LOST, OffsetError

TEXT = "Ann met Bob in Rome"
TRIGGER = {"start": 4, "end": 7, "text": "met"}
ROME = {"role": "place", "start": 15, "end": 19, "label": "city", "text": "Rome"}
BOB = {"role": "guest", "start": 8, "end": 11, "text": "Bob"}
MEETING = {"type": "meeting", "trigger": TRIGGER, "arguments": [BOB, ROME]}
EVENT = Event(
    "meeting", (4, 7), (Argument("guest", Entity(8, 11, "entity")), Argument("place", Entity(15, 19, "city")))
)


def read(fields: dict[str, Any], *, annotation: bool = True) -> Record:
    [record] = FORMATS["jsonl"].read([(1, json.dumps(fields))], "x", Reading(annotation=annotation))
    return record


def read_one(fields: dict[str, Any], *, annotation: bool = True) -> Document:
    record = read(fields, annotation=annotation)
    assert isinstance(record, Document), record
    record.where = None
    return record


def writer(name: str) -> Callable[[Document], str]:
    write = FORMATS[name].write
    assert write is not None
    return write


def native(document: Document) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(writer("jsonl")(document))
    return fields


def test_a_record_of_events() -> None:
    fields = {"text": TEXT, "entities": [], "events": [MEETING, {"type": "visit", "arguments": []}]}
    document = read_one(fields)
    assert document == Document(TEXT, events=[EVENT, Event("visit")])
    assert native(document) == fields


def test_scores_of_events_and_arguments_are_rounded_and_come_back() -> None:
    event = Event("meeting", None, (Argument("place", Entity(15, 19, "city", 0.12345678)),), 0.98765432)
    fields = native(Document(TEXT, events=[event]))
    assert fields["events"] == [{"type": "meeting", "arguments": [{**ROME, "score": 0.123457}], "score": 0.987654}]
    [back] = read_one(fields).events
    assert (back.score, back.arguments[0].entity.score) == (0.987654, 0.123457)


def test_null_is_as_good_as_nothing() -> None:
    nulls = {"role": "guest", "start": 8, "end": 11, "text": None, "label": None, "score": None}
    [event] = read_one(
        {"text": TEXT, "events": [{"type": "meeting", "trigger": None, "arguments": [nulls], "score": None}]}
    ).events
    assert event == Event("meeting", None, (Argument("guest", Entity(8, 11, "entity")),))


def changed(what: str, **fields: Any) -> dict[str, Any]:
    """Read the record of an event with fields changed in its trigger, its second argument or itself; ... removes one."""
    event = json.loads(json.dumps(MEETING))
    part = {"event": event, "trigger": event["trigger"], "argument": event["arguments"][1]}[what]
    part.update(fields)
    for name in [name for name, value in fields.items() if value is ...]:
        del part[name]
    return {"text": TEXT, "events": [{"type": "visit", "arguments": []}, event]}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (changed("event", type=""), "an event's type must be a non-empty string, got ''"),
        (changed("event", type=3), "an event's type must be a non-empty string, got 3"),
        (changed("event", type="\ud83d"), "the type '\\ud83d' contains a lone surrogate"),
        (changed("event", type=...), "an event lacks type: "),
        (changed("event", arguments=...), "an event lacks arguments: "),
        (changed("event", arguments={}), "'arguments' must be a list, got {}"),
        (changed("event", arguments=["Rome"]), 'an argument must be an object with role, start and end, got "Rome"'),
        (changed("event", trigger="met"), 'a trigger must be an object with start and end, or null, got "met"'),
        (changed("event", score="high"), 'a score must be a finite number, got "high"'),
        (changed("trigger", end=...), 'a trigger lacks end: {"start": 4, "text": "met"}'),
        (changed("trigger", end=4), "trigger: entity 'meeting' covers characters 4-4: it is empty"),
        (changed("trigger", end=6), "trigger: entity 'meeting' covers characters 4-6, which are 'me', but its text is 'met'"
         " (its end seems to be inclusive)"),
        (changed("trigger", start=True), "trigger: entity 'meeting': start must be an integer, got True"),
        (changed("trigger", end=20), "trigger: entity 'meeting' covers characters 4-20, but the text has 19"),
        (changed("argument", role=...), "an argument lacks role: "),
        (changed("argument", role=""), "a role must be a non-empty string, got ''"),
        (changed("argument", role=1), "a role must be a non-empty string, got 1"),
        (changed("argument", role="\ud83d"), "the role '\\ud83d' contains a lone surrogate"),
        (changed("argument", start=..., end=...), "an argument lacks start, end: "),
        (changed("argument", label=5), "argument 'place': an entity's label must be a non-empty string, got 5"),
        (changed("argument", label=""), "argument 'place': an entity's label must be a non-empty string, got ''"),
        (changed("argument", text="rome"), "argument 'place': entity 'city' covers characters 15-19, which are 'Rome', but its"
         " text is 'rome'"),
        (changed("argument", end="19"), "argument 'place': entity 'city': end must be an integer, got '19'"),
        (changed("argument", end=20), "argument 'place': entity 'city' covers characters 15-20, but the text has 19"),
        (changed("argument", score=True), "argument 'place': a score must be a finite number, got true"),
    ],
)  # fmt: skip
def test_invalid_events_are_reported_with_their_place(fields: dict[str, Any], message: str) -> None:
    bad = read(fields)
    assert isinstance(bad, BadLine)
    assert bad.error.message.startswith(f"x:1: events[1]: {message}")
    assert bad.error.hint
    assert read_one(fields, annotation=False) == Document(TEXT)


def test_something_else_among_events_is_an_error() -> None:
    bad = read({"text": TEXT, "events": [MEETING, "nothing"]})
    assert isinstance(bad, BadLine)
    assert bad.error.message == 'x:1: events[1]: an event must be an object with type and arguments, got "nothing"'
    assert "the trigger may be omitted" in str(bad.error.hint)


def test_spans_outside_their_text_keep_what_determines_their_units() -> None:
    bad = read(changed("argument", start=15, end=25, text=...))
    assert isinstance(bad, BadLine)
    assert isinstance(bad.error, OffsetError)
    assert (bad.error.text, bad.error.span, bad.error.mention) == (TEXT, (15, 25), None)


@pytest.mark.parametrize("annotation", [True, False])
@pytest.mark.parametrize("value", FOREIGN_EVENTS)
def test_events_of_another_form_are_the_users(value: Any, annotation: bool) -> None:
    fields = {"text": TEXT, "entities": [], "events": value}
    document = read_one(fields, annotation=annotation)
    assert document == Document(TEXT, meta={"events": value})
    assert native(document) == fields


def test_a_record_of_a_pair() -> None:
    fields = {"id": 1, "text": "a", "text_pair": "b", "entities": [], "label": "same", "score": 4.5, "source": "mine"}
    document = read_one(fields)
    assert document == Document("a", [], [], 1, {"source": "mine"}, text_pair="b", label="same", score=4.5)
    assert native(document) == fields
    assert list(native(document)) == list(fields)


@pytest.mark.parametrize("score", [0.1 + 0.2, 3, 1e-9, 10**18 + 1])
def test_the_score_of_a_pair_is_data_and_not_rounded(score: float) -> None:
    assert repr(native(read_one({"text": "a", "text_pair": "", "score": score}))["score"]) == repr(score)


@pytest.mark.parametrize("annotation", [True, False])
@pytest.mark.parametrize("pair", [{}, {"text_pair": None}, {"text_pair": ["b"]}, {"text_pair": 5}])
@pytest.mark.parametrize("label", ["spam", "", None, 3, ["a", "b"], {"a": 1}, True])
@pytest.mark.parametrize("score", [0.5, "high", None, [1]])
def test_without_a_second_text_a_label_and_a_score_are_the_users(
    pair: dict[str, Any], label: Any, score: Any, annotation: bool
) -> None:
    fields = {"text": "a", "entities": [], **pair, "label": label, "score": score}
    document = read_one(fields, annotation=annotation)
    assert document == Document("a", meta={**pair, "label": label, "score": score})
    assert native(document) == fields


@pytest.mark.parametrize("annotation", [True, False])
@pytest.mark.parametrize("label", ["", None, 3, 2.5, ["a", "b"], {"a": 1}, True, "\ud83d"])
@pytest.mark.parametrize("score", ["high", None, [1], True, 10**400])
def test_next_to_a_text_pair_invalid_labels_and_scores_are_user_fields(
    label: Any, score: Any, annotation: bool
) -> None:
    fields = {"text": "a", "text_pair": "b", "entities": [], "label": label, "score": score}
    document = read_one(fields, annotation=annotation)
    assert document == Document("a", meta={"label": label, "score": score}, text_pair="b")
    assert native(document) == fields


def test_input_of_prediction_is_the_texts_and_the_user_fields() -> None:
    fields = {
        "id": 1,
        "text": TEXT,
        "text_pair": "b",
        "label": "same",
        "score": 1,
        "events": [MEETING],
        "source": "mine",
    }
    document = read_one(fields, annotation=False)
    assert document == Document(TEXT, id=1, meta={"source": "mine"}, text_pair="b")


def test_what_a_document_holds_comes_before_fields_of_its_name() -> None:
    meta = {"text_pair": "x", "label": "y", "score": 9, "events": [MEETING]}
    document = Document(TEXT, meta=meta, events=[Event("visit")], text_pair="b", label="same", score=1.0)
    assert read_one(native(document)) == Document(TEXT, events=[Event("visit")], text_pair="b", label="same", score=1.0)


def test_fields_of_another_format_in_our_form_are_read_as_ours() -> None:
    line = json.dumps(
        {"text": TEXT, "spo_list": [], "text_pair": "b", "label": "same", "score": 2, "events": [MEETING]}
    )
    [document] = FORMATS["duie"].read([(1, line)], "x", Reading())
    assert isinstance(document, Document)
    assert FORMATS["jsonl"].count_losses(document) == {}
    back = read_one(native(document))
    assert (back.meta, back.events, back.text_pair, back.label, back.score) == ({}, [EVENT], "b", "same", 2)


def test_events_of_another_format_that_would_spoil_the_line_are_left_out_and_counted() -> None:
    document = Document(TEXT, meta={"events": changed("argument", end=99)["events"], "x": 1})
    assert sum(FORMATS["jsonl"].count_losses(document).values()) == 1
    assert read_one(native(document)) == Document(TEXT, meta={"x": 1})


_PARTS = st.deferred(
    lambda: (
        st.lists(_PARTS, max_size=2)
        | st.dictionaries(st.sampled_from(["type", "trigger", "arguments", "role", "start", "end", "label"]), _PARTS)
        | st.sampled_from(["a", "", 0, 1, 2, -1, True, None, 0.5, "\ud83d"])
    )
)
_ALMOST = st.fixed_dictionaries(
    {"type": st.sampled_from(["a", ""]), "arguments": st.lists(st.fixed_dictionaries({"role": _PARTS}), max_size=1)},
    optional={"trigger": _PARTS, "score": _PARTS},
)


@given(st.lists(_ALMOST | _PARTS, max_size=3) | _PARTS, st.booleans())
def test_any_events_are_read_or_rejected_or_kept(value: Any, annotation: bool) -> None:
    record = read({"text": "ab", "events": value}, annotation=annotation)
    if isinstance(record, BadLine):
        assert annotation
        # An object with a type, a start and an end may also be an entity in a field with an unknown name.
        assert record.error.message.startswith(
            ("x:1: events[", "x:1: no field 'entities', but 'events' has the form of")
        )
        return
    require_slices(record)
    assert not record.events or "events" not in record.meta
    assert "events" not in record.meta or native(record)["events"] == value
    record.where = None
    record.events.sort()
    assert read_one(native(record)) == record


WITH_SOME = {"jsonl", "html", "pairs", "dygie", "oneie", "duee"}
"""The formats that can express pairs or events."""
OTHERS = [name for name, format in FORMATS.items() if format.write is not None and name not in WITH_SOME]


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize(
    ("document", "reported"),
    [
        (Document(TEXT, events=[EVENT, EVENT, Event("visit")]), {EVENTS_LOST: 2}),
        (Document(TEXT, text_pair=""), {PAIRS_LOST: 1}),
        (Document(TEXT, text_pair="b", label="same", score=1.0), {PAIRS_LOST: 1}),
        (Document(TEXT, score=0.0), {PAIRS_LOST: 1}),
        (Document(TEXT, events=[EVENT], label="same"), {EVENTS_LOST: 1, PAIRS_LOST: 1}),
        (Document(TEXT), {}),
    ],
)
def test_other_formats_count_what_they_lose(name: str, document: Document, reported: dict[str, int]) -> None:
    assert {what: count for what, count in FORMATS[name].count_losses(document).items() if count} == reported
    plain = Document(TEXT)
    assert writer(name)(document) == writer(name)(plain)


def test_a_page_loses_nothing_of_them() -> None:
    document = Document(TEXT, events=[EVENT], text_pair="b <", label="same", score=4.5)
    assert not any(FORMATS["html"].count_losses(document).values())
    page = writer("html")(document)
    assert all(part in page for part in ("meeting", "guest", "place", "city", "b &lt;", "same", "4.5"))


def test_convert_reports_what_is_lost(tmp_path: Any) -> None:
    source = tmp_path / "in.jsonl"
    fields = [{"text": TEXT, "events": [MEETING]}, {"text": "a", "text_pair": "b", "label": "same"}]
    source.write_text("".join(json.dumps(record) + "\n" for record in fields), encoding="utf-8")
    run = CliRunner().invoke(app, ["convert", str(source), str(tmp_path / "out.json"), "--to", "cluener"])
    assert run.exit_code == 0, run.output
    assert f"{EVENTS_LOST}: 1" in " ".join(run.stderr.split())
    assert f"{PAIRS_LOST}: 1" in " ".join(run.stderr.split())
    again = CliRunner().invoke(app, ["convert", str(source), str(tmp_path / "out.jsonl")])
    assert again.exit_code == 0, again.output
    lines = (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [{"entities": [], **record} for record in fields]


@pytest.mark.parametrize("annotation", [True, False])
def test_rows_of_a_dataset_are_native_records(monkeypatch: pytest.MonkeyPatch, annotation: bool) -> None:
    class Rows(list[dict[str, Any]]):
        features = dict.fromkeys(("text", "text_pair", "label", "events", "relations"))

    side = {"start": 0, "end": 3, "label": "person"}
    relations = [{"subject": side, "predicate": "p", "object": side}]
    row = {"text": TEXT, "text_pair": "b", "label": "same", "events": [MEETING], "relations": relations}
    monkeypatch.setattr(hub, "load_rows", lambda source, report: Rows([row]))
    [document] = read_records("hub:x", reading=Reading(annotation=annotation))
    person = Entity(0, 3, "person")
    whole = Document(TEXT, [], [Relation(person, "p", person)], events=[EVENT], text_pair="b", label="same")
    assert document == (whole if annotation else Document(TEXT, text_pair="b"))
