"""Groups of texts that are equal or nearly equal, found by MinHash and verified exactly.

Two texts are nearly equal if the Jaccard similarity of their sets of character trigrams reaches a limit; a group contains all
texts that such pairs connect. Case, whitespace and compatibility forms (NFKC) are ignored. A trigram is stored as its three
code points, so that the similarity that decides is exact. Signatures decide which pairs are compared (Broder 1997, "On the
resemblance and containment of documents"), in bands (Leskovec et al., "Mining of Massive Datasets", 3.4): with a similarity of
0.8, a pair has none of the 16 bands of 4 values in common with probability 0.0002; lower limits use 32 bands of 2 values.

Trigrams and signatures are in temporary files that are mapped into memory.
"""

from __future__ import annotations

import tempfile
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from ie_cli.data.disjoint_sets import DisjointSets, Index
from ie_cli.system.atomic import storing

SIMILARITY = 0.8
"""The default limit: a text of 30 characters with another one in its middle has a similarity of 0.82."""
_VALUES = 64
"""The number of values of a signature."""
_LAGS = 16
"""In a bucket, a text is compared with this number of texts before it, so that large buckets are connected as chains."""
_MARGIN = 0.25
"""Pairs whose estimated similarity is lower than the limit by this are not verified: 4 standard deviations of the estimate."""
_MAX_TEXTS, _MAX_CHARACTERS = 4096, 500_000
"""Limits on the texts that are hashed at once."""

Integers = npt.NDArray[np.uint64]


def groups(texts: Iterable[str], *, similarity: float = SIMILARITY) -> list[int]:
    """Return the number of each text's group; groups are numbered in the order of their first texts.

    Args:
        texts: the texts, which are read once and not kept.
        similarity: the Jaccard similarity from which two texts are nearly equal, from 0.5 to 1.

    Raises:
        StorageError: the temporary files cannot be written.
    """
    with ExitStack() as stack:
        stored = _Stored.of(texts, stack)
        sets = DisjointSets(stored.count)
        _unite(stored, sets, similarity)
    return [int(number) for number in sets.numbers()]


def similarity_of(one: str, other: str) -> float:
    """Return the Jaccard similarity of the trigrams of two texts.

    >>> similarity_of("Ann met Bob", "ann  met bob"), similarity_of("abcd", "wxyz")
    (1.0, 0.0)
    """
    a, b = (_trigrams([text])[0] for text in (one, other))
    shared = np.intersect1d(a, b, assume_unique=True).size
    return float(shared / (a.size + b.size - shared))


@dataclass(frozen=True, slots=True)
class _Stored:
    """The texts as sets of trigrams, with their signatures.

    Attributes:
        offsets: [texts + 1] where the trigrams of each text begin in `trigrams`.
        trigrams: [sum of trigrams], sorted within each text.
        signatures: [texts, values]
    """

    offsets: Index
    trigrams: Integers
    signatures: npt.NDArray[np.uint32]

    @property
    def count(self) -> int:
        return len(self.offsets) - 1

    @classmethod
    def of(cls, texts: Iterable[str], stack: ExitStack) -> _Stored:
        """Store texts in temporary files, which are removed when the stack is closed."""
        lengths = [np.zeros(1, np.int64)]
        with storing(tempfile.gettempdir()):
            trigram_file = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
            signature_file = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
            for batch in _batches(texts):
                trigrams, counts = _trigrams(batch)
                lengths.append(counts)
                trigram_file.write(trigrams.tobytes())
                signature_file.write(_signatures(trigrams, counts).tobytes())
            mapped = _mapped(trigram_file, np.uint64), _mapped(signature_file, np.uint32)
        return cls(np.cumsum(np.concatenate(lengths)), mapped[0], mapped[1].reshape(-1, _VALUES))

    def verified(self, pairs: Index, similarity: float) -> npt.NDArray[np.bool_]:
        """Return which pairs of texts are nearly equal.

        Args:
            pairs: [pairs, 2]
            similarity: the limit.
        """
        found = np.zeros(len(pairs), np.bool_)
        for place, (one, other) in enumerate(pairs):
            a, b = (self.trigrams[self.offsets[text] : self.offsets[text + 1]] for text in (one, other))
            if min(a.size, b.size) >= similarity * max(a.size, b.size):
                shared = np.intersect1d(a, b, assume_unique=True).size
                found[place] = shared >= similarity * (a.size + b.size - shared)
        return found


