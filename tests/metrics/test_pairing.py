"""The sweep finds the same pairs as comparing all items; a note reports an exceeded limit."""

from __future__ import annotations

from difflib import SequenceMatcher

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ie_cli.document import Document, Entity, Relation
from ie_cli.evaluation.result import ErrorSummary
from ie_cli.metrics import entity_errors, relation_errors
from ie_cli.metrics.pairing import count_overlapping, one_to_one, overlapping
from ie_cli.metrics.relations import Argument, Item
from ie_cli.triples import Span

SPANS = st.tuples(st.integers(0, 12), st.integers(1, 6)).map(lambda pair: (pair[0], pair[0] + pair[1]))
ENTITIES = st.sets(st.builds(lambda span, label: Entity(*span, label), SPANS, st.sampled_from("XYZ")), max_size=12)
NAMES = st.text(st.sampled_from("aab"), max_size=7)


def items(argument: st.SearchStrategy[Argument]) -> st.SearchStrategy[set[Item]]:
    labels = st.tuples(st.sampled_from("XY"), st.sampled_from("XY"))
    return st.sets(st.builds(Item, argument, st.sampled_from("pqr"), argument, labels), max_size=12)


ITEMS = st.one_of(st.tuples(items(SPANS), items(SPANS)), st.tuples(items(NAMES), items(NAMES)))


def plain_entity_pairs(missed: set[Entity], invented: set[Entity]) -> list[tuple[Entity, Entity]]:
    """Compare all items with each other."""
    candidates = []
    for a in missed:
        for b in invented:
            shared = min(a.end, b.end) - max(a.start, b.start)
            if shared > 0:
                union = max(a.end, b.end) - min(a.start, b.start)
                candidates.append(((-shared / union, a.label != b.label), a, b))
    return one_to_one(candidates)


def plain_share(a: Argument, b: Argument) -> float:
    if a == b:
        return 1.0
    if isinstance(a, str) and isinstance(b, str):
        shared = SequenceMatcher(None, a, b, autojunk=False).find_longest_match().size
        shared = shared if 2 * shared >= min(len(a), len(b)) else 0
        return shared / (len(a) + len(b) - shared)
    assert isinstance(a, tuple)
    assert isinstance(b, tuple)
    return max(0, min(a[1], b[1]) - max(a[0], b[0])) / (max(a[1], b[1]) - min(a[0], b[0]))


def plain_relation_pairs(missed: set[Item], invented: set[Item]) -> list[tuple[Item, Item]]:
    """Compare all items with each other."""
    candidates = []
    for a in missed:
        for b in invented:
            if a.predicate == b.predicate or (a.subject, a.object) == (b.subject, b.object):
                share = plain_share(a.subject, b.subject) * plain_share(a.object, b.object)
                if share > 0:
                    candidates.append(((-share, a.predicate != b.predicate, a.labels != b.labels), a, b))
    return one_to_one(candidates)


@given(st.lists(SPANS, max_size=15), st.lists(SPANS, max_size=15))
def test_the_sweep_finds_each_pair_once(gold: list[Span], predicted: list[Span]) -> None:
    found = list(overlapping(enumerate(gold), enumerate(predicted), lambda item: item[1]))
    pairs = [
        (a, b) for a in enumerate(gold) for b in enumerate(predicted) if min(a[1][1], b[1][1]) > max(a[1][0], b[1][0])
    ]
    assert sorted(found) == pairs
    assert count_overlapping(gold, predicted) == len(pairs)


@given(ENTITIES, ENTITIES)
def test_entities_are_paired_as_each_with_each(gold: set[Entity], predicted: set[Entity]) -> None:
    missed, invented = gold - predicted, predicted - gold
    assert entity_errors._pairs(missed, invented) == (plain_entity_pairs(missed, invented), False)


@given(ITEMS)
def test_relations_are_paired_as_each_with_each(sides: tuple[set[Item], set[Item]]) -> None:
    missed, invented = sides[0] - sides[1], sides[1] - sides[0]
    assert relation_errors._pairs(missed, invented) == (plain_relation_pairs(missed, invented), False)


@given(st.text(st.sampled_from("abc"), max_size=14), st.text(st.sampled_from("abc"), max_size=14))
def test_what_texts_share_is_what_difflib_finds(a: str, b: str) -> None:
    assert relation_errors._share(a, b) == plain_share(a, b)


@given(ENTITIES, ENTITIES)
def test_above_the_limit_only_entities_with_the_same_span_are_paired(gold: set[Entity], predicted: set[Entity]) -> None:
    missed, invented = gold - predicted, predicted - gold
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(entity_errors, "MAX_PAIRS", -1)
        pairs, truncated = entity_errors._pairs(missed, invented)
    assert truncated
    spans = [[(e.start, e.end) for e in side] for side in (missed, invented)]
    assert sorted((a.start, a.end) for a, _ in pairs) == sorted(
        span for span in set(spans[0]) for _ in range(min(spans[0].count(span), spans[1].count(span)))
    )
    assert all((a.start, a.end) == (b.start, b.end) for a, b in pairs)
    assert len({a for a, _ in pairs}) == len({b for _, b in pairs}) == len(pairs)


@given(ITEMS)
def test_above_the_limit_only_relations_with_the_same_arguments_are_paired(
    sides: tuple[set[Item], set[Item]],
) -> None:
    missed, invented = sides[0] - sides[1], sides[1] - sides[0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(relation_errors, "MAX_PAIRS", -1)
        pairs, truncated = relation_errors._pairs(missed, invented)
    assert truncated
    arguments = [[(item.subject, item.object) for item in side] for side in (missed, invented)]
    assert len(pairs) == sum(min(side.count(name) for side in arguments) for name in set(arguments[0]))
    assert all((a.subject, a.object) == (b.subject, b.object) for a, b in pairs)


def test_a_crowded_document_is_reported_and_no_error_is_lost() -> None:
    size = 700
    gold = Document("x" * 3000, [Entity(n, 2000 + n, "X") for n in range(size)])  # all overlap
    predicted = Document(gold.text, [Entity(n, 2000 + n, "Y") for n in range(200)] + [Entity(2999, 3000, "X")])
    found = entity_errors.EntityErrors()
    found.add(gold, predicted)
    counted = {"correct": 0, "label": 200, "missed": size - 200, "invented": 1}
    assert (found.counts, found.truncated, found.notes) == (counted, 0, ())
    predicted.entities += [Entity(n, 2000 + n, "Z") for n in range(100, 400)]  # 350,000 pairs
    found.add(gold, predicted)
    assert found.counts == {"correct": 0, "label": 600, "missed": 2 * size - 600, "invented": 102}
    [note] = found.notes
    assert note.startswith("1 document exceeded the limit of overlapping errors: only entities with the same span")
    line = ErrorSummary.of(found).line()
    assert line.endswith(found.notes[0])


def test_relations_above_the_limit_are_noted() -> None:
    subject = Entity(0, 1, "X")
    gold = Document("x" * 3000, [], [Relation(subject, "p", Entity(n, 2000 + n, "X")) for n in range(600)])
    predicted = Document(gold.text, [], [Relation(subject, "q", Entity(n, 2000 + n, "X")) for n in range(600)])
    found = relation_errors.RelationErrors()
    found.add(gold, predicted)
    assert (found.counts["predicate"], found.truncated, found.notes) == (600, 0, ())
    predicted.relations = [Relation(subject, "p", Entity(n, 2001 + n, "X")) for n in range(600)]
    found.add(gold, predicted)
    assert (found.truncated, found.counts["missed"]) == (1, 600)
    assert "only triples with the same two arguments are paired" in found.notes[0]
