from __future__ import annotations

import json
import math
import sys
import warnings
from typing import Any

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, f1_score

from ie_cli.document import Document
from ie_cli.errors import DataError
from ie_cli.metrics.correlation import average_precision, pearson, spearman
from ie_cli.metrics.pairs import PairScorer, PairScores

numbers = st.sampled_from([-1.0, 0.0, 0.1, 0.25, 0.3, 1.0, 5.0])


def pair(label: str | None = None, score: float | None = None, text: str = "a") -> Document:
    return Document(text, text_pair="b", label=label, score=score)


def scored(gold: list[Document], predicted: list[Document], **options: Any) -> PairScores:
    scorer = PairScorer(options.pop("labels", ()), **options)
    for one, other in zip(gold, predicted, strict=True):
        scorer.add(one, other)
    scores = scorer.scores()
    json.dumps(scores.to_dict(), allow_nan=False)
    assert all(math.isfinite(value) for value in scores.values().values())
    return scores


# Correlations


@given(st.lists(st.tuples(numbers, numbers), min_size=2, max_size=12))
def test_correlations_are_those_of_scipy(data: list[tuple[float, float]]) -> None:
    gold, scores = (np.array(side) for side in zip(*data, strict=True))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = scipy.stats.spearmanr(gold, scores).statistic, scipy.stats.pearsonr(gold, scores).statistic
    for found, wanted in zip((spearman(gold, scores), pearson(gold, scores)), expected, strict=True):
        assert found == pytest.approx(0.0 if math.isnan(wanted) else wanted, abs=1e-12)


def test_equal_values_share_a_rank() -> None:
    assert spearman(np.array([0, 0, 1, 1.0]), np.array([0.1, 0.2, 0.3, 0.4])) == pytest.approx(2 / math.sqrt(5))


def test_large_values_do_not_overflow() -> None:
    assert pearson(np.array([1e300, -1e300, 0]), np.array([1.0, -1.0, 0])) == pytest.approx(1)


@given(st.lists(st.tuples(st.booleans(), numbers), min_size=1, max_size=12))
def test_average_precision_is_that_of_scikit_learn(data: list[tuple[bool, float]]) -> None:
    positive, scores = np.array([label for label, _ in data]), np.array([score for _, score in data])
    wanted = average_precision_score(positive, scores) if positive.any() else 0.0
    assert average_precision(positive, scores) == pytest.approx(wanted, abs=1e-12)


# Classes


def test_scores_are_cut_where_the_accuracy_is_best() -> None:
    gold = [pair(label) for label in "1010"]
    values = (0.7, 0.6, 0.8, 0.65)
    scores = scored(gold, [pair(score=score) for score in values], labels=("0", "1"))
    assert scores.decision == (pytest.approx(0.675),)
    assert (scores.accuracy, scores.f1) == (1.0, 1.0)
    assert scores.primary == scores.spearman == pytest.approx(spearman(np.array([1, 0, 1, 0.0]), np.array(values)))
    assert scores.labels["1"].predicted == 2
    assert "for other data: 0.6750" in scores.tables()[1].notes[0]


def test_predicted_classes_are_not_chosen_again() -> None:
    gold = [pair(label) for label in "1010"]
    predicted = [pair("1", 0.7), pair("1", 0.6), pair("1", 0.8), pair("0", 0.7)]
    scores = scored(gold, predicted, labels=("0", "1"))
    assert scores.decision is None
    assert scores.accuracy == 0.75
    assert scores.values().keys() == {"spearman", "pearson", "accuracy", "f1", "average_precision"}


@given(st.lists(st.tuples(st.sampled_from("012"), st.sampled_from("012")), min_size=1, max_size=12))
def test_classes_alone_are_ranked_and_counted(data: list[tuple[str, str]]) -> None:
    gold, guess = zip(*data, strict=True)
    scores = scored([pair(label) for label in gold], [pair(label) for label in guess], labels=("0", "1", "2"))
    assert scores.accuracy == pytest.approx(sum(a == b for a, b in data) / len(data))
    assert scores.f1 == pytest.approx(f1_score(gold, guess, average="macro"))
    assert scores.spearman == spearman(np.array(list(map(float, gold))), np.array(list(map(float, guess))))
    assert {name: part.gold for name, part in scores.labels.items()} == {name: gold.count(name) for name in "012"}


