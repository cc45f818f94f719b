from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics import classification_report, f1_score, precision_score, recall_score

from ie_cli.document import Document, Entity
from ie_cli.formats.common.tag_schemes import bio_tags, spans_of
from ie_cli.metrics.entities import Counts, EntityScorer, EntityScores
from ie_cli.metrics.scores import Ceiling

LABELS = ["LOC", "ORG", "PER"]
TAGS = ["O"] + [f"{prefix}-{label}" for prefix in "BI" for label in LABELS]


@st.composite
def tag_pairs(draw: st.DrawFn) -> list[tuple[list[str], list[str]]]:
    """Draw gold and predicted tags of some sentences."""
    rows = draw(st.lists(st.lists(st.sampled_from(TAGS), min_size=1, max_size=8), min_size=1, max_size=5))
    return [(row, [draw(st.sampled_from([tag, *TAGS])) for tag in row]) for row in rows]


def document(tags: list[str]) -> Document:
    """Build a sentence with one character per token."""
    return Document("x" * len(tags), [Entity(first, last + 1, label) for first, last, label in spans_of(tags)[0]])


def scored(pairs: list[tuple[Document, Document]]) -> EntityScores:
    scorer = EntityScorer(LABELS)
    for gold, predicted in pairs:
        scorer.add(gold, predicted)
    return scorer.scores()


@given(tag_pairs())
def test_flat_scores_are_those_of_seqeval(pairs: list[tuple[list[str], list[str]]]) -> None:
    gold, guess = [a for a, _ in pairs], [b for _, b in pairs]
    mine = scored([(document(a), document(b)) for a, b in pairs])
    for value, theirs in ((mine.precision, precision_score), (mine.recall, recall_score), (mine.f1, f1_score)):
        assert math.isclose(value, theirs(gold, guess, zero_division=0), abs_tol=1e-12)
    if not any(tag != "O" for row in [*gold, *guess] for tag in row):
        return  # seqeval cannot report on no labels
    report = classification_report(gold, guess, output_dict=True, zero_division=0)
    for label in LABELS:
        counts, theirs_ = mine.labels[label], report.get(label)
        if theirs_ is None:
            assert counts == Counts()
            continue
        assert math.isclose(counts.precision, theirs_["precision"], abs_tol=1e-12)
        assert math.isclose(counts.recall, theirs_["recall"], abs_tol=1e-12)
        assert math.isclose(counts.f1, theirs_["f1-score"], abs_tol=1e-12)
        assert counts.gold == theirs_["support"]
    assert math.isclose(mine.macro_f1, report["macro avg"]["f1-score"], abs_tol=1e-12)


ENTITIES = st.lists(st.builds(Entity, st.integers(0, 3), st.integers(4, 6), st.sampled_from(LABELS)), max_size=6)


@given(st.lists(st.tuples(ENTITIES, ENTITIES), max_size=5))
def test_scores_are_set_arithmetic(pairs: list[tuple[list[Entity], list[Entity]]]) -> None:
    mine = scored([(Document("x" * 6, a), Document("x" * 6, b)) for a, b in pairs])
    gold = {(n, e) for n, (a, _) in enumerate(pairs) for e in a}
    guess = {(n, e) for n, (_, b) in enumerate(pairs) for e in b}
    assert mine.micro == Counts(len(gold), len(guess), len(gold & guess))
    spans = [{(n, e.start, e.end) for n, e in side} for side in (gold, guess)]
    assert mine.boundaries == Counts(len(spans[0]), len(spans[1]), len(spans[0] & spans[1]))
    assert sum(counts.correct for counts in mine.labels.values()) == mine.micro.correct


def test_the_score_of_an_entity_is_no_part_of_it() -> None:
    gold, guess = Document("ab", [Entity(0, 1, "X")]), Document("ab", [Entity(0, 1, "X", 0.7), Entity(0, 1, "X", 0.6)])
    assert scored([(gold, guess)]).micro == Counts(1, 1, 1)


def test_without_items_there_is_no_score() -> None:
    scores = scored([])
    assert (scores.precision, scores.recall, scores.f1, scores.macro_f1) == (0, 0, 0, 0)
    assert scored([(Document("a"), Document("a", [Entity(0, 1, "X")]))]).precision == 0
    assert Ceiling(0, 0).recall == 1


def test_a_label_of_neither_side_is_no_part_of_the_macro_score() -> None:
    gold = Document("ab", [Entity(0, 1, "PER"), Entity(1, 2, "LOC")])
    scores = scored([(gold, Document("ab", [Entity(0, 1, "PER")]))])
    assert scores.macro_f1 == 0.5
    assert list(scores.labels) == LABELS


def test_other_labels_follow_those_of_the_model() -> None:
    gold = Document("abc", [Entity(0, 1, "Z"), Entity(1, 2, "A")])
    assert list(scored([(gold, gold)]).labels) == [*LABELS, "A", "Z"]


def test_recall_on_unseen_mentions() -> None:
    scorer = EntityScorer(seen={("PER", "Ann"), ("LOC", "Bob")})
    text = "Ann met Bob"
    scorer.add(Document(text, [Entity(0, 3, "PER"), Entity(8, 11, "PER")]), Document(text, [Entity(0, 3, "PER")]))
    scorer.add(Document("Bob", [Entity(0, 3, "PER")]), Document("Bob", [Entity(0, 3, "PER")]))
    unseen = scorer.scores().unseen
    assert unseen is not None
    assert (unseen.gold, unseen.correct, unseen.recall) == (2, 1, 0.5)


def test_the_layout_of_the_json_scores() -> None:
    gold = Document("ab", [Entity(0, 1, "X"), Entity(1, 2, "Y")])
    scorer = EntityScorer(["X"], seen=set())
    scorer.add(gold, Document("ab", [Entity(0, 1, "X")]))
    fields = scorer.scores({"entities": Ceiling(1, 2, {"label unknown": 1})}).to_dict()
    assert fields == {
        "precision": 1.0,
        "recall": 0.5,
        "f1": pytest.approx(2 / 3, abs=1e-16),
        "gold": 2,
        "predicted": 1,
        "correct": 1,
        "macro_f1": 0.5,
        "boundaries": fields["labels"]["X"] | {"recall": 0.5, "f1": fields["f1"], "gold": 2},
        "labels": {"X": Counts(1, 1, 1).to_dict(), "Y": Counts(1, 0, 0).to_dict()},
        "ceiling": {"recall": 0.5, "reachable": 1, "total": 2, "reasons": {"label unknown": 1}},
        "unseen": {"recall": 0.5, "gold": 2, "correct": 1},
    }


def test_bio_tags_of_flat_predictions_score_alike() -> None:
    gold, guess = [(0, 1, "PER"), (3, 3, "LOC")], [(0, 1, "PER"), (2, 3, "LOC")]
    theirs = f1_score([bio_tags(4, gold)], [bio_tags(4, guess)])
    mine = scored([(document(bio_tags(4, gold)), document(bio_tags(4, guess)))]).f1
    assert mine == theirs == 0.5
