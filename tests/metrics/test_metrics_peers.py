"""Our scores compared with those of seqeval and nervaluate on flat data, for which all three agree."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics.v1 import precision_recall_fscore_support
from seqeval.scheme import IOB2
from support.fakes import Oracle, characters, engine, score_engine

from ie_cli.document import Document, Entity
from ie_cli.encoding.tokenizer import TextTokenizer
from ie_cli.formats.common.tag_schemes import bio_tags
from ie_cli.inference.pipeline import extract
from ie_cli.metrics.entities import Counts, EntityScorer, EntityScores

nervaluate = pytest.importorskip("nervaluate")  # it needs Python 3.11

LABELS = ["LOC", "MISC", "ORG", "PER"]
SIZE = 12
Pairs = list[tuple[Document, Document]]


@st.composite
def flat(draw: st.DrawFn, near: list[Entity] | None = None) -> list[Entity]:
    """Draw entities that share no character; some equal those of `near`, or differ in label or boundaries."""
    cuts = sorted(draw(st.sets(st.integers(0, SIZE), max_size=7)))
    drawn = [Entity(a, b, draw(st.sampled_from(LABELS))) for a, b in zip(cuts, cuts[1:], strict=False)]
    for entity in near or ():
        label = draw(st.sampled_from([entity.label, entity.label, *LABELS]))
        drawn.insert(0, Entity(entity.start, max(entity.start + 1, entity.end - draw(st.integers(0, 1))), label))
    found: list[Entity] = []
    for entity in drawn:
        if draw(st.booleans()) and all(entity.end <= other.start or other.end <= entity.start for other in found):
            found.append(entity)
    return sorted(found)


@st.composite
def corpora(draw: st.DrawFn) -> Pairs:
    """Draw gold and predictions of some documents; either may be empty."""
    made = []
    for _ in range(draw(st.integers(1, 4))):
        gold = draw(flat())
        made.append((Document("x" * SIZE, gold), Document("x" * SIZE, draw(flat(gold)))))
    return made


def scored(pairs: Pairs) -> EntityScores:
    scorer = EntityScorer()
    for gold, predicted in pairs:
        scorer.add(gold, predicted)
    return scorer.scores()


def nervaluate_counts(pairs: Pairs) -> tuple[dict[str, Counts], dict[str, dict[str, Counts]], dict[str, Any]]:
    """Return nervaluate's counts by strategy, by label and strategy, and its results."""
    sides = [
        [[{"label": e.label, "start": e.start, "end": e.end - 1} for e in pair[side].entities] for pair in pairs]
        for side in (0, 1)
    ]
    results = nervaluate.Evaluator(*sides, tags=LABELS, loader="dict").evaluate()

    def counts(found: dict[str, Any]) -> dict[str, Counts]:
        return {name: Counts(r.possible, r.actual, r.correct) for name, r in found.items()}

    return counts(results["overall"]), {k: counts(v) for k, v in results["entities"].items()}, results["overall"]


def tags(pairs: Pairs) -> tuple[list[list[str]], list[list[str]]]:
    rows = [
        [bio_tags(len(pair[side].text), [(e.start, e.end - 1, e.label) for e in pair[side].entities]) for pair in pairs]
        for side in (0, 1)
    ]
    return rows[0], rows[1]


def seqeval_scores(pairs: Pairs, average: str | None) -> Any:
    """Return precision, recall, F1 and support in seqeval's strict mode; for None, of each label in alphabetical order."""
    return precision_recall_fscore_support(*tags(pairs), average=average, scheme=IOB2, zero_division=0)


@given(corpora())
def test_micro_scores_are_those_of_both(pairs: Pairs) -> None:
    mine = scored(pairs)
    overall, _, results = nervaluate_counts(pairs)
    assert mine.micro == overall["strict"]
    assert mine.boundaries == overall["exact"]
    for counts, theirs in ((mine.micro, results["strict"]), (mine.boundaries, results["exact"])):
        assert counts.precision == theirs.precision
        assert counts.recall == theirs.recall
        assert counts.f1 == pytest.approx(theirs.f1, abs=1e-15)
    if mine.labels:  # without a label seqeval has no scores
        *values, support = seqeval_scores(pairs, "micro")
        assert [mine.precision, mine.recall, mine.f1] == pytest.approx(values, abs=1e-15)
        assert mine.micro.gold == support


@given(corpora())
def test_scores_of_each_label_are_those_of_both(pairs: Pairs) -> None:
    mine = scored(pairs)
    _, labels, _ = nervaluate_counts(pairs)
    assert mine.labels == {label: counts["strict"] for label, counts in labels.items()}
    if not mine.labels:
        return
    precision, recall, f1, support = seqeval_scores(pairs, None)
    for n, label in enumerate(sorted(mine.labels)):
        counts = mine.labels[label]
        assert (counts.precision, counts.recall, counts.gold) == (precision[n], recall[n], support[n])
        assert counts.f1 == pytest.approx(f1[n], abs=1e-15)


@given(corpora())
def test_the_macro_score_is_that_of_seqeval(pairs: Pairs) -> None:
    mine = scored(pairs)
    assert mine.macro_f1 == pytest.approx(seqeval_scores(pairs, "macro")[2] if mine.labels else 0.0, abs=1e-15)


def test_an_evaluated_engine_scores_as_its_predictions_do() -> None:
    def ids(text: str) -> tuple[int, ...]:
        return tuple(TextTokenizer(characters()).encode([text])[0].ids.tolist())

    runner = engine(Oracle({ids("北京"): [0], ids("上海"): [1], ids("Anna"): [2]}, 3), ("LOC", "ORG", "PER"))
    drawn = random.Random(0)
    gold = []
    for _ in range(60):
        words = drawn.choices(["北京", "上海", "Anna", "Wien", "在", "。"], k=drawn.randint(0, 9))
        starts = [sum(map(len, words[:n])) for n in range(len(words))]
        entities = [
            Entity(start, start + len(word) - drawn.choice([0, 0, 0, 1]), drawn.choice(["LOC", "LOC", "ORG", "MISC"]))
            for word, start in zip(words, starts, strict=True)
            if len(word) > 1 and drawn.random() < 0.7
        ]
        gold.append(Document("".join(words), entities))
    mine = score_engine(runner, gold)
    assert isinstance(mine, EntityScores)
    pairs = list(zip(gold, extract(runner, gold), strict=True))
    overall, labels, _ = nervaluate_counts(pairs)
    assert (mine.micro, mine.boundaries) == (overall["strict"], overall["exact"])
    assert mine.labels == {label: counts["strict"] for label, counts in labels.items()}
    *values, _ = seqeval_scores(pairs, "micro")
    assert [mine.precision, mine.recall, mine.f1] == pytest.approx(values, abs=1e-15)
    assert 0 < mine.f1 < mine.boundaries.f1 < 1