def test_the_order_of_the_model_counts() -> None:
    gold, predicted = [pair("b"), pair("a")], [pair("b", 0.1), pair("a", 0.9)]
    assert scored(gold, predicted, labels=("b", "a")).spearman == pytest.approx(1)
    assert scored(gold, predicted, labels=("a", "b")).spearman == pytest.approx(-1)


def test_without_a_model_the_gold_gives_the_order() -> None:
    words = ["entailment", "neutral", "contradiction"]
    scores = scored([pair(word) for word in words], [pair(score=score) for score in (0.9, 0.5, 0.1)])
    assert list(scores.labels) == ["contradiction", "neutral", "entailment"]
    assert (scores.spearman, scores.accuracy) == (pytest.approx(1), 1)
    assert scores.decision == (pytest.approx(0.3), pytest.approx(0.7))


def test_classes_without_an_order_have_no_rank() -> None:
    scores = scored([pair("x"), pair("y"), pair("x")], [pair("x"), pair("y"), pair("y")])
    assert scores.spearman == 0
    assert scores.accuracy == pytest.approx(2 / 3)
    assert any("no rank" in note for note in scores.notes)


def test_a_class_that_the_model_does_not_know_is_wrong() -> None:
    gold = [pair("0"), pair("1"), pair("2")]
    scores = scored(gold, [pair("0", 0.1), pair("1", 0.9), pair("1", 0.5)], labels=("0", "1"))
    assert (scores.pairs, scores.accuracy, scores.spearman) == (3, pytest.approx(2 / 3), pytest.approx(1))
    assert list(scores.labels) == ["0", "1", "2"]
    assert any("no rank among the classes 0, 1: 2" in note for note in scores.notes)


def test_missing_predictions_are_wrong_and_ranked_last() -> None:
    gold = [pair("1"), pair("0"), pair("1")]
    scores = scored(gold, [pair("1", 0.9), pair("0", 0.2), pair()], labels=("0", "1"))
    assert scores.accuracy == pytest.approx(2 / 3)
    assert scores.spearman == spearman(np.array([1, 0, 1.0]), np.array([0.9, 0.2, 0.2]))
    assert len(scores.notes) == 2
    nothing = scored(gold, [pair(), pair(), pair(score=math.nan)], labels=("0", "1"))
    assert (nothing.spearman, nothing.accuracy, nothing.constant) == (0, None, "predicted")


def test_the_cuts_may_be_chosen_by_f1() -> None:
    gold = [pair(label) for label in "0001000"]
    predicted = [pair(score=score / 10) for score in range(7)]
    assert scored(gold, predicted, labels=("0", "1")).decision == (3.4028234663852886e38,)
    assert "for other data: above all scores" in scored(gold, predicted, labels=("0", "1")).tables()[1].notes[0]
    assert scored(gold, predicted, labels=("0", "1"), cut_by="f1").decision == (pytest.approx(0.25),)


# Other data than those of the model


def test_a_model_of_classes_is_ranked_on_grades() -> None:
    gold = [pair(score=score) for score in (0.0, 2.5, 5.0)]
    scores = scored(gold, [pair("0", 0.1), pair("0", 0.2), pair("1", 0.9)], labels=("0", "1"))
    assert (scores.spearman, scores.accuracy, scores.support) == (pytest.approx(1), None, 3)
    assert scores.values().keys() == {
        "spearman",
        "pearson",
        "accuracy",
        "f1",
        "average_precision",
    }  # as in the log so far
    assert scores.tables()[0].columns == ("", "Spearman", "Pearson", "pairs")


def test_a_model_of_grades_is_cut_on_classes() -> None:
    scores = scored([pair("0"), pair("1")], [pair(score=1.5), pair(score=4.5)], graded=True)
    assert (scores.spearman, scores.accuracy, scores.decision) == (pytest.approx(1), 1.0, (3.0,))
    assert scores.values().keys() == {"spearman", "pearson"}


