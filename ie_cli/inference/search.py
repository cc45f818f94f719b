"""Exact search for the most similar vectors, by matrix products of blocks; memory does not grow with the corpus."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]

_SCORES = 2**22  # scores in one product
_PRODUCTS = 2**22  # numbers in one block of exact products


class TopHits:
    """The best hits of some queries among the rows of a corpus that is added in blocks.

    The scores are dot products in double precision. The products of blocks in single precision only find the candidates:
    all rows whose score may be among the best, given the largest possible rounding error. The result is therefore that of
    sorting all scores, and does not depend on the blocks; of two rows with equal scores, the earlier one comes first.

    Args:
        queries: float32 ``[queries, d]``.
        k: maximum number of hits of a query.

    Attributes:
        scores: float64 ``[queries, k]``, descending; -inf where there are fewer hits.
        rows: the numbers of the rows; int64 ``[queries, k]``, -1 where there are fewer hits.
        size: the number of rows so far.
    """

    def __init__(self, queries: Floats, k: int) -> None:
        self._queries = np.ascontiguousarray(queries, dtype=np.float32)
        self._k = k
        self.scores: Doubles = np.full((len(queries), k), -np.inf)
        self.rows: Index = np.full((len(queries), k), -1, dtype=np.int64)
        self.size = 0
        self._possible: npt.NDArray[np.bool_] | None = None  # of the current block; found only if it is needed

    def add(self, block: Floats) -> None:
        """Add the next rows of the corpus; float32 ``[rows, d]``."""
        self._possible = None
        if len(block):
            error = _rounding_error(self._queries, block)
            step = max(1, _SCORES // len(block))
            for first in range(0, len(self._queries), step):
                self._add(slice(first, first + step), block, error)
        self.size += len(block)

    def _add(self, part: slice, block: Floats, error: float) -> None:
        """Add a block for some of the queries."""
        queries = self._queries[part]
        scores = queries @ block.T
        needed = self.scores[part, -1:] - error
        many = 4 * self._k * len(queries)
        if len(block) > self._k and np.count_nonzero(scores >= needed) > many:
            best = np.partition(scores, -self._k, axis=1)[:, -self._k, None]
            needed = np.maximum(needed, best - 2 * error)
        candidates = scores >= needed
        if np.count_nonzero(candidates) > many:  # many rows are equal, or nearly so
            if self._possible is None:
                self._possible = _first_of_equal(block, self._k)
            candidates &= self._possible
        query, row = np.nonzero(candidates)
        if len(query):
            self._merge(part.start + query, self.size + row, _exact(queries, block, query, row))

    def _merge(self, query: Index, row: Index, score: Doubles) -> None:
        """Merge candidates into the hits of their queries; `query` is sorted."""
        changed = np.unique(query)
        query = np.concatenate([np.repeat(changed, self._k), query])
        row = np.concatenate([self.rows[changed].ravel(), row])
        score = np.concatenate([self.scores[changed].ravel(), score])
        order = np.lexsort((row, -score, query))
        query, row, score = query[order], row[order], score[order]
        rank = np.arange(len(query)) - np.searchsorted(query, query)
        kept = rank < self._k
        self.rows[query[kept], rank[kept]] = row[kept]
        self.scores[query[kept], rank[kept]] = score[kept]


def _first_of_equal(block: Floats, k: int) -> npt.NDArray[np.bool_]:
    """Return which rows are among the first `k` of those that are equal: no others can be among the best `k`; ``[rows]``."""
    rows = np.ascontiguousarray(block).view(np.dtype((np.void, block.itemsize * block.shape[1]))).ravel()
    group = np.unique(rows, return_inverse=True)[1]
    order = np.argsort(group, kind="stable")
    rank = np.arange(len(rows)) - np.searchsorted(group[order], group[order])
    found = np.empty(len(rows), dtype=np.bool_)
    found[order] = rank < k
    return found


def _rounding_error(queries: Floats, block: Floats) -> float:
    """Return a bound on the error of a score in single precision: d·2⁻²⁴ times both norms, twice that for safety."""
    first, second = (float(np.sqrt(np.einsum("nd,nd->n", part, part).max(initial=0.0))) for part in (queries, block))
    return float(2.0 * queries.shape[1] * 2.0**-24 * first * second)


def _exact(queries: Floats, block: Floats, query: Index, row: Index) -> Doubles:
    """Return the scores of pairs in double precision, which depend on the two vectors alone; float64 ``[pairs]``."""
    scores = np.empty(len(query))
    step = max(1, _PRODUCTS // max(1, queries.shape[1]))
    for first in range(0, len(query), step):
        part = slice(first, first + step)
        products = queries[query[part]].astype(np.float64) * block[row[part]]
        scores[part] = products.sum(axis=1)
    return scores
