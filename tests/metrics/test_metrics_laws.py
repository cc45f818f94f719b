"""Properties of entity and relation scores, including cases in which other tools differ."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.references import pair_counts, ratios

from ie_cli.document import Document, Entity, Relation
from ie_cli.metrics.entities import Counts, EntityScorer
from ie_cli.metrics.relations import Match, RelationScorer

TEXT = "abab cd"
Pairs = list[tuple[Document, Document]]
SCORERS: dict[str, Callable[[], EntityScorer | RelationScorer]] = {
    "entities": EntityScorer,
    "strict": lambda: RelationScorer(match="strict", entities=True),
    "boundaries": lambda: RelationScorer(match="boundaries", entities=True),
    "text": lambda: RelationScorer(match="text", entities=True),
}
KINDS = st.sampled_from(list(SCORERS))

ENTITY = st.builds(
    lambda start, size, label: Entity(start, min(len(TEXT), start + size), label),
    st.integers(0, 6),
    st.integers(1, 3),
    st.sampled_from("XY"),
)
RELATION = st.builds(Relation, ENTITY, st.sampled_from("pq"), ENTITY)


@st.composite
def corpora(draw: st.DrawFn) -> Pairs:
    """Draw gold and predictions with much in common; nested, overlapping and repeated items, and empty sides."""
    pairs = []
    for _ in range(draw(st.integers(0, 4))):
        names, triples = draw(st.lists(ENTITY, max_size=5)), draw(st.lists(RELATION, max_size=5))
        sides = [
            Document(
                TEXT,
                draw(st.lists(st.sampled_from(names), max_size=6)) if names else [],
                draw(st.lists(st.sampled_from(triples), max_size=6)) if triples else [],
            )
            for _ in range(2)
        ]
        pairs.append((sides[0], sides[1]))
    return pairs


def scores(kind: str, pairs: Pairs) -> Any:
    scorer = SCORERS[kind]()
    for gold, predicted in pairs:
        scorer.add(gold, predicted)
    return scorer.scores()


def entity(start: int, end: int, label: str = "X") -> Entity:
    return Entity(start, end, label)


def counted(gold: list[Entity], predicted: list[Entity]) -> Any:
    return scores("entities", [(Document(TEXT, gold), Document(TEXT, predicted))])


@settings(max_examples=60)
@given(kind=KINDS, pairs=corpora())
def test_the_order_of_documents_and_of_items_changes_nothing(kind: str, pairs: Pairs) -> None:
    def turned(document: Document) -> Document:
        return replace(document, entities=document.entities[::-1], relations=document.relations[::-1])

    other = [(turned(gold), turned(predicted)) for gold, predicted in reversed(pairs)]
    assert scores(kind, pairs) == scores(kind, other)


@settings(max_examples=60)
@given(kind=KINDS, pairs=corpora())
def test_gold_for_prediction_is_precision_for_recall(kind: str, pairs: Pairs) -> None:
    one, other = scores(kind, pairs), scores(kind, [(predicted, gold) for gold, predicted in pairs])
    assert (one.precision, one.recall, one.f1) == (other.recall, other.precision, other.f1)
    assert one.macro_f1 == pytest.approx(other.macro_f1, abs=1e-15)
    if kind != "entities":
        a, b = one.entities.micro, other.entities.micro
        assert a == Counts(b.predicted, b.gold, b.correct)


@settings(max_examples=60)
@given(kind=KINDS, pairs=corpora())
def test_gold_itself_as_prediction_is_all_right(kind: str, pairs: Pairs) -> None:
    found = scores(kind, [(gold, gold) for gold, _ in pairs])
    parts = [found] if kind == "entities" else [found, found.entities]
    for part in parts:
        assert part.micro.gold == part.micro.predicted == part.micro.correct
        assert part.precision == part.recall == part.f1 == part.macro_f1 == bool(part.micro.gold)


@settings(max_examples=60)
@given(kind=KINDS, pairs=corpora(), cut=st.integers(0, 4))
def test_counts_of_two_halves_add_up_to_those_of_the_whole(kind: str, pairs: Pairs, cut: int) -> None:
    whole, *halves = (scores(kind, part) for part in (pairs, pairs[:cut], pairs[cut:]))

    def added(counts: list[Counts]) -> Counts:
        return Counts(*(sum(getattr(c, name) for c in counts) for name in ("gold", "predicted", "correct")))

    assert whole.micro == added([half.micro for half in halves])
    part = "labels" if kind == "entities" else "predicates"
    for name, counts in getattr(whole, part).items():
        assert counts == added([getattr(half, part).get(name, Counts()) for half in halves])
    assert whole.boundaries == added([half.boundaries for half in halves])


WAYS: dict[Match, Callable[[Relation, Relation], bool]] = {
    "strict": lambda a, b: a == b,
    "boundaries": lambda a, b: a.predicate == b.predicate and all(
        (x.start, x.end) == (y.start, y.end) for x, y in ((a.subject, b.subject), (a.object, b.object))
    ),
    "text": lambda a, b: a.predicate == b.predicate and all(
        TEXT[x.start : x.end] == TEXT[y.start : y.end] for x, y in ((a.subject, b.subject), (a.object, b.object))
    ),
}  # fmt: skip


@settings(max_examples=60)
@given(match=st.sampled_from(list(WAYS)), pairs=corpora())
def test_relations_are_counted_as_by_comparing_all_pairs(match: Match, pairs: Pairs) -> None:
    mine = scores(match, pairs)
    every = [pair_counts(gold.relations, predicted.relations, WAYS[match]) for gold, predicted in pairs]
    total = tuple(map(sum, zip(*every, strict=True))) or (0, 0, 0)
    assert mine.micro == Counts(*total)
    assert (mine.precision, mine.recall, mine.f1) == pytest.approx(ratios(*total), abs=1e-15)
    f1 = []
    for predicate in "pq":
        sides = [[[r for r in e.relations if r.predicate == predicate] for e in pair] for pair in pairs]
        own = tuple(map(sum, zip(*(pair_counts(*side, WAYS[match]) for side in sides), strict=True))) or (0, 0, 0)
        assert mine.predicates.get(predicate, Counts()) == Counts(*own)
        f1 += [ratios(*own)[2]] if own[0] or own[1] else []
    assert mine.macro_f1 == pytest.approx(sum(f1) / len(f1) if f1 else 0.0, abs=1e-15)


@settings(max_examples=60)
@given(kind=KINDS, pairs=corpora())
def test_no_score_is_ever_outside_0_and_1_or_no_number(kind: str, pairs: Pairs) -> None:
    found = scores(kind, pairs)
    values = [found.precision, found.recall, found.f1, found.macro_f1]
    assert all(math.isfinite(value) and 0 <= value <= 1 for value in values)
    json.dumps(found.to_dict(), allow_nan=False)


@pytest.mark.parametrize("kind", SCORERS)
@pytest.mark.parametrize("filled", ["neither", "gold", "predicted"])
def test_empty_sides_score_nothing(kind: str, filled: str) -> None:
    a, b = entity(0, 2), entity(5, 7)
    full, empty = Document(TEXT, [a, b], [Relation(a, "p", b)]), Document(TEXT)
    gold, predicted = (full if filled == side else empty for side in ("gold", "predicted"))
    found = scores(kind, [(gold, predicted)] * 2)
    count = 2 if kind == "entities" else 1
    counts = {"neither": Counts(), "gold": Counts(2 * count), "predicted": Counts(0, 2 * count)}[filled]
    assert (found.micro, found.boundaries) == (counts, counts)
    assert (found.precision, found.recall, found.f1, found.macro_f1) == (0, 0, 0, 0)
    assert (found.labels if kind == "entities" else found.predicates) == (
        {} if filled == "neither" else {"X" if kind == "entities" else "p": counts}
    )
    # An empty document among others changes nothing.
    assert scores(kind, [(full, full), (empty, empty)]) == scores(kind, [(full, full)])


def test_what_is_given_twice_counts_once() -> None:
    twice = [entity(0, 2), entity(0, 2)]
    assert counted(twice, [entity(0, 2)]).micro == Counts(1, 1, 1)
    assert counted([entity(0, 2)], twice).micro == Counts(1, 1, 1)
    assert counted(twice, []).micro == Counts(1, 0, 0)
    # In another document, it is a different item.
    pair = (Document(TEXT, twice), Document(TEXT, twice))
    assert scores("entities", [pair, pair]).micro == Counts(2, 2, 2)


def test_nested_and_overlapping_gold_count_each_for_itself() -> None:
    gold = [entity(0, 4), entity(0, 2), entity(1, 3), entity(5, 7)]
    assert counted(gold, gold).micro == Counts(4, 4, 4)
    assert counted(gold, [entity(0, 4), entity(5, 7)]).micro == Counts(4, 2, 2)
    # A prediction that overlaps a gold entity does not affect the prediction that equals it.
    assert counted([entity(0, 2)], [entity(0, 4), entity(1, 3), entity(0, 2)]).micro == Counts(1, 3, 1)


def test_two_labels_of_one_span_are_two_entities_with_the_same_boundaries() -> None:
    both = [entity(0, 2, "X"), entity(0, 2, "Y")]
    found = counted(both, [entity(0, 2, "Y")])
    assert (found.micro, found.boundaries) == (Counts(2, 1, 1), Counts(1, 1, 1))
    assert found.labels == {"X": Counts(1, 0, 0), "Y": Counts(1, 1, 1)}
    # If only the label is wrong, the boundaries are still correct.
    assert counted(both, [entity(0, 2, "Z")]).boundaries == Counts(1, 1, 1)


def test_a_label_of_predictions_alone_costs_precision_and_macro() -> None:
    found = counted([entity(0, 2, "X")], [entity(0, 2, "X"), entity(5, 7, "Z")])
    assert found.labels == {"X": Counts(1, 1, 1), "Z": Counts(0, 1, 0)}
    assert (found.precision, found.recall, found.f1, found.macro_f1) == (0.5, 1, pytest.approx(2 / 3), 0.5)
    assert found.to_dict()["labels"]["Z"] == Counts(0, 1, 0).to_dict()
    assert Counts(0, 1, 0).recall == 0


def test_a_predicate_of_predictions_alone_costs_precision_and_macro() -> None:
    a, b = entity(0, 2), entity(5, 7)
    gold, predicted = Document(TEXT, [], [Relation(a, "p", b)]), Document(TEXT, [], [Relation(a, x, b) for x in "pz"])
    found = scores("strict", [(gold, predicted)])
    assert found.predicates == {"p": Counts(1, 1, 1), "z": Counts(0, 1, 0)}
    assert (found.precision, found.recall, found.macro_f1) == (0.5, 1, 0.5)