def test_a_model_of_other_classes_is_cut_on_these() -> None:
    gold = [pair("0"), pair("1"), pair("0")]
    predicted = [pair("neutral", 0.5), pair("entailment", 0.9), pair("neutral", 0.2)]
    scores = scored(gold, predicted, labels=("contradiction", "neutral", "entailment"))
    assert (scores.accuracy, scores.decision) == (1.0, (pytest.approx(0.7),))
    assert list(scores.labels) == ["0", "1"]


# Grades


def test_grades_have_correlations_only() -> None:
    gold = [pair(score=score) for score in (0.0, 2.5, 5.0, 5.0)]
    scores = scored(gold, [pair(score=score) for score in (0.1, 0.4, 0.3, 0.9)], graded=True)
    assert scores.values().keys() == {"spearman", "pearson"}
    assert scores.values().keys() <= scores.to_dict().keys()
    assert scores.decision is None
    assert scores.spearman == spearman(np.array([0, 2.5, 5, 5]), np.array([0.1, 0.4, 0.3, 0.9]))
    [table] = scores.tables()
    assert table.columns == ("", "Spearman", "Pearson", "pairs")


def test_pairs_with_a_class_are_left_out_of_grades() -> None:
    scores = scored(
        [pair(score=1.0), pair("2"), pair(score=3.0)], [pair(score=0.1)] * 2 + [pair(score=0.2)], graded=True
    )
    assert (scores.pairs, scores.support, scores.spearman) == (2, 2, pytest.approx(1))
    assert scores.notes == ("1 pair without a gold score left out",)


def test_numbers_may_be_predicted_as_classes() -> None:
    gold = [pair(score=score) for score in (0.0, 2.5, 5.0)]
    assert scored(gold, [pair("0"), pair("2"), pair("4.5")]).spearman == pytest.approx(1)


# Both


@pytest.mark.parametrize("graded", [False, True])
def test_documents_that_are_no_pairs_are_not_counted(graded: bool) -> None:
    gold = [Document("a"), Document("a", label="1", score=1.0), Document("a", text_pair="b")]
    assert scored(gold, gold, labels=() if graded else ("0", "1"), graded=graded).support == 0


@pytest.mark.parametrize("graded", [False, True])
def test_nothing_and_constants_are_zero(graded: bool) -> None:
    options = {"labels": () if graded else ("0", "1"), "graded": graded}
    assert scored([], [], **options).primary == 0
    gold = [pair("1", 2.0), pair("0", 3.0)] if not graded else [pair(score=2.0), pair(score=3.0)]
    same = scored(gold, [pair(score=0.5)] * 2, **options)
    assert (same.spearman, same.pearson, same.constant) == (0, 0, "predicted")
    assert scored(gold[:1] * 2, [pair(score=0.5), pair(score=0.7)], **options).constant == "gold"


def test_pairs_of_unseen_texts_are_scored_separately() -> None:
    gold = [pair("1", text="old"), pair("0", text="x"), pair("1", text="y"), pair("0", text="z")]
    predicted = [pair(score=score) for score in (0.0, 0.1, 0.9, 0.2)]
    scores = scored(gold, predicted, labels=("0", "1"), seen={"old"})
    assert scores.unseen == (spearman(np.array([0, 1, 0.0]), np.array([0.1, 0.9, 0.2])), 3)
    assert "(3 of 4 pairs)" in scores.tables()[0].notes[-1]
    assert scores.to_dict()["unseen"]["pairs"] == 3
    assert scored(gold, predicted, labels=("0", "1"), seen={"b"}).unseen == (0.0, 0)


def test_columns_are_those_of_an_empty_scorer() -> None:
    """The columns of the logs are written before anything is scored."""
    data = [pair("1", 0.3), pair("0", 0.1)]
    for options in ({"labels": ("0", "1")}, {"labels": ("0", "1", "2")}, {"graded": True}):
        assert scored([], [], **options).values().keys() == scored(data, data, **options).values().keys()


def test_without_scipy_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The distribution for prediction does not need it."""
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(DataError, match="scoring pairs of texts requires scipy") as caught:
        scored([pair("0"), pair("1")], [pair(score=0.1), pair(score=0.2)])
    assert "pip install" in (caught.value.hint or "")
