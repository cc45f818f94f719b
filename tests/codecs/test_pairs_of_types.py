"""Predicates that join several pairs of types: the schema, the targets, decoding, weights and what was stored before."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fakes import Ideal, codec_of, score_engine

from ie_cli.codecs.base import Decoding
from ie_cli.codecs.factors import SharedFactors
from ie_cli.codecs.links import LinkRules, decode_links
from ie_cli.codecs.spans import DecodedSpans
from ie_cli.data.label_schema import LabelSchema, schema_facts, schema_of_facts
from ie_cli.document import Document, Entity, Relation, Spo
from ie_cli.inference.pipeline import extract
from ie_cli.recipe.heads import GPLinkerSection
from ie_cli.triples import ROLES

PAIRS = Counter({("D", "p", "S"): 9, ("D", "p", "M"): 5, ("M", "q", "S"): 7})


def schema(pairs: Counter[tuple[str, str, str]] = PAIRS, **options: Any) -> LabelSchema:
    return LabelSchema.of_relations(None, pairs, **options)


def test_only_predicates_with_several_pairs_have_scores_for_pairs() -> None:
    found = schema()
    assert found.joined == (("p", "D", "S"), ("p", "D", "M"))
    assert found.links == (("p", None), ("q", None), ("p", ("D", "S")), ("p", ("D", "M")))
    assert found.names == (*ROLES, "p", "q")
    assert len(set(found.link_names)) == 4
    assert [found.label_of(name) for name in (*found.link_names, "subject")] == ["p", "q", "p", "p", "subject"]
    assert schema(Counter({("D", "p", "S"): 9})).joined == ()


def test_a_model_of_entity_types_needs_none() -> None:
    assert LabelSchema.of_relations({"D", "S", "M"}, PAIRS).joined == ()


def test_an_unknown_type_is_no_pair_and_a_schema_file_limits_the_pairs() -> None:
    untyped = Counter({("D", "p", "S"): 9, ("entity", "p", "S"): 5, ("D", "p", ""): 1})
    assert schema(untyped).joined == ()
    known = {"p": (("D", "M"), ("D", "S"), ("D", "never seen")), "q": (("M", "S"),)}
    wrong = PAIRS | Counter({("X", "p", "X"): 1})
    assert schema(wrong, known=known).joined == (("p", "D", "S"), ("p", "D", "M"))


def test_facts_of_a_schema_keep_the_pairs_and_earlier_ones_have_none() -> None:
    found = schema()
    facts = json.loads(json.dumps(schema_facts(found)))
    assert schema_of_facts(facts) == found
    assert found.as_learned(facts) == found
    del facts["joined"]
    assert schema_of_facts(facts).joined == found.as_learned(facts).joined == ()
    assert "joined" not in schema_facts(schema(Counter({("D", "p", "S"): 9})))


@pytest.mark.parametrize("joined", [{}, [["p", "D"]], [["p", "D", 1]], [["x", "D", "S"]], [["p", "D", "S"]] * 2])
def test_pairs_that_are_no_pairs_are_reported(joined: object) -> None:
    facts = json.loads(json.dumps(schema_facts(schema())))
    with pytest.raises(ValueError, match="joined must"):
        schema_of_facts({**facts, "joined": joined})


def gold(text: str, *relations: tuple[int, str, str, int, str]) -> Document:
    """A document whose relations link single characters."""
    return Document(text, [], [Relation(Entity(i, i + 1, a), p, Entity(j, j + 1, b)) for i, a, p, j, b in relations])


DOCUMENTS = [
    gold("abcde", (0, "D", "p", 2, "S"), (4, "M", "q", 2, "S")),
    gold("fghijk", (1, "D", "p", 5, "M"), (3, "D", "p", 0, "S")),
]


def test_ideal_scores_give_the_types_of_the_data() -> None:
    documents = [Document(document.text, [], sorted(document.relations)) for document in DOCUMENTS]
    engine = Ideal(documents, schema()).engine()
    assert [found.relations for found in extract(engine, documents)] == [d.relations for d in documents]
    scores = score_engine(engine, documents)
    assert (scores.strict.f1, scores.boundaries.f1) == (1.0, 1.0)
    assert not scores.ceiling.reasons
    guessing = Ideal(documents, schema().as_learned({})).engine()
    scores = score_engine(guessing, documents)
    assert (scores.strict.correct, scores.boundaries.correct) == (3, 4)


def test_a_pair_that_train_lacks_is_found_with_another_pair() -> None:
    document = gold("abc", (0, "X", "p", 2, "Y"))
    [found] = extract(Ideal([document], schema()).engine(), [document])
    [relation] = found.relations
    assert (relation.predicate, relation.subject.start, relation.object.start) == ("p", 0, 2)
    assert (relation.subject.label, relation.object.label) in {("D", "S"), ("D", "M")}


@pytest.mark.parametrize(("threshold", "count"), [(0.5, 4), (0.999999, 1)])
def test_thresholds_are_those_of_predicates(threshold: float, count: int) -> None:
    engine = Ideal(DOCUMENTS, schema()).engine(Decoding(thresholds={"p": threshold}))
    assert sum(len(found.relations) for found in extract(engine, DOCUMENTS)) == count


def test_weights_of_a_predicate_are_those_of_its_pairs() -> None:
    from ie_cli.recipe.schema import Recipe
    from ie_cli.training.setup import loss_weights

    made = Recipe.model_validate(
        {
            "name": "a",
            "task": "relation",
            "data": {"train": "x"},
            "encoder": {"name": "tiny"},
            "head": GPLinkerSection(name="gplinker"),
            "training": {"label_weights": {"p": 3.0, "object": 2.0}},
        }
    )
    weights = loss_weights(made, {"relation": codec_of(schema())})["relation"]
    assert weights is not None
    assert {matrix: values.tolist() for matrix, values in weights.items()} == {
        "entities": [1.0, 2.0],
        "start_links": [3.0, 1.0, 3.0, 3.0],
        "end_links": [3.0, 1.0, 3.0, 3.0],
    }


PREDICATES, LINKS, LENGTH = 3, 7, 5
IDS = {0: np.array([3, 5]), 2: np.array([4, 6])}


@given(st.integers(0, 10**6))
def test_pairs_change_no_triple_and_the_highest_score_decides(seed: int) -> None:
    random = np.random.default_rng(seed)
    start, end = (
        SharedFactors(
            random.normal(size=(1, LENGTH, LENGTH)).astype(np.float32),
            random.normal(size=(1, LINKS, LENGTH)).astype(np.float32),
            random.normal(size=(1, LINKS, LENGTH)).astype(np.float32),
        )
        for _ in range(2)
    )
    places = {(int(random.integers(2)), *sorted(random.integers(LENGTH, size=2).tolist())) for _ in range(6)}
    entries = np.array([(0, *place) for place in sorted(places)], dtype=np.int64)
    spans = DecodedSpans(entries, np.ones(len(entries), dtype=np.float32), frozenset())
    sides = np.array([True, False]), np.array([False, True])
    thresholds = random.normal(size=PREDICATES).astype(np.float32)
    found = decode_links(spans, start, end, LinkRules(*sides, pairs=IDS), thresholds)
    plain = decode_links(spans, start, end, LinkRules(*sides), thresholds)
    assert np.array_equal(found.entries[:, 2:], plain.entries[:, 2:])
    assert np.array_equal(found.scores, plain.scores)
    for (_, link, _, *subject, _, first, last), predicate in zip(
        found.entries.tolist(), plain.entries[:, 1].tolist(), strict=True
    ):
        if predicate not in IDS:
            assert link == predicate
            continue
        scores = {
            pair: min(
                factors.pair[0, i, j] + factors.start[0, pair, i] + factors.end[0, pair, j]
                for factors, i, j in ((start, subject[0], first), (end, subject[1], last))
            )
            for pair in IDS[predicate].tolist()
        }
        assert scores[link] == pytest.approx(max(scores.values()), abs=1e-6)


def test_without_offsets_the_types_of_the_triples_are_learned() -> None:
    document = Document("甲 乙 丙", spos=[Spo("甲", "p", "乙", (), "D", "M")])
    document.relations = [Relation(Entity(0, 1, "D"), "p", Entity(2, 3, "M"))]
    [found] = extract(Ideal([document], schema()).engine(), [document])
    assert found.relations == document.relations
