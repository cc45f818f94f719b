"""A batch sampler of pairs whose batches hold several levels, so that losses which compare pairs have something to compare."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ie_cli.training.length_buckets import POOL, Batches, LengthBuckets, Rows, split_by_tokens

_GROUPS = 8  # more levels than this are grouped: the grades of a pool are nearly all different


class LevelBuckets(LengthBuckets):
    """A batch sampler that shuffles in each epoch, groups pairs of similar length, and mixes the levels in each batch.

    Every pool has its share of each level. Its pairs are sorted by their place among the pairs of the same level by length, so
    that the levels of any few consecutive ones are in proportion; a batch that still has only one level exchanges a pair with
    another batch, unless one of the two would then exceed `batch_tokens`. The number of batches of a pool with a single level is
    otherwise the least possible with each pair once in an epoch: that by which they outnumber its pairs outside the most
    frequent level.

    Args:
        lengths: number of tokens in each row.
        levels: level of each row.
        batch_size: number of rows in a batch.
        batch_tokens: maximum number of tokens in a batch including padding, instead of `batch_size`.
        seed: random seed.
        shares: number of processes that share a batch, as in `LengthBuckets`.
    """

    def __init__(
        self,
        lengths: npt.NDArray[np.int32],
        levels: npt.NDArray[np.float32],
        *,
        batch_size: int,
        batch_tokens: int | None = None,
        seed: int = 0,
        shares: int = 1,
    ) -> None:
        self.levels = levels
        super().__init__(
            lengths,
            np.zeros(len(levels), bool),
            batch_size=batch_size,
            batch_tokens=batch_tokens,
            seed=seed,
            shares=shares,
        )

    def set_epoch(self, epoch: int) -> None:
        """Select the epoch for the next iteration; the same seed and epoch give the same batches."""
        random = np.random.default_rng([self.seed, epoch])
        rows = random.permutation(len(self.levels))
        rows = rows[
            np.argsort(_places(_groups(self.levels[rows])), kind="stable")
        ]  # no pool has too few of a rare level
        step = POOL * (self.batch_size if self.batch_tokens is None else self._mean_size())
        batches: list[Rows] = []
        for pool in np.array_split(rows, -(-len(rows) // step)):  # of similar size, so that no small one is left over
            batches.extend(self._mixed(pool))
        self.batches = Batches.of(batches, random.permutation(len(batches)))

    def single_level(self) -> int:
        """Return the number of batches of this epoch with a single level."""
        return sum(len(set(self.levels[batch].tolist())) < 2 for batch in self.batches)

    def _mixed(self, pool: Rows) -> list[Rows]:
        """Return the batches of a pool."""
        pool = pool[np.argsort(self.lengths[pool], kind="stable")]
        order = np.argsort(_places(_groups(self.levels[pool])), kind="stable")
        pool = pool[order]
        if self.batch_tokens is None:
            batches = np.array_split(pool, -(-len(pool) // self.batch_size))
        else:
            parts = split_by_tokens(pool, self.lengths[pool], self.batch_tokens, shares=self.shares)
            batches = [batch.copy() for batch in parts]
        levels = [self.levels[batch].tolist() for batch in batches]
        most = None if self.batch_tokens is None else self.batch_tokens * self.shares
        _exchange(batches, levels, lengths=self.lengths, most=most)
        return batches


def _groups(levels: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """Return the group of each level: consecutive levels, all groups with about the same number of rows."""
    distinct, number, counts = np.unique(levels, return_inverse=True, return_counts=True)
    if len(distinct) <= _GROUPS:
        return number.astype(np.int64)
    middle = np.cumsum(counts) - counts / 2
    groups: npt.NDArray[np.int64] = (middle * _GROUPS / len(levels)).astype(np.int64)[number]
    return groups


def _places(groups: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return the place of each row among those of its group, from 0 to 1."""
    places = np.empty(len(groups))
    for group in np.unique(groups):
        members = np.flatnonzero(groups == group)
        places[members] = (np.arange(len(members)) + 0.5) / len(members)
    return places


def _exchange(
    batches: list[Rows], levels: Sequence[list[float]], *, lengths: npt.NDArray[np.int32], most: int | None
) -> None:
    """Give each batch with a single level a row of another level from the nearest batch that can spare one, in place.

    Args:
        batches: the rows of each batch.
        levels: their levels.
        lengths: the number of tokens in each row.
        most: maximum number of tokens in a batch including padding.
    """
    counts = [Counter(of_batch) for of_batch in levels]
    for poor in range(len(batches)):
        if len(counts[poor]) > 1 or len(batches[poor]) < 2:
            continue
        [level] = counts[poor]
        for rich in sorted(range(len(batches)), key=lambda other: abs(other - poor)):
            places = (at for at, own in enumerate(levels[rich]) if own != level and _spares(counts[rich], own, level))
            given = next((at for at in places if _fit(batches[poor], batches[rich], at, lengths, most)), None)
            if given is not None:
                batches[poor][0], batches[rich][given] = batches[rich][given], batches[poor][0]
                levels[poor][0], levels[rich][given] = levels[rich][given], level
                counts[poor], counts[rich] = Counter(levels[poor]), Counter(levels[rich])
                break


def _fit(poor: Rows, rich: Rows, given: int, lengths: npt.NDArray[np.int32], most: int | None) -> bool:
    """Return whether both batches have at most `most` tokens after the first row of `poor` is exchanged for one of `rich`."""
    if most is None:
        return True
    taken, left = np.append(poor[1:], rich[given]), np.append(np.delete(rich, given), poor[0])
    return all(len(batch) * int(lengths[batch].max()) <= most for batch in (taken, left))


def _spares(counts: Counter[float], given: float, taken: float) -> bool:
    """Return whether a batch has several levels after a row is exchanged; one with a single row never has."""
    left = counts - Counter([given])
    return len(left | Counter([taken])) > 1 or counts.total() == 1
