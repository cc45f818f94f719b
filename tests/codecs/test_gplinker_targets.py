"""Encoding of gold relations: the targets, the unreachable items with their reasons, and decoding of ideal scores."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from support.fakes import characters, codec_of, wordpiece

from ie_cli.codecs.base import Targets
from ie_cli.codecs.relations import ABSENT, APART, NO_PREDICATE, NO_TYPES
from ie_cli.data.label_schema import LabelSchema
from ie_cli.document import Document, Entity, Relation, Spo
from ie_cli.encoding.alignment import INSIDE_TOKEN, NO_LABEL
from ie_cli.encoding.tokenizer import TextTokenizer
from ie_cli.encoding.windows import WindowPlan
from ie_cli.triples import ROLES, locate

CHARACTERS = TextTokenizer(characters())
TYPED = LabelSchema(("P", "Q"), ("p", "q"))
ROLE = LabelSchema(ROLES, ("p", "q"))


PLAN = WindowPlan(20, 8)


def gold(
    document: Document, schema: LabelSchema, plan: WindowPlan = PLAN, tokenizer: TextTokenizer = CHARACTERS
) -> Targets:
    [tokens] = tokenizer.encode([document.text])
    return codec_of(schema).encode(document, tokens, plan)


def triple(a: tuple[int, int, str], predicate: str, b: tuple[int, int, str]) -> Relation:
    return Relation(Entity(*a), predicate, Entity(*b))


def test_a_typed_model_learns_all_entities_a_role_model_those_of_relations() -> None:
    document = Document("abcdefgh", [Entity(6, 8, "Q")], [triple((0, 2, "P"), "q", (1, 4, "Q"))])
    typed, roles = gold(document, TYPED), gold(document, ROLE)
    assert sorted(typed.columns["spans"].tolist()) == [[0, 0, 1], [1, 1, 3], [1, 6, 7]]
    assert sorted(roles.columns["spans"].tolist()) == [[0, 0, 1], [1, 1, 3]]
    assert typed.columns["links"].tolist() == roles.columns["links"].tolist() == [[1, 0, 1, 1, 3]]
    assert (typed.counts, roles.counts) == (
        {"entities": 3, "relations": 1},
        {"entities": 0, "relations": 1},
    )


def test_a_model_of_entities_looks_at_no_relation() -> None:
    document = Document("abcdefgh", [Entity(6, 8, "Q")], [triple((0, 2, "P"), "q", (1, 4, "Q"))])
    found = gold(document, LabelSchema(("P", "Q")))
    assert found.columns.keys() == {"spans"}
    assert found.columns["spans"].tolist() == [[1, 6, 7]]
    assert found.counts == {"entities": 1}


def test_unreachable_items_are_reported_with_the_reason() -> None:
    constrained = LabelSchema(("P", "Q"), ("p", "q"), {"p": (("P", "Q"),)}, constrained=True)
    document = Document(
        "abcdefghij" * 4,
        [],
        [
            triple((0, 2, "P"), "new", (4, 5, "Q")),
            triple((0, 2, "P"), "p", (4, 5, "X")),
            triple((0, 2, "Q"), "p", (4, 5, "Q")),
            triple((0, 2, "P"), "p", (35, 36, "Q")),
            triple((0, 2, "P"), "p", (4, 5, "Q")),
        ],
    )
    found = gold(document, constrained)
    assert {reason for _, reason in found.unreachable["relations"]} == {NO_PREDICATE, NO_LABEL, NO_TYPES, APART}
    assert (found.counts["relations"], len(found.columns["links"])) == (5, 1)


def test_boundaries_inside_tokens_are_reported() -> None:
    tokenizer = TextTokenizer(wordpiece())
    document = Document("Anna Müller", [], [triple((0, 4, "P"), "p", (6, 8, "Q"))])
    [(lost, reason)] = gold(document, ROLE, tokenizer=tokenizer).unreachable["relations"]
    assert (lost, reason) == (("Anna", "p", "ül"), INSIDE_TOKEN)


def test_triples_without_offsets_take_a_place_that_the_tokens_can_reach() -> None:
    tokenizer = TextTokenizer(wordpiece())
    text = "brownfox fox jumps"
    spos = [Spo("fox", "p", "jumps"), Spo("own", "p", "jumps"), Spo("cat", "p", "jumps")]
    document = Document(text, [], locate(text, spos, "nearest").relations, spos=spos)
    found = gold(document, ROLE, tokenizer=tokenizer)
    assert len(found.columns["links"]) == 1
    assert found.counts["relations"] == 3
    assert {lost[0]: reason for lost, reason in found.unreachable["relations"]} == {"own": ABSENT, "cat": ABSENT}


def test_a_triple_with_several_places_is_one_item() -> None:
    text = "A-B-A"
    spos = [Spo("A", "p", "B"), Spo("A", "p", "B")]
    [tokens] = CHARACTERS.encode([text])
    document = Document(text, [], locate(text, spos, "all").relations, spos=spos)
    found = codec_of(ROLE).encode(document, tokens, WindowPlan(20, 8), mentions="all")
    assert (found.counts["relations"], len(found.columns["links"]), found.unreachable["relations"]) == (1, 2, [])


@given(st.data())
def test_every_window_has_the_gold_that_it_contains(data: st.DataObject) -> None:
    length = data.draw(st.integers(1, 30))
    plan = WindowPlan(data.draw(st.integers(4, 12)), 2)
    span = st.tuples(st.integers(0, length - 1), st.integers(1, 4)).map(lambda s: (s[0], min(length, s[0] + s[1])))
    relations = [triple((*a, "P"), "p", (*b, "Q")) for a, b in data.draw(st.lists(st.tuples(span, span), max_size=4))]
    found = gold(Document("x" * length, [], relations), ROLE, plan)
    starts = plan.starts(length).tolist()
    taught = 0
    for first in starts:
        window = codec_of(ROLE).window(found, first, plan.capacity, 0)
        spans, links = window["spans"], window["links"]
        shifted = codec_of(ROLE).window(found, first, plan.capacity, 2)
        assert (shifted["spans"] - spans == [0, 2, 2]).all()
        assert (shifted["links"] - links == [0, 2, 2, 2, 2]).all()
        assert links.size == 0 or (links[:, 1:].min() >= 0 and links[:, 1:].max() < plan.capacity)
        for _, a, b, c, d in links.tolist():
            assert [0, a, b] in spans.tolist()
            assert [1, c, d] in spans.tolist()
        taught += len(links)
    held = {
        relation
        for relation in set(relations)
        if any(
            first <= min(e.start for e in (relation.subject, relation.object))
            and max(e.end for e in (relation.subject, relation.object)) <= first + plan.capacity
            for first in starts
        )
    }
    assert len(found.columns["links"]) == len(held)
    assert len(found.unreachable["relations"]) == len(set(relations) - held)
    assert {reason for _, reason in found.unreachable["relations"]} <= {APART}
    assert taught >= len(found.columns["links"])
