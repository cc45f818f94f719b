from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ie_cli.document import Document, Entity, Relation, Spo
from ie_cli.errors import DataError
from ie_cli.metrics.duie import OfficialCounts, OfficialScorer
from ie_cli.metrics.entities import Counts
from ie_cli.metrics.relations import Match, RelationScorer, RelationScores
from ie_cli.metrics.scores import Ceiling

TEXT = "Ann Ann Bo"
ANN, ANN2, BO = Entity(0, 3, "PER"), Entity(4, 7, "PER"), Entity(8, 10, "ORG")
LIKES = Relation(ANN, "likes", BO)


def document(*relations: Relation, where: str | None = None) -> Document:
    return Document(TEXT, [], list(relations), where=where)


def texts(*spos: Spo, where: str | None = None) -> Document:
    return Document(TEXT, [], [LIKES], spos=list(spos), where=where)


def scored(
    *pairs: tuple[Document, Document], match: Match | None = None, predicates: tuple[str, ...] = ()
) -> RelationScores:
    scorer = RelationScorer(predicates, (), match)
    for gold, predicted in pairs:
        scorer.add(gold, predicted)
    return scorer.scores()


@pytest.mark.parametrize(
    ("predicted", "strict", "boundaries", "text"),
    [
        (LIKES, 1, 1, 1),
        (Relation(ANN, "likes", BO, 0.4), 1, 1, 1),  # scores are not compared
        (Relation(ANN, "likes", Entity(8, 10, "LOC")), 0, 1, 1),
        (Relation(ANN2, "likes", BO), 0, 0, 1),  # another place of the same text
        (Relation(ANN, "hates", BO), 0, 0, 0),
        (Relation(BO, "likes", ANN), 0, 0, 0),  # direction
        (Relation(ANN, "likes", Entity(8, 9, "ORG")), 0, 0, 0),
    ],
)
def test_three_matching_criteria(predicted: Relation, strict: int, boundaries: int, text: int) -> None:
    scores = scored((document(LIKES), document(predicted)))
    assert scores.strict == Counts(1, 1, strict)
    assert scores.boundaries == Counts(1, 1, boundaries)
    assert scores.text == Counts(1, 1, text)
    assert (scores.match, scores.micro) == ("strict", scores.strict)


@pytest.mark.parametrize("match", ["strict", "boundaries", "text"])
def test_the_chosen_match_gives_the_scores(match: Match) -> None:
    other = Relation(Entity(0, 3, "ORG"), "likes", BO)
    scores = scored((document(LIKES), document(other, Relation(ANN2, "likes", BO))), match=match)
    assert scores.match == match
    assert scores.micro == {"strict": Counts(1, 2), "boundaries": Counts(1, 2, 1), "text": Counts(1, 1, 1)}[match]
    assert scores.predicates == {"likes": scores.micro}
    assert (scores.precision, scores.recall, scores.f1) == (
        scores.micro.precision,
        scores.micro.recall,
        scores.micro.f1,
    )


def test_duplicates_count_once() -> None:
    scores = scored((document(LIKES, LIKES), document(LIKES, Relation(ANN, "likes", BO, 0.5))))
    assert scores.strict == scores.boundaries == scores.text == Counts(1, 1, 1)
    # Two labels of one span are one pair of spans, and two places of one text are one text.
    both = document(LIKES, Relation(Entity(0, 3, "ORG"), "likes", BO), Relation(ANN2, "likes", BO))
    scores = scored((both, document(LIKES)))
    assert (scores.strict, scores.boundaries, scores.text) == (Counts(3, 1, 1), Counts(2, 1, 1), Counts(1, 1, 1))


def test_two_predicates_nested_spans_and_a_triple_with_itself() -> None:
    whole = Entity(0, 7, "PER")
    gold = document(LIKES, Relation(ANN, "hates", BO), Relation(ANN, "in", whole), Relation(ANN, "is", ANN2))
    predicted = document(LIKES, Relation(ANN, "in", whole), Relation(ANN, "is", ANN))
    scores = scored((gold, predicted))
    assert scores.strict == scores.boundaries == Counts(4, 3, 2)
    assert scores.text == Counts(4, 3, 3)  # "Ann is Ann" has the same texts at both places


