from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ie_cli.inference import search
from ie_cli.inference.search import TopHits


def sorted_hits(queries: np.ndarray, corpus: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """All scores in double precision, sorted; the earlier row first if two are equal."""
    scores = (queries[:, None].astype(np.float64) * corpus[None].astype(np.float64)).sum(axis=2)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(scores, order, axis=1), order


def found(queries: np.ndarray, blocks: list[np.ndarray], k: int) -> TopHits:
    hits = TopHits(queries, k)
    for block in blocks:
        hits.add(block)
    return hits


@given(st.data())
def test_hits_are_those_of_sorting_all_scores_whatever_the_blocks(data: st.DataObject) -> None:
    generator = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    queries, rows, size, k = (data.draw(st.integers(1, top)) for top in (6, 60, 20, 8))
    corpus = generator.normal(size=(rows, size)).astype(np.float32)
    # Repeated rows, and small integers, whose scores are equal exactly.
    corpus = corpus[generator.integers(0, rows, rows)] if data.draw(st.booleans()) else np.sign(corpus)
    asked = generator.normal(size=(queries, size)).astype(np.float32)
    cuts = sorted(data.draw(st.lists(st.integers(0, rows), max_size=5)))
    hits = found(asked, np.split(corpus, cuts), k)
    scores, order = sorted_hits(asked, corpus, k)
    assert hits.size == rows
    assert np.array_equal(hits.rows[:, : order.shape[1]], order)
    assert np.array_equal(hits.scores[:, : order.shape[1]], scores)
    assert (hits.rows[:, order.shape[1] :] == -1).all()


def test_scores_that_differ_only_beyond_single_precision_are_ordered() -> None:
    """In single precision, the products of the two rows with the query are equal."""
    rows = np.array([[1.0, 0.0, 1.0], [1.0, 2.0**-30, 1.0]], dtype=np.float32)
    query = np.array([[1.0, 1.0, 1.0]], dtype=np.float32)
    assert (query @ rows.T)[0, 0] == (query @ rows.T)[0, 1]
    assert found(query, [rows], 2).rows.tolist() == [[1, 0]]
    assert found(query, [rows[:1], rows[1:]], 1).rows.tolist() == [[1]]


def test_many_queries_are_searched_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "_SCORES", 50)
    monkeypatch.setattr(search, "_PRODUCTS", 16)
    generator = np.random.default_rng(0)
    queries, corpus = (generator.normal(size=(count, 8)).astype(np.float32) for count in (23, 40))
    hits = found(queries, np.split(corpus, [17, 18, 30]), 5)
    assert np.array_equal(hits.rows, sorted_hits(queries, corpus, 5)[1])


def test_equal_rows_are_hits_in_their_order() -> None:
    corpus = np.tile(np.array([[0.6, 0.8]], dtype=np.float32), (5000, 1))
    assert found(corpus[:2], np.split(corpus, 3 * [1000]), 4).rows.tolist() == [[0, 1, 2, 3]] * 2


def test_few_of_many_equal_rows_are_compared_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0
    real = search._exact

    def exact(*given: np.ndarray) -> np.ndarray:
        nonlocal asked
        asked += len(given[2])
        return real(*given)

    monkeypatch.setattr(search, "_exact", exact)
    generator = np.random.default_rng(0)
    some = generator.normal(size=(3, 8)).astype(np.float32)
    corpus, queries = np.repeat(some, [5, 2990, 5], axis=0), np.repeat(some[1:2], 20, axis=0)
    hits = found(queries, np.split(corpus, 3), 4)
    assert np.array_equal(hits.rows, sorted_hits(queries, corpus, 4)[1])
    assert asked <= 3 * 20 * (4 * 4)


def test_a_corpus_without_rows_has_no_hits() -> None:
    hits = found(np.ones((2, 3), dtype=np.float32), [np.zeros((0, 3), dtype=np.float32)], 3)
    assert hits.size == 0
    assert (hits.rows == -1).all()