def _unite(stored: _Stored, sets: DisjointSets, similarity: float) -> None:
    """Unite the texts that are nearly equal."""
    rows = 4 if similarity >= SIMILARITY else 2
    labels = sets.labels()
    different: Index = np.empty(0, np.int64)  # sorted keys of the pairs that are not nearly equal
    for first in range(0, _VALUES, rows):
        keys = [different]
        for pairs in _candidates(stored.signatures[:, first : first + rows]):
            pairs = pairs[labels[pairs[:, 0]] != labels[pairs[:, 1]]]
            pairs = pairs[~_contains(different, pairs[:, 0] * stored.count + pairs[:, 1])]
            equal = stored.signatures[pairs[:, 0]] == stored.signatures[pairs[:, 1]]
            pairs = pairs[equal.mean(axis=1) >= similarity - _MARGIN]
            found = stored.verified(pairs, similarity)
            keys.append(pairs[~found, 0] * stored.count + pairs[~found, 1])
            if found.any():
                sets.unite(map(tuple, pairs[found].tolist()))
                labels = sets.labels()
        different = np.sort(np.concatenate(keys))


def _contains(ordered: Index, keys: Index) -> npt.NDArray[np.bool_]:
    """Return which keys are among sorted ones."""
    return np.searchsorted(ordered, keys, "left") < np.searchsorted(ordered, keys, "right")


def _candidates(band: npt.NDArray[np.uint32]) -> Iterator[Index]:
    """Yield arrays of pairs of texts whose values in a band are equal.

    Args:
        band: [texts, rows]
    """
    key = np.zeros(len(band), np.uint64)
    for values in band.T:
        key = _mixed(key ^ values.astype(np.uint64))
    order = np.argsort(key, kind="stable")
    key = key[order]
    for lag in range(1, min(_LAGS, len(key) - 1) + 1):
        same = np.flatnonzero(key[lag:] == key[:-lag])
        if not len(same):
            return
        yield np.stack([order[same], order[same + lag]], axis=1)


def _batches(texts: Iterable[str]) -> Iterator[list[str]]:
    """Yield the texts in lists within the limits."""
    batch: list[str] = []
    characters = 0
    for text in texts:
        batch.append(text)
        characters += len(text)
        if len(batch) >= _MAX_TEXTS or characters >= _MAX_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def _trigrams(texts: Sequence[str]) -> tuple[Integers, Index]:
    """Return the sorted trigrams of each text, one text after another, and their numbers.

    Two null characters follow each text, and an empty text is one, so that each text has a trigram.
    """
    normalised = [" ".join(unicodedata.normalize("NFKC", text).casefold().split()) or "\0" for text in texts]
    characters = "".join(f"{text}\0\0" for text in normalised).encode("utf-32-le", "surrogatepass")
    codes = np.frombuffer(characters, np.uint32).astype(np.uint64)
    lengths = np.array([len(text) for text in normalised], np.int64)
    owner = np.repeat(np.arange(len(normalised)), lengths + 2)
    inside = np.ones(len(codes), np.bool_)
    ends = np.cumsum(lengths + 2)
    inside[ends - 1] = inside[ends - 2] = False
    packed = codes.copy()
    packed[:-1] |= codes[1:] << np.uint64(21)
    packed[:-2] |= codes[2:] << np.uint64(42)
    packed, owner = packed[inside], owner[inside]
    order = np.lexsort((packed, owner))
    packed, owner = packed[order], owner[order]
    new = np.ones(len(packed), np.bool_)
    new[1:] = (packed[1:] != packed[:-1]) | (owner[1:] != owner[:-1])
    return packed[new], np.bincount(owner[new], minlength=len(normalised)).astype(np.int64)


def _signatures(trigrams: Integers, lengths: Index) -> npt.NDArray[np.uint32]:
    """Return the signatures of texts, [texts, values], by multiply-shift hashing; no text may have no trigram."""
    random = np.random.default_rng(0)
    factors = random.integers(0, 2**63, _VALUES, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    starts = np.cumsum(lengths) - lengths
    mixed = _mixed(trigrams)
    signatures = np.empty((len(lengths), len(factors)), np.uint32)
    for place, factor in enumerate(factors):
        hashed = ((mixed * factor) >> np.uint64(32)).astype(np.uint32)
        signatures[:, place] = np.minimum.reduceat(hashed, starts)
    return signatures


def _mixed(values: Integers) -> Integers:
    """Return well-mixed values, by the finaliser of SplitMix64 (Steele et al. 2014)."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _mapped(file: IO[bytes], kind: type[Any]) -> npt.NDArray[Any]:
    """Return the values in a file, mapped into memory."""
    file.flush()
    return np.asarray(np.memmap(file, kind, "r")) if file.tell() else np.empty(0, kind)