def test_slots_are_separate_triples_by_text() -> None:
    gold = texts(Spo("Ann", "likes", "Bo", (("inArea", "x"), ("inWork", "y"))))
    predicted = document(LIKES, Relation(BO, "likes.inArea", ANN))
    scores = scored((gold, predicted))
    assert scores.match == "text"
    assert scores.text == Counts(3, 2, 1)
    assert list(scores.predicates) == ["likes", "likes.inArea", "likes.inWork"]


def test_guessed_gold_has_no_scores_by_span() -> None:
    scores = scored((texts(Spo("Ann", "likes", "Bo")), document(LIKES)))
    assert (scores.match, scores.strict, scores.boundaries, scores.text) == ("text", None, None, Counts(1, 1, 1))
    fields = scores.to_dict()
    assert "strict" not in fields
    assert "boundaries" not in fields
    # One document with guessed offsets is enough, at any position.
    for pairs in ([texts(), document(LIKES)], [document(LIKES), texts()]):
        scores = scored(*((gold, document(LIKES)) for gold in pairs))
        assert (scores.match, scores.strict, scores.micro) == ("text", None, Counts(1, 2, 1))


def test_predictions_without_offsets_match_by_text_too() -> None:
    scores = scored((document(LIKES), texts(Spo("Ann", "likes", "Bo"), Spo("Ann", "likes", "absent"))))
    assert (scores.match, scores.strict, scores.micro) == ("text", None, Counts(1, 2, 1))
    scores = scored((texts(Spo("Ann", "likes", "Bo")), texts(Spo("Ann", "likes", "Bo"))))
    assert scores.micro == Counts(1, 1, 1)


@pytest.mark.parametrize("match", ["strict", "boundaries"])
def test_scoring_spans_of_guessed_offsets_is_an_error(match: Match) -> None:
    for gold, predicted, side in (
        (texts(where="g.json:3"), document(), "gold"),
        (document(where="g.json:3"), texts(), "predicted"),
    ):
        message = f"g.json:3: the {side} triples have no offsets: {match} scores"
        with pytest.raises(DataError, match=message) as caught:
            scored((gold, predicted), match=match)
        assert caught.value.hint == "use match text."


def test_a_prediction_without_text_is_read_on_the_gold_text() -> None:
    assert scored((document(LIKES), Document("", [], [LIKES]))).text == Counts(1, 1, 1)


def test_predicates_come_in_the_model_s_order() -> None:
    gold = document(LIKES, Relation(ANN, "z", BO), Relation(ANN, "a", BO))
    scores = scored((gold, document(LIKES)), predicates=("never", "likes"))
    assert list(scores.predicates) == ["never", "likes", "a", "z"]
    assert scores.predicates["never"] == Counts()
    assert math.isclose(scores.macro_f1, 1 / 3)  # a predicate of neither side has no F1


def test_without_items_there_is_no_score() -> None:
    scores = scored()
    assert (scores.precision, scores.recall, scores.f1, scores.macro_f1) == (0, 0, 0, 0)
    assert (scores.match, scores.micro, scores.text) == ("strict", Counts(), Counts())
    assert scored((document(), document(LIKES))).micro == Counts(0, 1, 0)
    assert scored((document(LIKES), document())).micro == Counts(1, 0, 0)


def test_recall_on_triples_unseen_in_training() -> None:
    gold = document(LIKES, Relation(ANN2, "likes", BO), Relation(ANN, "hates", BO), Relation(BO, "likes", ANN))
    predicted = document(LIKES, Relation(ANN, "hates", BO))
    scorer = RelationScorer(seen={("Ann", "likes", "Bo")})
    scorer.add(gold, predicted)
    assert scorer.scores().unseen == Counts(2, 0, 1)
    scorer = RelationScorer(match="text", seen=set())
    scorer.add(gold, predicted)
    assert scorer.scores().unseen == Counts(3, 0, 2)
    assert scored((gold, predicted)).unseen is None


def test_entities_and_official_scores_on_request() -> None:
    gold = Document(TEXT, [ANN, BO], [LIKES, Relation(BO, "likes.inArea", ANN)])
    predicted = Document("", [ANN], [LIKES, Relation(BO, "likes.inArea", ANN2)])
    scorer = RelationScorer((), ["ORG", "PER"], entities=True, official=OfficialScorer())
    scorer.add(gold, predicted)
    scores = scorer.scores({"relations": Ceiling(1, 2), "entities": Ceiling(2, 2)})
    assert scores.entities is not None
    assert scores.entities.micro == Counts(2, 3, 2)  # on both sides, arguments of relations are entities
    assert list(scores.entities.labels) == ["ORG", "PER"]
    assert (scores.ceiling, scores.entities.ceiling) == (Ceiling(1, 2), Ceiling(2, 2))
    assert scores.official == OfficialCounts(1, 1, 1, 1)  # the slot is a part of its triple
    assert scored((gold, predicted)).official is None
    assert scored((gold, predicted)).entities is None


