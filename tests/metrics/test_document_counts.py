"""The counts by document behind the primary score."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ie_cli.document import Document, Entity, Relation, Spo
from ie_cli.metrics.entities import EntityScorer
from ie_cli.metrics.relations import RelationScorer, items

TEXT = "abab cd"
ENTITY = st.builds(
    lambda start, size, label: Entity(start, min(len(TEXT), start + size), label),
    st.integers(0, 6),
    st.integers(1, 3),
    st.sampled_from("XY"),
)
ENTITIES = st.lists(ENTITY, max_size=5)
RELATIONS = st.lists(st.builds(Relation, ENTITY, st.sampled_from("pq"), ENTITY), max_size=5)
SPOS = st.none() | st.lists(st.builds(Spo, st.sampled_from(["ab", "cd"]), st.just("p"), st.just("b")), max_size=3)
SIDE = st.builds(lambda e, r, s: Document(TEXT, e, r, spos=s), ENTITIES, RELATIONS, SPOS)
PAIRS = st.lists(st.tuples(SIDE, SIDE), max_size=5)
Pairs = list[tuple[Document, Document]]


def scores(scorer: Any, pairs: Pairs) -> Any:
    for gold, predicted in pairs:
        scorer.add(gold, predicted)
    return scorer.scores()


@given(PAIRS)
def test_entities_of_each_document(pairs: Pairs) -> None:
    found = scores(EntityScorer(documents=True), pairs)
    sets = [(set(gold.entities), set(predicted.entities)) for gold, predicted in pairs]
    assert found.documents.gold == [len(a) for a, _ in sets]
    assert found.documents.predicted == [len(b) for _, b in sets]
    assert found.documents.correct == [len(a & b) for a, b in sets]
    assert found.micro.correct == sum(found.documents.correct)


@settings(max_examples=60)
@pytest.mark.parametrize("match", [None, "text"])
@given(pairs=PAIRS)
def test_relations_of_each_document_by_the_chosen_criterion(match: Any, pairs: Pairs) -> None:
    """If the offsets of only some documents are guessed, all documents are matched by text."""
    found = scores(RelationScorer(match=match, documents=True), pairs)
    sets = [(items(gold, found.match), items(predicted, found.match)) for gold, predicted in pairs]
    assert found.documents.gold == [len(a) for a, _ in sets]
    assert found.documents.predicted == [len(b) for _, b in sets]
    assert found.documents.correct == [len(a & b) for a, b in sets]
    micro = found.micro
    assert [micro.gold, micro.predicted, micro.correct] == [sum(part) for part in found.documents.to_dict().values()]


def test_they_are_not_counted_in_training() -> None:
    pair = (Document(TEXT, [Entity(0, 1, "X")]), Document(TEXT))
    assert scores(EntityScorer(), [pair]).documents is None
    assert scores(RelationScorer(), [pair]).documents is None


@pytest.mark.parametrize("made", [EntityScorer, RelationScorer])
def test_scores_do_not_change(made: Any) -> None:
    scorer = made(documents=True)
    document = Document(TEXT, [Entity(0, 1, "X")], [Relation(Entity(0, 1, "X"), "p", Entity(1, 2, "X"))])
    first = scores(scorer, [(document, document)])
    assert scores(scorer, [(document, document)]).documents.gold == [1, 1]
    assert first.documents.gold == [1]
