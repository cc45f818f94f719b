"""A batch sampler that groups rows of similar length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ie_cli.modeling.batch import Numbers

POOL = 50
"""Number of batches whose rows are sorted by length together: little padding, but still shuffled."""

Rows = npt.NDArray[np.integer[Any]]


class Batches:
    """The batches of an epoch, in one array instead of one object per batch.

    Args:
        rows: the rows of all batches, batch by batch.
        counts: the number of rows of each batch.
        order: the order of the batches in the epoch.
    """

    def __init__(self, rows: Rows, counts: Rows, order: Rows) -> None:
        kind = np.int32 if len(rows) < 2**31 else np.int64
        self._rows, self._order = rows, order.astype(kind)
        self._bounds = np.append(0, np.cumsum(counts)).astype(kind)

    @classmethod
    def of(cls, batches: Sequence[Rows], order: Rows) -> Batches:
        """Join batches that are arrays of their own."""
        rows = np.concatenate(batches) if batches else np.zeros(0, np.int64)
        return cls(rows, np.array([len(batch) for batch in batches], np.int64), order)

    def __len__(self) -> int:
        return len(self._order)

    def __iter__(self) -> Iterator[Rows]:
        for number in self._order:
            yield self._rows[self._bounds[number] : self._bounds[number + 1]]


class LengthBuckets:
    """A batch sampler that shuffles in each epoch, and groups windows of similar length.

    Args:
        lengths: number of tokens in each window.
        negative: whether each window has no gold items.
        batch_size: number of windows in a batch.
        batch_tokens: maximum number of tokens in a batch including padding, instead of `batch_size`.
        negatives: share of the negative windows to draw in each epoch.
        seed: random seed.
        shares: number of processes that share a batch, which has `batch_size` windows, or up to `batch_tokens` tokens, for each.
    """

    def __init__(
        self,
        lengths: npt.NDArray[np.int32],
        negative: npt.NDArray[np.bool_],
        *,
        batch_size: int,
        batch_tokens: int | None = None,
        negatives: float = 1.0,
        seed: int = 0,
        shares: int = 1,
    ) -> None:
        self.lengths, self.negative, self.shares = lengths, negative, shares
        self.batch_size, self.batch_tokens = batch_size * shares, batch_tokens
        self.negatives, self.seed = negatives, seed
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Select the epoch for the next iteration; the same seed and epoch give the same batches."""
        random = np.random.default_rng([self.seed, epoch])
        rows = self._drawn(random)
        random.shuffle(rows)
        step = POOL * (self.batch_size if self.batch_tokens is None else self._mean_size())
        sizes: list[Rows] = []
        for start in range(0, len(rows), step):
            pool = rows[start : start + step]
            pool[:] = pool[np.argsort(self.lengths[pool], kind="stable")]
            sizes.append(self._batch_sizes(pool))
        counts = np.concatenate(sizes) if sizes else np.zeros(0, np.int64)
        self.batches = Batches(rows, counts, random.permutation(len(counts)))

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[Numbers]]:
        for batch in self.batches:
            yield batch.tolist()

    @property
    def sizes(self) -> npt.NDArray[np.int32]:
        """The number of tokens in each sample."""
        return self.lengths

    def size(self, sample: Numbers) -> int:
        """Return the number of tokens in a sample of the epoch."""
        return int(self.lengths[sample])

    def heaviest(self) -> list[Numbers]:
        """Return a batch of the longest rows."""
        count = self.batch_size
        if self.batch_tokens is not None:
            count = self.shares * max(1, self.batch_tokens // int(self.lengths.max()))
        rows: list[Numbers] = np.argsort(-self.lengths, kind="stable")[:count].tolist()
        return rows

    def _drawn(self, random: np.random.Generator) -> Rows:
        """Return the rows of an epoch: all with gold items, and a share of the others."""
        kind = np.int32 if len(self.negative) < 2**31 else np.int64
        without = np.nonzero(self.negative)[0].astype(kind)
        drawn = random.permutation(without)[: round(self.negatives * len(without))]
        return np.concatenate([np.nonzero(~self.negative)[0].astype(kind), drawn])

    def _mean_size(self) -> int:
        return self.shares * max(1, int((self.batch_tokens or 0) / max(1.0, float(self.lengths.mean()))))

    def _batch_sizes(self, pool: Rows) -> Rows:
        """Return the number of rows of each batch of a pool that is sorted by length."""
        if self.batch_tokens is None:
            starts = np.arange(0, len(pool), self.batch_size)
            return np.diff(np.append(starts, len(pool)))
        parts = split_by_tokens(pool, self.lengths[pool], self.batch_tokens, shares=self.shares)
        return np.array([len(part) for part in parts])


def split_by_tokens(pool: Rows, lengths: npt.NDArray[np.int32], most: int, *, shares: int = 1) -> Iterator[Rows]:
    """Yield consecutive rows, as many as do not have more than `most` tokens with padding; at least one.

    Args:
        pool: the rows.
        lengths: the number of tokens in each of them.
        most: maximum number of tokens.
        shares: number of equal shares of which none is to have more.
    """
    start, longest = 0, 0
    for end, length in enumerate(lengths.tolist()):
        longest = max(longest, length)
        if end > start and longest * -(-(end + 1 - start) // shares) > most:
            yield pool[start:end]
            start, longest = end, length
    if len(pool):
        yield pool[start:]
