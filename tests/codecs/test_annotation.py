"""The annotations of several tasks for one document are merged into one."""

from __future__ import annotations

from copy import deepcopy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ie_cli.codecs.base import Annotation
from ie_cli.document import Entity, Relation

SCORES = st.none() | st.floats(0.01, 1.0)
ENTITIES = st.builds(Entity, st.integers(0, 2), st.integers(3, 4), st.sampled_from("xy"), SCORES)
RELATIONS = st.builds(Relation, ENTITIES, st.sampled_from("pq"), ENTITIES, SCORES)
ANNOTATIONS = st.builds(
    Annotation,
    st.lists(ENTITIES, max_size=5, unique=True).map(sorted),
    st.lists(RELATIONS, max_size=5, unique=True).map(sorted),
)
KINDS = ("entities", "relations")


def summed(*parts: Annotation) -> Annotation:
    whole = Annotation()
    for part in parts:
        whole.add(part)
    return whole


def best(parts: tuple[Annotation, ...], kind: str) -> dict[object, float]:
    """Return each item with its highest score; no score is the lowest."""
    found: dict[object, float] = {}
    for part in parts:
        for item in getattr(part, kind):
            found[item] = max(found.get(item, 0.0), item.score or 0.0)
    return found


@given(parts=st.lists(ANNOTATIONS, max_size=4).map(tuple))
def test_items_of_all_parts_are_there_once_in_order_with_their_best_score(parts: tuple[Annotation, ...]) -> None:
    before = deepcopy(parts)
    whole = summed(*parts)
    for kind in KINDS:
        items = getattr(whole, kind)
        assert items == sorted(set(items))
        assert {item: item.score or 0.0 for item in items} == best(parts, kind)
    assert repr(parts) == repr(before)  # what was added is not touched


@given(one=ANNOTATIONS, other=ANNOTATIONS)
def test_the_order_of_the_parts_does_not_matter(one: Annotation, other: Annotation) -> None:
    for kind in KINDS:
        scores = [
            [(item, item.score) for item in getattr(whole, kind)] for whole in (summed(one, other), summed(other, one))
        ]
        assert scores[0] == scores[1]


@pytest.mark.parametrize("kind", KINDS)
def test_a_part_alone_stays_as_it_is(kind: str) -> None:
    """Also its order, which is the decoder's."""
    some = [Entity(3, 4, "x", 0.2), Entity(0, 4, "y")]
    items = some if kind == "entities" else [Relation(*some[:1], "p", some[1]), Relation(some[1], "p", some[0])]
    part = Annotation(**{kind: items})
    assert getattr(summed(part), kind) == items
    assert getattr(summed(Annotation(), part, Annotation()), kind) == items


def test_relations_of_one_part_join_entities_of_another() -> None:
    subject, object_ = Entity(0, 2, "x", 0.9), Entity(3, 4, "y", 0.8)
    found = summed(Annotation([subject]), Annotation([object_], [Relation(subject, "p", object_, 0.5)]))
    assert (found.entities, found.relations) == ([subject, object_], [Relation(subject, "p", object_)])
