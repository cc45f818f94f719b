"""A batch sampler that groups rows of similar length."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from ie_cli.modeling.batch import Numbers

POOL = 50
"""Number of batches whose rows are sorted by length together: little padding, but still shuffled."""


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
        batches: list[npt.NDArray[np.int64]] = []
        step = POOL * (self.batch_size if self.batch_tokens is None else self._mean_size())
        for start in range(0, len(rows), step):
            pool = rows[start : start + step]
            batches.extend(self._split(pool[np.argsort(self.lengths[pool], kind="stable")]))
        order = random.permutation(len(batches))
        self.batches = [batches[i] for i in order]

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

    def _drawn(self, random: np.random.Generator) -> npt.NDArray[np.int64]:
        """Return the rows of an epoch: all with gold items, and a share of the others."""
        without = np.nonzero(self.negative)[0]
        drawn = random.permutation(without)[: round(self.negatives * len(without))]
        return np.concatenate([np.nonzero(~self.negative)[0], drawn])

    def _mean_size(self) -> int:
        return self.shares * max(1, int((self.batch_tokens or 0) / max(1.0, float(self.lengths.mean()))))

    def _split(self, pool: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[np.int64]]:
        if self.batch_tokens is None:
            for start in range(0, len(pool), self.batch_size):
                yield pool[start : start + self.batch_size]
            return
        yield from split_by_tokens(pool, self.lengths[pool], self.batch_tokens, shares=self.shares)


def split_by_tokens(
    pool: npt.NDArray[np.int64], lengths: npt.NDArray[np.int32], most: int, *, shares: int = 1
) -> Iterator[npt.NDArray[np.int64]]:
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
