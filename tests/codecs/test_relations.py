"""Decoding of ideal scores returns the gold relations, with overlaps, windows, types and complex objects."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.fakes import SENTENCES, Ideal, score_engine

from ie_cli.codecs.base import Decoding
from ie_cli.codecs.relations import flat_roles
from ie_cli.data.label_schema import LabelSchema
from ie_cli.document import Document, Entity, Relation
from ie_cli.encoding.windows import WindowPlan
from ie_cli.inference.pipeline import extract
from ie_cli.metrics.relations import RelationScores
from ie_cli.triples import ROLES

TEXT = SENTENCES[1].replace(" ", "")  # no token ends at a space
TYPES = ("X", "Y")


def triple(a: tuple[int, int, str], predicate: str, b: tuple[int, int, str]) -> Relation:
    return Relation(Entity(*a), predicate, Entity(*b))


def predicted(documents: list[Document], schema: LabelSchema, **options: int) -> list[Document]:
    return list(extract(Ideal(documents, schema, **options).engine(), [Document(e.text) for e in documents]))


CASES = {
    "one entity in several triples": [((0, 3, "X"), "p", (4, 9, "Y")), ((0, 3, "X"), "p", (10, 15, "Y"))],
    "a chain": [((0, 3, "X"), "p", (4, 9, "X")), ((4, 9, "X"), "q", (10, 15, "Y"))],
    "two predicates on one pair": [((0, 3, "X"), "p", (4, 9, "Y")), ((0, 3, "X"), "q", (4, 9, "Y"))],
    "both directions": [((0, 3, "X"), "p", (4, 9, "X")), ((4, 9, "X"), "p", (0, 3, "X"))],
    "subject inside object": [((4, 9, "X"), "p", (0, 15, "Y"))],
    "subject and object the same span": [((4, 9, "X"), "p", (4, 9, "X"))],
    "a span of two types": [((0, 3, "X"), "p", (4, 9, "Y")), ((4, 9, "X"), "q", (10, 15, "Y"))],
    "nothing": [],
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("typed", [True, False])
def test_ideal_scores_give_the_gold(name: str, typed: bool) -> None:
    relations = [triple(*case) for case in CASES[name]]
    types = {p: (("X", "Y"),) for p in ("p", "q")}
    schema = LabelSchema(TYPES, ("p", "q")) if typed else LabelSchema(ROLES, ("p", "q"), types)
    [found] = predicted([Document(TEXT, [], relations)], schema, max_length=64)
    spans = [(r.subject.start, r.subject.end, r.predicate, r.object.start, r.object.end) for r in found.relations]
    assert spans == [
        (r.subject.start, r.subject.end, r.predicate, r.object.start, r.object.end) for r in sorted(relations)
    ]
    if typed and name != "a span of two types":
        assert found.relations == sorted(relations)
    if not typed:
        assert all((r.subject.label, r.object.label) == ("X", "Y") for r in found.relations)
        assert {entity.label for entity in found.entities} <= set(ROLES)


def test_a_constraint_chooses_the_types_that_the_predicate_joins() -> None:
    relations = [triple(*case) for case in CASES["a span of two types"]]
    types = {"p": (("X", "Y"),), "q": (("X", "Y"),)}
    schema = LabelSchema(TYPES, ("p", "q"), types, constrained=True)
    [found] = predicted([Document(TEXT, [], relations)], schema, max_length=64)
    assert found.relations == sorted(relations)


SPAN = st.tuples(st.integers(0, len(TEXT) - 1), st.integers(1, 5)).map(lambda s: (s[0], min(len(TEXT), s[0] + s[1])))


@settings(max_examples=40)
@given(st.lists(st.tuples(SPAN, st.sampled_from("pq"), SPAN), max_size=6), st.booleans(), st.sampled_from([10, 20, 64]))
def test_items_contained_in_any_window_are_found(
    drawn: list[tuple[tuple[int, int], str, tuple[int, int]]], typed: bool, max_length: int
) -> None:
    relations = [triple((*a, "X"), p, (*b, "Y")) for a, p, b in drawn]
    document = Document(TEXT, [], relations)
    types = {p: (("X", "Y"),) for p in "pq"}
    schema = LabelSchema(TYPES, ("p", "q"), types, constrained=True) if typed else LabelSchema(ROLES, ("p", "q"), types)
    ideal = Ideal([document], schema, max_length=max_length, stride=max_length // 3)
    [found] = extract(ideal.engine(), [Document(TEXT)])
    held = {relation for relation in relations if reachable(relation, ideal.plan)}
    # A relation's spans must be found by the windows that own them, which hold every span of these.
    assert held <= set(found.relations)
    scores = score_engine(ideal.engine(), [document])
    assert isinstance(scores, RelationScores)
    assert scores.ceiling is not None
    assert scores.ceiling.reachable == len(held)
    assert scores.recall == pytest.approx(len(held) / len(set(relations)) if relations else 0)


def reachable(relation: Relation, plan: WindowPlan) -> bool:
    first = min(relation.subject.start, relation.object.start)
    last = max(relation.subject.end, relation.object.end)
    return any(start <= first and last <= start + plan.capacity for start in plan.starts(len(TEXT)).tolist())


def test_relations_in_a_long_text_are_found_once_and_those_too_far_apart_are_counted() -> None:
    text = "".join(SENTENCES).replace(" ", "")
    near = [triple((at, at + 3, "X"), "p", (at + 4, at + 9, "Y")) for at in range(0, len(text) - 9, 13)]
    far = [triple((0, 3, "X"), "q", (len(text) - 5, len(text) - 2, "Y"))]
    document = Document(text, [], near + far)
    ideal = Ideal([document], LabelSchema(TYPES, ("p", "q")))
    [found] = extract(ideal.engine(), [Document(text)])
    assert found.relations == near
    scores = score_engine(ideal.engine(), [document])
    assert scores.ceiling is not None
    assert scores.ceiling.reasons == {"subject and object in no common window": 1}


def test_slots_need_their_object() -> None:
    schema = LabelSchema(ROLES, ("p", "p.slot", "r.slot"), declared=frozenset({"p.slot", "r.slot"}))
    base = triple((0, 3, "subject"), "p", (4, 9, "object"))
    slot = triple((4, 9, "subject"), "p.slot", (10, 15, "object"))
    plain = triple((4, 9, "subject"), "r.slot", (10, 15, "object"))  # r is no predicate: no slot either
    [whole] = predicted([Document(TEXT, [], [base, slot, plain])], schema, max_length=64)
    assert whole.relations == [base, slot, plain]
    [alone] = predicted([Document(TEXT, [], [slot, plain])], schema, max_length=64)
    assert alone.relations == [plain]


def test_relations_carry_the_scores_of_their_parts() -> None:
    document = Document(TEXT, [], [triple((0, 3, "X"), "p", (4, 9, "Y"))])
    [found] = predicted([document], LabelSchema(TYPES, ("p",)), max_length=64)
    [relation] = found.relations
    assert relation.score is not None
    assert relation.score == min(entity.score for entity in found.entities if entity.score is not None)
    assert [relation.subject.score, relation.object.score] == [entity.score for entity in found.entities]


def test_flat_role_models_keep_one_span_of_those_that_overlap_in_both_roles() -> None:
    found = [
        Entity(0, 3, "subject", 0.9),
        Entity(0, 3, "object", 0.6),
        Entity(2, 5, "object", 0.8),
        Entity(6, 8, "subject", 0.7),
    ]
    assert flat_roles(found) == [found[0], found[1], found[3]]


def test_flat_keeps_no_relation_of_a_span_that_it_drops() -> None:
    relations = [triple((0, 3, "X"), "p", (4, 9, "Y")), triple((0, 3, "X"), "p", (4, 6, "Y"))]
    ideal = Ideal([Document(TEXT, [], relations)], LabelSchema(ROLES, ("p",)), max_length=64)
    [found] = extract(ideal.engine(Decoding(flat=True)), [Document(TEXT)])
    assert [(r.object.start, r.object.end) for r in found.relations] == [(4, 9)]
