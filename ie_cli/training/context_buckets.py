"""A batch sampler that joins some texts to longer ones, others in each epoch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
import numpy.typing as npt

from ie_cli.modeling.batch import Numbers
from ie_cli.recipe.context import ContextSection
from ie_cli.training.encoded_dataset import EncodedDataset
from ie_cli.training.length_buckets import POOL, Batches, LengthBuckets, Rows, split_by_tokens


@dataclass(frozen=True, slots=True)
class Extent:
    """The size of the samples of a run, single or joined: the 99th percentiles of their numbers of texts and of text tokens."""

    texts: int
    tokens: int


class Samples(Sequence[Numbers]):
    """Rows, or tuples of rows that are joined, in two arrays.

    Args:
        rows: the rows of all samples, sample by sample.
        counts: the number of rows of each sample.
    """

    def __init__(self, rows: Rows, counts: npt.NDArray[np.int32]) -> None:
        self._rows = rows
        self._starts = np.append(0, np.cumsum(counts)).astype(rows.dtype)

    def __len__(self) -> int:
        return len(self._starts) - 1

    @overload
    def __getitem__(self, number: int) -> Numbers: ...

    @overload
    def __getitem__(self, number: slice) -> Sequence[Numbers]: ...

    def __getitem__(self, number: int | slice) -> Numbers | Sequence[Numbers]:
        if isinstance(number, slice):
            return [self[one] for one in range(*number.indices(len(self)))]
        if not 0 <= number < len(self):
            raise IndexError(number)
        rows: list[int] = self._rows[self._starts[number] : self._starts[number + 1]].tolist()
        return rows[0] if len(rows) == 1 else tuple(rows)

    def joined(self) -> npt.NDArray[np.int64]:
        """Return the numbers of the samples that are several rows."""
        return np.flatnonzero(np.diff(self._starts) > 1)

    def rows_of(self, numbers: npt.NDArray[np.int64]) -> int:
        """Return the number of rows of some samples."""
        return int((self._starts[numbers + 1] - self._starts[numbers]).sum())

    def sums(self, values: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
        """Return the sum of the values of the rows of each sample, given those of all rows of the dataset."""
        if not len(self):
            return np.zeros(0, np.int32)
        sums: npt.NDArray[np.int32] = np.add.reduceat(values[self._rows], self._starts[:-1])
        return sums


class ContextBuckets(LengthBuckets):
    """A batch sampler whose samples are rows, or several rows that are joined to one text.

    Which texts are joined, and how many at a time, is drawn again in each epoch. A batch has about `batch_size` texts, so that
    the number of steps and the number of tokens in a step are those without joining.

    Args:
        dataset: the encoded dataset, with texts.
        context: how many texts to join, and which.
        gap: the largest number of tokens between two texts.
        longest: the number of tokens that a joined text may have, without special tokens.
        batch_size: number of texts in a batch.
        batch_tokens: maximum number of tokens in a batch including padding, instead of `batch_size`.
        negatives: share of the negative windows to draw in each epoch.
        seed: random seed.
        shares: number of processes that share a batch, as in `LengthBuckets`.

    Attributes:
        samples: the samples of the epoch.
        documents: the number of the document of each row.
    """

    def __init__(
        self,
        dataset: EncodedDataset,
        context: ContextSection,
        *,
        gap: int,
        longest: int,
        batch_size: int,
        batch_tokens: int | None = None,
        negatives: float = 1.0,
        seed: int = 0,
        shares: int = 1,
    ) -> None:
        self._context, self._gap = context, gap
        self._with_text, self.documents = dataset.with_text, dataset.documents
        self._special = dataset.prefix + dataset.suffix
        self._longest = longest + self._special
        self._epoch = -1
        super().__init__(
            dataset.lengths,
            dataset.negative,
            batch_size=batch_size,
            batch_tokens=batch_tokens,
            negatives=negatives,
            seed=seed,
            shares=shares,
        )

    def set_epoch(self, epoch: int) -> None:
        """Select the epoch for the next iteration; the same seed and epoch give the same batches."""
        if epoch == self._epoch:
            return
        self._epoch = epoch
        random = np.random.default_rng([self.seed, epoch])
        rows = self._drawn(random)
        joinable = self._with_text[rows]
        joined, counts = self._join(rows[joinable], random)
        single = rows[~joinable]
        self._counts = np.concatenate([np.ones(len(single), np.int32), counts])
        self.samples = Samples(np.concatenate([single, joined]), self._counts)
        self._sizes = self._sizes_of(self.samples)
        batches = list(self._batches(random.permutation(len(self.samples))))
        self.batches = Batches.of(batches, random.permutation(len(batches)))

    def __iter__(self) -> Iterator[list[Numbers]]:
        for batch in self.batches:
            yield [self.samples[number] for number in batch.tolist()]

    @property
    def sizes(self) -> npt.NDArray[np.int32]:
        """The number of tokens in each sample of the epoch; an estimate for joined texts."""
        return self._sizes

    def heaviest(self) -> list[Numbers]:
        """Return a batch of the longest samples."""
        order = np.argsort(-self._sizes, kind="stable")
        if self.batch_tokens is not None:
            order = order[: self.shares * max(1, self.batch_tokens // int(self._sizes.max()))]
        else:
            before = np.cumsum(self._counts[order]) - self._counts[order]
            order = order[before < self.batch_size]
        return [self.samples[number] for number in order.tolist()]

    def extent(self) -> Extent:
        """Return the size of nearly all samples of the epoch."""
        texts, tokens = (int(np.percentile(values, 99, method="higher")) for values in (self._counts, self._sizes))
        return Extent(texts, tokens - self._special)

    def _sizes_of(self, samples: Samples) -> npt.NDArray[np.int32]:
        text = samples.sums(self.lengths) - self._counts * self._special
        sizes: npt.NDArray[np.int32] = (text + (self._counts - 1) * self._gap + self._special).astype(np.int32)
        return sizes

    def size(self, sample: Numbers) -> int:
        """Return the number of tokens in a sample; an estimate for joined texts."""
        if not isinstance(sample, tuple):
            return int(self.lengths[sample])
        text = int(self.lengths[list(sample)].sum()) - len(sample) * self._special
        return text + (len(sample) - 1) * self._gap + self._special

    def _join(self, rows: Rows, random: np.random.Generator) -> tuple[Rows, npt.NDArray[np.int32]]:
        """Return the rows in the order in which they are joined, and how many each sample has.

        A group begins with a probability that makes the share of the joined texts that of the recipe on average.
        """
        share, most = self._context.share, self._context.texts
        rows = np.sort(rows) if self._context.order == "neighbours" else random.permutation(rows)
        mean = (2 + most) / 2
        begins = random.random(len(rows)) < share / (mean - share * (mean - 1))
        sizes = np.where(begins, random.integers(2, most + 1, len(rows)), 1)
        # The first group of some consecutive texts may be smaller: otherwise `share: 1, texts: 2` would always give the same.
        first = 1 + (random.random(len(rows)) * sizes).astype(np.int64)
        follows = np.zeros(len(rows), dtype=bool)
        if self._context.order == "neighbours":
            follows[1:] = np.diff(self.documents[rows]) == 1
        else:
            follows[1:] = True
        added = self.lengths[rows] - self._special + self._gap
        # Memory views have Python's numbers one at a time, whereas lists would have those of all rows.
        views = added.data, np.where(follows, sizes, first).data, follows.data
        return rows, np.fromiter(self._groups(*views), dtype=np.int32)

    def _groups(self, added: memoryview, sizes: memoryview, follows: memoryview) -> Iterator[int]:
        """Yield the numbers of rows of groups: the size at the first row, or fewer if they do not follow or do not fit.

        Args:
            added: the tokens of each row and of the text before it.
            sizes: the size of the group that begins with each row.
            follows: whether each row may follow the one before it.
        """
        at = 0
        while at < len(added):
            end, left = at + 1, self._longest - self._special + self._gap - added[at]
            while end < min(at + sizes[at], len(added)) and follows[end] and added[end] <= left:
                left -= added[end]
                end += 1
            yield end - at
            at = end

    def _batches(self, order: Rows) -> Iterator[Rows]:
        """Yield batches of samples of similar length, given a random order of all samples."""
        if self.batch_tokens is not None:
            step = POOL * self.shares * max(1, int(self.batch_tokens / max(1.0, float(self._sizes.mean()))))
            for start in range(0, len(order), step):
                pool = self._sorted(order[start : start + step])
                yield from split_by_tokens(pool, self._sizes[pool], self.batch_tokens, shares=self.shares)
            return
        # The number of batches follows from the number of texts, so that it is the same in each epoch.
        batches = -(-int(self._counts.sum()) // self.batch_size)
        pools = self._before(order) // (POOL * self.batch_size)
        numbers = np.unique(pools).tolist()
        for number in numbers:
            pool = self._sorted(order[pools == number])
            # A sample may reach beyond its pool, and even make up the rest; the last pool then has one batch more.
            count = batches - number * POOL if number == numbers[-1] else POOL
            batch_of = self._before(pool) * count // self._counts[pool].sum()
            yield from np.split(pool, np.nonzero(np.diff(batch_of))[0] + 1)

    def _sorted(self, pool: Rows) -> Rows:
        return pool[np.argsort(self._sizes[pool], kind="stable")]

    def _before(self, order: Rows) -> Rows:
        """Return the number of texts in all samples before each one."""
        before: Rows = np.cumsum(self._counts[order]) - self._counts[order]
        return before
