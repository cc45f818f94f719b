"""The task of pairs of texts: its schema, items, words, checks and proposal."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from support.pairs import graded, pair_recipe, pairs

from ie_cli.data.label_schema import LabelSchema
from ie_cli.data.statistics import DatasetStatistics
from ie_cli.document import Document, Entity
from ie_cli.errors import DataError
from ie_cli.metrics.entities import Counts, EntityScores
from ie_cli.metrics.pairs import PairScorer, PairScores
from ie_cli.recipe.heads import HEADS
from ie_cli.tasks import TASKS, Learning, Rate, ScoringOptions, TrainingItems
from ie_cli.tasks.kinds import PAIRS, Pair

MATCH = TASKS["match"]
RECIPE = pair_recipe()
SECTION = RECIPE.instances()["match"]
NOT_PAIRS = [Document("a", [Entity(0, 1, "x")]), Document("a", label="1", score=1.0), Document("a", text_pair="b")]


def statistics(documents: list[Document]) -> DatasetStatistics:
    return DatasetStatistics.of(documents)


def test_the_schema_has_classes_or_a_range() -> None:
    assert MATCH.build_schema(SECTION, statistics(pairs())) == LabelSchema(("0", "1"))
    assert MATCH.build_schema(SECTION, statistics(graded())) == LabelSchema((), grades=(0.0, 5.0))
    listed = pair_recipe(labels=["1", "0"]).instances()["match"]
    assert MATCH.build_schema(listed, statistics(pairs())).labels == ("1", "0")
    with pytest.raises(DataError, match="no pairs of texts"):
        MATCH.build_schema(SECTION, statistics(NOT_PAIRS))


def test_the_preview_leaves_unlisted_classes_to_another_finding() -> None:
    listed = pair_recipe(labels=["0"]).instances()["match"]
    assert MATCH.preview_schema(RECIPE, listed, statistics(pairs())) == LabelSchema(("0", "1"))
    assert MATCH.preview_schema(RECIPE, SECTION, statistics(NOT_PAIRS)) is None
    with pytest.raises(DataError, match="all pairs of the training data have the class 0"):
        MATCH.preview_schema(RECIPE, SECTION, statistics(pairs()[::2]))


@pytest.mark.parametrize(
    ("schema", "misfit"),
    [
        (LabelSchema(("0", "1")), None),
        (LabelSchema((), grades=(0.0, 1.0)), None),
        (LabelSchema(("0",)), "fewer than two classes"),
        (LabelSchema(("subject", "object"), ("P",)), "predicates"),
    ],
)
def test_a_schema_of_another_task_does_not_fit(schema: LabelSchema, misfit: str | None) -> None:
    assert MATCH.misfit(schema) == misfit


def test_grades_fit_no_other_task() -> None:
    schema = LabelSchema((), grades=(0.0, 1.0))
    assert TASKS["ner"].misfit(schema) == "grades"
    assert TASKS["relation"].misfit(schema) == "no predicates"


def test_an_item_is_a_pair_with_its_gold() -> None:
    classed = Document("a", text_pair="b", label="1", score=0.7)
    assert MATCH.items(classed) == {Pair("a", "b", "1", None)}  # the score is that of a model
    assert MATCH.items(Document("a", text_pair="b", score=2.5)) == {Pair("a", "b", None, 2.5)}
    assert [MATCH.items(document) for document in NOT_PAIRS] == [set()] * 3
    assert MATCH.annotation(classed) == {"pairs": [Pair("a", "b", "1", None)]}
    assert MATCH.seen([classed, *NOT_PAIRS]) == {"a", "b"}
    assert PAIRS.show("a", Pair("a", "b", None, 2.5)) == "2.5 'a' and 'b'"
    assert PAIRS.show("a", Pair("a", "b", "1", None)) == "1 'a' and 'b'"


def test_other_tasks_find_nothing_in_a_pair() -> None:
    for task in ("ner", "relation"):
        assert TASKS[task].items(pairs()[0]) == set()
        assert TASKS[task].propose(statistics(pairs()), overlapping=0) is None


def test_the_schema_of_one_document_builds_a_codec() -> None:
    assert MATCH.schema_of(pairs()[0]) == LabelSchema(("0",))
    assert MATCH.schema_of(graded()[1]) == LabelSchema((), grades=(1.0, 1.0))
    assert MATCH.schema_of(NOT_PAIRS[0]) == LabelSchema(())


def test_pairs_are_described() -> None:
    assert MATCH.describe({"pairs": 2}, LabelSchema(("a", "b", "c"))) == ["2 pairs with 3 classes: a < b < c"]
    assert MATCH.describe({"pairs": 1}, LabelSchema((), grades=(0.0, 4.5))) == ["1 pair with scores from 0 to 4.5"]


@pytest.mark.parametrize("options", [{"match": "text"}, {"seqeval": True}])
def test_options_of_other_tasks_do_not_apply(options: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="but these are pairs of texts"):
        MATCH.validate_options(ScoringOptions(**options))
    MATCH.validate_options(ScoringOptions(cut_by="f1", documents=True))


def test_the_scorer_has_the_options() -> None:
    scorer = MATCH.scorer(LabelSchema(("0", "1")), ScoringOptions(cut_by="f1", seen={"a"}))
    scorer.add(Document("a", text_pair="b", label="1"), Document("a", text_pair="b", score=0.5))
    scorer.add(Document("c", text_pair="d", label="0"), Document("c", text_pair="d", score=0.1))
    scores = scorer.scores()
    assert isinstance(scores, PairScores)
    assert scores.unseen == (0.0, 1)
    assert scores.decision == (pytest.approx(0.3),)


# Why nothing is learned


def diagnosis(gold: list[Document], predicted: list[float], learning: Learning | None = None) -> str:
    scorer = PairScorer(("0", "1"))
    for document, score in zip(gold, predicted, strict=True):
        scorer.add(document, Document(document.text, text_pair=document.text_pair, score=score))
    return MATCH.diagnose(scorer.scores(), TrainingItems(2000, {}, learning), LabelSchema(("0", "1")))


def test_the_diagnosis_names_the_side_without_differences() -> None:
    low = Learning(first=1.0, last=1.0, rates=(Rate("training.learning_rate", 1e-9, 1e-5, 1e-4),), steps=9)
    assert diagnosis([], []) == "The dev data contain no annotated pairs: check data.dev."
    assert diagnosis(pairs()[:3:2], [0.1, 0.2]) == "All dev pairs have the same class or score: check data.dev."
    assert diagnosis(pairs()[:2], [0.5, 0.5]).startswith("The model gives all pairs the same score. Train longer")
    assert "raise it" in diagnosis(pairs()[:2], [0.5, 0.5], low)
    assert diagnosis(pairs()[:4], [0.1, 0.1, 0.2, 0.2]).startswith("The scores are in no better order than by chance.")


def test_scores_of_another_task_are_not_diagnosed() -> None:
    counts = Counts()
    with pytest.raises(TypeError, match="expected the scores of pairs"):
        MATCH.diagnose(EntityScores(counts, counts, {}), TrainingItems(1, {}), LabelSchema(("0", "1")))


# `ie check` and `ie init`


def findings(split: str, documents: list[Document]) -> list[str]:
    names = Counter(PAIRS.name_of(pair) for document in documents for pair in MATCH.annotation(document)["pairs"])
    items = TrainingItems(names.total(), {})
    found = MATCH.findings(split, statistics=statistics(documents), names={"pairs": names}, items=items)
    return [f"{finding.kind}: {finding.text}" for finding in found]


def test_pairs_without_gold_are_reported() -> None:
    assert findings("train", [*pairs(), *NOT_PAIRS]) == [
        "warning: train: 1 pair with neither a class nor a score: left out"
    ]
    assert findings("dev", [*pairs(), *graded(2)]) == ["warning: dev: 2 pairs with a score, but no class: not scored"]
    assert findings("dev", pairs()) == findings("dev", graded()) == []


@pytest.mark.parametrize(("documents", "names"), [(pairs(6), {"0": 3, "1": 3}), (graded(6), {"graded": 6})])
def test_a_head_is_proposed(documents: list[Document], names: dict[str, int]) -> None:
    proposal = MATCH.propose(statistics(documents), overlapping=0)
    assert proposal is not None
    assert proposal.names == {"pairs": Counter(names)}
    [(line, comment)] = proposal.head
    assert "match" in HEADS[line.removeprefix("name: ")].tasks
    assert comment
    assert MATCH.propose(statistics(NOT_PAIRS), overlapping=0) is None
