from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ie_cli.document import Document
from ie_cli.evaluation.result import ErrorSummary
from ie_cli.metrics import pair_errors
from ie_cli.metrics.pair_errors import PairErrors


def pair(label: str | None = None, score: float | None = None, where: str | None = None) -> Document:
    return Document("first text", text_pair="second text", label=label, score=score, where=where)


def analysed(gold: list[Document], predicted: list[Document], keep: int = 3) -> ErrorSummary:
    analysis = PairErrors(keep=keep)
    for one, other in zip(gold, predicted, strict=True):
        analysis.add(one, other)
    return ErrorSummary.of(analysis)


def test_wrong_classes_are_counted_by_confusion() -> None:
    gold = [pair("0", where="x:1"), pair("1"), pair("1"), pair("0")]
    found = analysed(gold, [pair("1", 0.75), pair("0"), pair("0"), pair("0")], keep=1)
    assert found.line() == "2 of class 1 predicted as 0, 1 of class 0 predicted as 1"
    assert [case.kind for case in found.cases] == ["1 → 0", "0 → 1"]
    assert found.cases[1].line == "x:1: first text | second text; gold 0; predicted 1 score 0.75"
    assert found.cases[1].text == "first text\nsecond text"


def test_no_error_has_a_line_too() -> None:
    assert analysed([pair("0")], [pair("0")]).line() == "0 of a wrong class"


def test_ranks_that_are_far_off_are_errors() -> None:
    gold = [pair(score=float(number), where=f"x:{number}") for number in range(8)]
    predicted = [pair(score=float(number)) for number in (7, 1, 2, 3, 4, 5, 6, 0)]
    found = analysed(gold, predicted, keep=1)
    assert found.counts == {"high": 1, "low": 1}
    assert [case.where for case in found.cases] == ["x:0", "x:7"]
    assert found.line() == "1 ranked far too high, 1 ranked far too low"


@given(st.lists(st.tuples(st.sampled_from("012"), st.floats(0, 0.99)), max_size=12))
def test_a_right_order_has_no_errors(data: list[tuple[str, float]]) -> None:
    """Gold classes are large ties: any order within one of them is right."""
    gold = [pair(label) for label, _ in data]
    found = analysed(gold, [pair(score=int(label) + score) for label, score in data])
    assert set(found.counts.values()) <= {0}


def test_the_farthest_of_a_sample_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pair_errors, "_MOST_TEXTS", 5)
    analysis = PairErrors(keep=2)
    for number in range(50):
        analysis.add(pair(score=float(number)), pair(score=float(49 - number)))
    summary = ErrorSummary.of(analysis)
    assert len(summary.cases) <= 4
    assert "examples of ranks from a sample of 5 of 50 pairs" in summary.line()
    assert summary.counts["high"] == summary.counts["low"] > 10


def test_texts_are_kept_only_for_examples() -> None:
    analysis = PairErrors(keep=0)
    analysis.add(pair(score=1.0), pair(score=2.0))
    assert not analysis._texts
    assert not ErrorSummary.of(analysis).cases


def test_missing_predictions_are_noted() -> None:
    assert analysed([pair("0"), pair("1")], [pair(), pair("1")]).notes == ("1 pair without a prediction",)


def test_documents_that_are_no_pairs_are_skipped() -> None:
    documents = [Document("a"), Document("a", text_pair="b")]
    assert analysed(documents, documents).notes == ()
