from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ie_cli.codecs import spans as decode
from ie_cli.codecs.base import probability, score_threshold
from ie_cli.codecs.factors import LabelFactors, SharedFactors
from ie_cli.codecs.spans import decode_spans


def dense(scores: np.ndarray, mask: np.ndarray, thresholds: np.ndarray) -> set[tuple[int, ...]]:
    batch, labels, length, _ = scores.shape
    return {
        (b, r, i, j)
        for b in range(batch)
        for r in range(labels)
        for i in range(length)
        for j in range(i, length)
        if mask[b, i] and mask[b, j] and scores[b, r, i, j] > thresholds[r]
    }


@given(
    seed=st.integers(0, 10**6),
    labels=st.integers(1, 5),
    length=st.integers(1, 8),
    threshold=st.sampled_from([0.0, -1.0, 2.0]),
)
def test_pruning_finds_what_the_dense_form_finds(seed: int, labels: int, length: int, threshold: float) -> None:
    random = np.random.default_rng(seed)
    pair = random.normal(size=(2, length, length)).astype(np.float32)
    start, end = random.normal(size=(2, 2, labels, length)).astype(np.float32)
    mask = random.random((2, length)) < 0.8
    thresholds = np.full(labels, threshold, dtype=np.float32)
    thresholds[0] = 0.5
    found = decode_spans([SharedFactors(pair, start, end)], mask, thresholds)
    scores = pair[:, None] + start[..., None] + end[:, :, None]
    assert {tuple(entry) for entry in found.entries.tolist()} == dense(scores, mask, thresholds)
    for (b, r, i, j), score in zip(found.entries.tolist(), found.scores.tolist(), strict=True):
        assert score == pytest.approx(float(scores[b, r, i, j]), abs=1e-5)


@given(seed=st.integers(0, 10**6), labels=st.integers(1, 5), length=st.integers(1, 8), split=st.integers(0, 5))
def test_labels_in_blocks_are_found_like_all_at_once(seed: int, labels: int, length: int, split: int) -> None:
    random = np.random.default_rng(seed)
    query, key = random.normal(size=(2, 2, labels, length, 4)).astype(np.float32)
    mask = random.random((2, length)) < 0.8
    thresholds = np.zeros(labels, dtype=np.float32)
    split = min(split, labels)
    parts = [
        LabelFactors(first, query[:, first:last], key[:, first:last])
        for first, last in ((0, split), (split, labels))
        if first < last
    ]
    found = decode_spans(parts, mask, thresholds)
    assert {tuple(entry) for entry in found.entries.tolist()} == dense(query @ key.swapaxes(2, 3), mask, thresholds)


@pytest.mark.parametrize("shared", [True, False])
def test_a_model_that_fires_everywhere_is_capped_by_score(shared: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "MAX_SPANS", 5)
    monkeypatch.setattr(decode, "MAX_CANDIDATES", 20)
    random = np.random.default_rng(0)
    vectors = random.random((2, 1, 3, 12, 4)).astype(np.float32)
    part = (
        SharedFactors(
            np.ones((1, 12, 12), np.float32), random.random((1, 3, 12), np.float32), np.zeros((1, 3, 12), np.float32)
        )
        if shared
        else LabelFactors(0, vectors[0], vectors[1])
    )
    quiet = np.zeros((1, 12), dtype=bool)
    quiet[0, :2] = True
    found = decode_spans([part], np.ones((1, 12), dtype=bool), np.zeros(3, dtype=np.float32))
    assert len(found.entries) == 12  # one a token, as that is more than MAX_SPANS here
    assert found.truncated == {0}
    if not shared:
        best = np.sort(np.triu(vectors[0, 0] @ vectors[1, 0].swapaxes(1, 2)).ravel())[-12:]
        assert sorted(found.scores.tolist()) == pytest.approx(best.tolist())


def test_a_long_window_may_hold_a_span_for_every_token() -> None:
    pair = np.full((1, 700, 700), -9, np.float32)
    pair[0, range(700), range(700)] = 9
    zero = np.zeros((1, 1, 700), np.float32)
    found = decode_spans([SharedFactors(pair, zero, zero)], np.ones((1, 700), dtype=bool), np.zeros(1, np.float32))
    assert (len(found.entries), found.truncated) == (700, frozenset())


def test_the_best_are_those_furthest_above_their_threshold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "MAX_SPANS", 1)
    start = np.array([[[3.0], [2.0]]], np.float32)  # [batch, labels, L]; label 0 scores more, label 1 is surer
    part = SharedFactors(np.zeros((1, 1, 1), np.float32), start, np.zeros_like(start))
    found = decode_spans([part], np.ones((1, 1), dtype=bool), np.array([2.5, 0], np.float32))
    assert found.entries.tolist() == [[0, 1, 0, 0]]


def test_thresholds_of_zero_and_one_are_finite() -> None:
    assert np.isfinite(score_threshold([0.0, 1.0], 1.0)).all()


def test_nothing_to_decode() -> None:
    part = SharedFactors(
        np.zeros((1, 3, 3), np.float32), np.zeros((1, 1, 3), np.float32), np.zeros((1, 1, 3), np.float32)
    )
    found = decode_spans([part], np.zeros((1, 3), dtype=bool), np.zeros(1, dtype=np.float32))
    assert found.entries.shape == (0, 4)
    assert not found.truncated


def test_one_half_is_score_zero_at_any_temperature() -> None:
    assert score_threshold([0.5, 0.5], 0.5).tolist() == [0.0, 0.0]
    assert probability(np.zeros(1, np.float32), 2.0).tolist() == [0.5]


@given(st.floats(0.001, 0.999), st.sampled_from([0.5, 1.0, 1.7]))
def test_probability_and_threshold_are_inverse(p: float, temperature: float) -> None:
    assert probability(score_threshold([p], temperature), temperature)[0] == pytest.approx(p, abs=1e-5)


def test_extreme_scores_do_not_overflow() -> None:
    assert probability(np.array([-1e4, 1e4], np.float32), 1.0).tolist() == [0.0, 1.0]
