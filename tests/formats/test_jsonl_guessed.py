"""Native lines of relations whose data gave texts alone: marked, with the triples if the relations do not reproduce them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ie_cli.document import Document, Entity, Relation, Spo
from ie_cli.formats import FORMATS, BadLine, Reading, Record

TEXT = "甲乙丙丁戊己BBC8"
MENTION = st.sampled_from([*TEXT[:6], "BBC", "8"])
ABSENT = st.sampled_from(["庚", "辛", "甲丙"])
PREDICATE = st.sampled_from(["p", "q"])
SLOT = st.sampled_from(["inWork", "onDate"])


def spo(subject: str, predicate: str, object_: str, **slots: str) -> Spo:
    return Spo(subject, predicate, object_, tuple(sorted(slots.items())))


def spos(subject: st.SearchStrategy[str], value: st.SearchStrategy[str]) -> st.SearchStrategy[Spo]:
    return st.builds(
        lambda s, p, o, slots: spo(s, p, o, **slots),
        subject,
        PREDICATE,
        MENTION,
        st.dictionaries(SLOT, value, max_size=2),
    )


def read(name: str, line: str, **options: Any) -> Record:
    [record] = FORMATS[name].read([(1, line)], "x", Reading(**options))
    return record


def read_one(name: str, line: str, **options: Any) -> Document:
    record = read(name, line, **options)
    assert isinstance(record, Document), record
    return record


def written(name: str, annotated: Document) -> str:
    write = FORMATS[name].write
    assert write is not None
    return write(annotated)


def from_duie(*spos: Spo, text: str = TEXT, **meta: Any) -> Document:
    """Return an example with located triples, as the reader of DuIE returns it."""
    return read_one("duie", written("duie", Document(text, meta=meta, spos=list(spos))))


def native(*spos: Spo, text: str = TEXT, **meta: Any) -> dict[str, Any]:
    """Return the fields of the native record of some triples."""
    fields: dict[str, Any] = json.loads(written("jsonl", from_duie(*spos, text=text, **meta)))
    return fields


def through_native(*spos: Spo, text: str = TEXT) -> list[Spo]:
    """Convert duie to native to duie, and return the sorted triples."""
    there = read_one("jsonl", json.dumps(native(*spos, text=text)))
    back = read_one("duie", written("duie", there))
    assert back.text == text
    assert back.spos is not None
    return sorted(back.spos)


# Base triples whose mentions all occur in the text, each with a distinct value, so that slots round-trip.
PLACED = st.lists(
    spos(MENTION, MENTION | ABSENT), max_size=5, unique_by=lambda spo: (spo.predicate, spo.object)
)  # fmt: skip
HOMELESS = st.builds(spo, ABSENT, PREDICATE, MENTION | ABSENT)
ANY = spos(MENTION | ABSENT | st.sampled_from(["bbc", "BB"]), MENTION | ABSENT)


@given(PLACED, st.lists(HOMELESS, max_size=2))
def test_triples_with_separate_values_round_trip(placed: list[Spo], homeless: list[Spo]) -> None:
    assert set(through_native(*placed, *homeless)) == {*placed, *homeless}


@example([spo("庚", "p", "乙", inWork="丙")])
@given(st.lists(ANY, max_size=4))
def test_any_triples_come_back(some: list[Spo]) -> None:
    assert set(through_native(*some)) == set(some)


@pytest.mark.parametrize(
    "some",
    [
        pytest.param([spo("庚", "p", "乙", inWork="丙")], id="slot placed, base not"),
        pytest.param([spo("甲", "p", "乙", inWork="丙"), spo("甲", "p", "乙", onDate="丁")], id="two of one base"),
        pytest.param([spo("甲", "p", "乙", inWork="丙"), spo("丁", "p", "乙")], id="one value, one with slots"),
        pytest.param([spo("bbc", "p", "乙")], id="another case"),
        pytest.param([spo("甲", "p", "乙", inWork="丙"), spo("丁", "p", "乙", inWork="戊")], id="crossed slots"),
    ],
)
def test_nothing_is_added_in_a_round_trip(some: list[Spo]) -> None:
    assert through_native(*some) == sorted(some)


def test_located_triples_need_no_list() -> None:
    fields = native(spo("甲", "p", "乙", inWork="丙"), spo("丁", "q", "戊"))
    assert fields["offsets"] == "guessed"
    assert "triples" not in fields
    assert [relation["predicate"] for relation in fields["relations"]] == ["p", "p.inWork", "q"]


def test_unlocated_triples_are_listed_in_the_layout_of_duie() -> None:
    fields = native(spo("甲", "p", "乙"), spo("庚", "p", "乙"))
    assert fields["triples"][1:] == [
        {
            "predicate": "p",
            "subject": "庚",
            "subject_type": "entity",
            "object": {"@value": "乙"},
            "object_type": {"@value": "entity"},
        }
    ]


def test_a_triple_with_an_unlocated_slot_round_trips() -> None:
    whole = spo("甲", "p", "乙", inWork="庚", onDate="丁")
    fields = native(whole)
    assert [relation["predicate"] for relation in fields["relations"]] == ["p", "p.onDate"]
    assert len(fields["triples"]) == 1
    assert through_native(whole) == [whole]


def test_types_of_unlocated_triples_round_trip() -> None:
    given = Spo("庚", "p", "乙", (("inWork", "辛"),), "人物", "奖项", (("inWork", "作品"),))
    [back] = read_one("jsonl", json.dumps(native(given))).spos or []
    assert (back.subject_type, back.object_type, back.slot_types) == ("人物", "奖项", (("inWork", "作品"),))


def test_no_triples_at_all_stay_a_list() -> None:
    assert native() == {"text": TEXT, "entities": [], "offsets": "guessed"}
    assert read_one("jsonl", json.dumps(native())).spos == []


def test_data_with_offsets_are_not_marked_as_guessed() -> None:
    relation = Relation(Entity(0, 1, "a"), "p", Entity(1, 2, "b"))
    fields = json.loads(written("jsonl", Document(TEXT, [], [relation])))
    assert set(fields) == {"text", "entities", "relations"}
    assert read_one("jsonl", json.dumps(fields)).spos is None


@given(PLACED, st.lists(HOMELESS, max_size=2))
def test_a_native_record_is_written_as_it_was_read(placed: list[Spo], homeless: list[Spo]) -> None:
    line = written("jsonl", from_duie(*placed, *homeless))
    assert written("jsonl", read_one("jsonl", line)) == line


META = st.dictionaries(
    st.text(max_size=4).filter(lambda name: name not in {"id", "text", "entities", "relations", "offsets"}),
    st.none() | st.integers() | st.text(max_size=3) | st.lists(st.booleans(), max_size=2),
    max_size=3,
)


@given(META, st.lists(HOMELESS, max_size=1))
def test_fields_of_the_user_go_through(meta: dict[str, Any], homeless: list[Spo]) -> None:
    line = json.dumps(native(spo("甲", "p", "乙"), *homeless, **meta))
    back = read_one("jsonl", line)
    assert back.meta == meta
    assert read_one("duie", written("duie", back)).meta == meta


@pytest.mark.parametrize("triples", [[], [spo("庚", "p", "乙")]])
def test_text_to_predict_has_neither_mark_nor_list(triples: list[Spo]) -> None:
    line = json.dumps(native(spo("甲", "p", "乙"), *triples, source="mine"))
    assert read_one("jsonl", line, annotation=False) == Document(TEXT, meta={"source": "mine"})


@pytest.mark.parametrize("value", [[[0, 1]], "exact", "Guessed", None, True, {"guessed": 1}])
@pytest.mark.parametrize("annotation", [True, False])
def test_offsets_of_another_meaning_are_the_users(value: Any, annotation: bool) -> None:
    line = json.dumps({"text": TEXT, "offsets": value, "triples": "mine"})
    found = read_one("jsonl", line, annotation=annotation)
    assert (found.meta, found.spos) == ({"offsets": value, "triples": "mine"}, None)
    assert json.loads(written("jsonl", found)) == {**json.loads(line), "entities": []}


@pytest.mark.parametrize(
    ("triples", "message"),
    [
        ("spam", "'spo_list' must be a list, got \"spam\""),
        ([3], "a triple must be an object with subject, predicate and object, got 3"),
        ([{"subject": "甲", "predicate": "p"}], 'a triple lacks object: {"subject": "甲", "predicate": "p"}'),
    ],
)
def test_an_invalid_list_is_reported_with_its_place(triples: Any, message: str) -> None:
    bad = read("jsonl", json.dumps({"text": TEXT, "offsets": "guessed", "triples": triples}))
    assert isinstance(bad, BadLine)
    assert bad.error.message == f"x:1: {message}"


@pytest.mark.parametrize("name", ["offsets", "entities", "relations"])
def test_a_field_of_duie_data_never_replaces_a_native_field(name: str) -> None:
    assert through_native_with(name) == [spo("甲", "p", "乙")]


def through_native_with(name: str) -> list[Spo] | None:
    """Return the triples of a native record if the DuIE data have a field of that name too."""
    return read_one("jsonl", json.dumps(native(spo("甲", "p", "乙"), **{name: "mine"}))).spos