def test_the_layout_of_the_json_scores() -> None:
    gold = Document(TEXT, [ANN], [LIKES, Relation(ANN2, "hates", BO)])
    scorer = RelationScorer(["likes"], ["PER"], entities=True, seen=set(), official=OfficialScorer())
    scorer.add(gold, Document(TEXT, [ANN], [LIKES]))
    scores = scorer.scores({"relations": Ceiling(1, 2, {"label unknown": 1})})
    half = Counts(2, 1, 1).to_dict()
    assert scores.to_dict() == half | {
        "macro_f1": 0.5,
        "match": "strict",
        "strict": half,
        "boundaries": half,
        "text": half,
        "predicates": {"likes": Counts(1, 1, 1).to_dict(), "hates": Counts(1, 0, 0).to_dict()},
        "official": OfficialCounts(2, 1, 1, 1).to_dict(),
        "entities": scores.entities.to_dict() if scores.entities else None,
        "ceiling": {"recall": 0.5, "reachable": 1, "total": 2, "reasons": {"label unknown": 1}},
        "unseen": {"recall": 0.5, "gold": 2, "correct": 1},
    }
    assert list(scored().to_dict())[:8] == [*Counts().to_dict(), "macro_f1", "match"]
    assert list(scored().to_dict())[8:] == ["strict", "boundaries", "text", "predicates"]


LETTERS = "abab"
ENTITY = st.builds(
    lambda start, size, label: Entity(start, min(4, start + size), label),
    st.integers(0, 3),
    st.integers(1, 2),
    st.sampled_from("XY"),
)
RELATIONS = st.lists(st.builds(Relation, ENTITY, st.sampled_from("pq"), ENTITY), max_size=5)


def strict_key(r: Relation) -> tuple[object, ...]:
    return (*span_key(r), r.subject.label, r.object.label)


def span_key(r: Relation) -> tuple[object, ...]:
    return r.subject.start, r.subject.end, r.predicate, r.object.start, r.object.end


def text_key(r: Relation) -> tuple[str, str, str]:
    return LETTERS[r.subject.start : r.subject.end], r.predicate, LETTERS[r.object.start : r.object.end]


WAYS: list[tuple[Match, Callable[[Relation], object]]] = [
    ("strict", strict_key),
    ("boundaries", span_key),
    ("text", text_key),
]


@given(st.lists(st.tuples(RELATIONS, RELATIONS), max_size=4))
def test_scores_are_set_arithmetic(pairs: list[tuple[list[Relation], list[Relation]]]) -> None:
    documents = [(Document(LETTERS, [], a), Document(LETTERS, [], b)) for a, b in pairs]
    for match, key in WAYS:
        gold = {(n, r.predicate, key(r)) for n, (side, _) in enumerate(pairs) for r in side}
        guess = {(n, r.predicate, key(r)) for n, (_, side) in enumerate(pairs) for r in side}
        scores = scored(*documents, match=match)
        assert scores.micro == Counts(len(gold), len(guess), len(gold & guess))
        assert {"strict": scores.strict, "boundaries": scores.boundaries, "text": scores.text}[match] == scores.micro
        for predicate, counts in scores.predicates.items():
            a, b = ({item for item in side if item[1] == predicate} for side in (gold, guess))
            assert counts == Counts(len(a), len(b), len(a & b))
        assert scores.predicates.keys() == {item[1] for item in gold | guess}


@given(RELATIONS, RELATIONS)
def test_guessed_triples_score_as_their_relations_do_by_text(gold: list[Relation], guess: list[Relation]) -> None:
    def spelled(relations: list[Relation]) -> Document:
        triples = [text_key(r) for r in relations]
        return Document(LETTERS, spos=[Spo(subject, predicate, object_) for subject, predicate, object_ in triples])

    exact = scored((Document(LETTERS, [], gold), Document(LETTERS, [], guess)), match="text")
    for a in (spelled(gold), Document(LETTERS, [], gold)):
        for b in (spelled(guess), Document(LETTERS, [], guess)):
            assert scored((a, b)).text == exact.micro
