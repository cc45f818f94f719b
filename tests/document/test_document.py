"""Events as members of sets; new fields of a document are keyword-only."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.random_documents import events

from ie_cli.document import Argument, Document, Entity, Event

PLACE, TIME = Argument("place", Entity(15, 19, "city")), Argument("time", Entity(20, 25, "day"))


def test_the_order_of_arguments_and_their_repetition_count_for_nothing() -> None:
    one, other = Event("meeting", (4, 7), (PLACE, TIME)), Event("meeting", (4, 7), (TIME, PLACE, TIME))
    assert (one, hash(one)) == (other, hash(other))
    assert other.arguments == (PLACE, TIME)
    assert {one} - {other} == set()


def test_scores_are_not_part_of_an_event() -> None:
    scored = Event("meeting", (4, 7), (Argument("place", Entity(15, 19, "city", 0.2)),), 0.9)
    assert scored == Event("meeting", (4, 7), (PLACE,), 0.1)
    assert hash(scored) == hash(Event("meeting", (4, 7), (PLACE,)))


@pytest.mark.parametrize(
    "other",
    [
        Event("visit", (4, 7), (PLACE,)),
        Event("meeting", (4, 8), (PLACE,)),
        Event("meeting", None, (PLACE,)),
        Event("meeting", (4, 7)),
        Event("meeting", (4, 7), (Argument("origin", PLACE.entity),)),
    ],
)
def test_everything_else_is(other: Event) -> None:
    assert other != Event("meeting", (4, 7), (PLACE,))


def test_events_without_a_trigger_come_before_those_with_one() -> None:
    some = [Event("a", (0, 1)), Event("b"), Event("a", None, (PLACE,)), Event("a"), Event("a", (0, 1), (PLACE,))]
    assert sorted(some) == [some[3], some[2], some[0], some[4], some[1]]
    with pytest.raises(TypeError):
        sorted([Event("a"), "b"])  # type: ignore[type-var]


@given(st.data())
def test_any_events_have_one_order(data: st.DataObject) -> None:
    a, b, c = data.draw(st.tuples(*[events("0123")] * 3))
    assert [a < b, a == b, a > b].count(True) == 1
    assert (a <= b, a >= b) == (not a > b, not a < b)
    assert sorted([a, b, c]) == sorted([c, a, b])


def test_the_trigger_bears_the_type_among_the_entities() -> None:
    assert Event("meeting", (4, 7), (PLACE,), 0.5).entities == (Entity(4, 7, "meeting"), PLACE.entity)
    assert Event("meeting", (4, 7), (), 0.5).entities[0].score == 0.5
    assert Event("meeting", None, (PLACE,)).entities == (PLACE.entity,)


def test_an_event_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        Event("a").type = "b"  # type: ignore[misc]


@pytest.mark.parametrize("change", [{"score": 2.0}, {"label": "b"}, {"text_pair": ""}, {"events": [Event("b")]}])
def test_labels_of_pairs_and_events_count_for_documents(change: dict[str, Any]) -> None:
    assert Document("x", text_pair="y", label="a", score=1.0) != Document(
        "x", **{"text_pair": "y", "label": "a", "score": 1.0} | change
    )


def test_new_fields_have_no_position() -> None:
    with pytest.raises(TypeError):
        Document("x", [], [], None, {}, None, None, [])  # type: ignore[misc]
