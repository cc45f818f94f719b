"""Find texts that are nearly equal, within a split and between splits, in bounded memory.

A text is compared by its set of shingles: all stretches of `_LONG` characters, or of `_SHORT` characters where Chinese, Japanese
or Korean is written, without case, punctuation and repeated whitespace. Two texts are near duplicates if the Jaccard similarity
of their sets is at least `SIMILAR`. MinHash finds the candidates (Broder 1997, "On the resemblance and containment of
documents"): `_BANDS` bands of `_ROWS` minima miss less than one pair in a hundred at this limit, and fewer above it. Each
candidate is then compared exactly, so that nothing is reported that is not true; the numbers are lower bounds.
"""

from __future__ import annotations

import re
import tempfile
import weakref
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import combinations
from typing import IO

import numpy as np
from numpy.typing import NDArray

from ie_cli.data.findings import Finding
from ie_cli.errors import counted
from ie_cli.system.atomic import storing

SIMILAR = 0.7
"""Share of common shingles above which two texts are near duplicates."""
_LONG, _SHORT = 6, 3
_FEWEST = 20  # letters and digits, below which texts such as "He said yes." are similar by chance
_LARGEST = 20_000  # characters of a text that are compared
_BANDS, _ROWS = 12, 3
_BATCH = 2**18  # characters that are hashed at once
_IN_MEMORY = 2**26  # bytes of texts, above which they are in a temporary file
_TEXTS = 1_000_000  # texts of a split
_PAIRS = 50_000  # candidates that are compared, a matter of seconds
_SHOWN = 3
_BETWEEN_SHARE, _INSIDE_SHARE = 0.01, 0.05
"""Shares of near duplicates above which they are a warning; in train, some are usual."""
_SEPARATORS = re.compile(r"[\W_]+")
_FIRST_UNSPACED = 0x2E80
_PRIME = np.uint64(0x9E3779B97F4A7C15)
_FACTORS = np.random.default_rng(20).integers(0, 2**63, _BANDS * _ROWS, dtype=np.uint64) * np.uint64(2) + np.uint64(1)

Keys = NDArray[np.uint64]


def normalize(text: str) -> str:
    """Return a text without case, and with a space for each stretch of other characters than letters and digits."""
    return _SEPARATORS.sub(" ", text[:_LARGEST].casefold()).strip()


def _shingles(texts: list[str]) -> tuple[Keys, NDArray[np.int64]]:
    """Return the hashes of all shingles of normalised texts, one text after the other, and their number by text.

    Each character begins one; those at the end of a text are shorter.
    """
    lengths = np.array([len(text) for text in texts], dtype=np.int64)
    codes = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.uint64)
    ends = np.repeat(np.cumsum(lengths), lengths)
    size = np.minimum(np.where(codes >= _FIRST_UNSPACED, _SHORT, _LONG), ends - np.arange(len(codes)))
    padded = np.concatenate([codes, np.zeros(_LONG, dtype=np.uint64)])
    hashes = np.zeros(len(codes), dtype=np.uint64)
    for offset in range(_LONG):
        longer = hashes * _PRIME + padded[offset : offset + len(codes)] + np.uint64(1)
        hashes = np.where(offset < size, longer, hashes)
    hashes ^= hashes >> np.uint64(31)
    hashes *= _PRIME
    hashes ^= hashes >> np.uint64(29)
    return hashes, lengths


def _band_keys(hashes: Keys, counts: NDArray[np.int64]) -> Keys:
    """Return a key for each band of each text, from the minima of its permuted hashes; every text has a shingle."""
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    keys = np.zeros((len(counts), _BANDS), dtype=np.uint64)
    for number, factor in enumerate(_FACTORS):
        minima = np.minimum.reduceat(hashes * factor, starts)
        band = number // _ROWS
        keys[:, band] = (keys[:, band] ^ minima) * _PRIME
        keys[:, band] ^= keys[:, band] >> np.uint64(32)
    return keys


@lru_cache(maxsize=4096)
def _set_of(text: str) -> frozenset[int]:
    return frozenset(_shingles([normalize(text)])[0].tolist())


def similarity(one: str, other: str) -> float:
    """Return the share of the shingles of two texts that both have."""
    first, second = _set_of(one), _set_of(other)
    return len(first & second) / max(1, len(first | second))


@dataclass(slots=True, weakref_slot=True)
class TextSketches:
    """The texts of a split, by the keys of their bands; the texts themselves are in a file that is in memory while it is small.

    Attributes:
        left_out: number of texts beyond the limit.
    """

    left_out: int = 0
    _keys: list[Keys] = field(default_factory=list)
    _batch: list[tuple[str, str, str]] = field(default_factory=list)  # normalised text, text, place
    _weight: int = 0
    _file: IO[bytes] | None = None
    _places: array[int] = field(default_factory=lambda: array("Q", [0]))

    def __len__(self) -> int:
        self._finish_batch()
        return len(self._places) - 1

    def add(self, text: str, where: str) -> None:
        """Add a text that is not a duplicate of an earlier one."""
        if len(self._places) + len(self._batch) > _TEXTS:
            self.left_out += 1
            return
        normalized = normalize(text)
        if len(normalized) < _FEWEST:
            return
        self._batch.append((normalized, text, where))
        self._weight += len(normalized)
        if self._weight >= _BATCH:
            self._finish_batch()

    def keys(self) -> Keys:
        """Return the keys of all texts, one line for each."""
        self._finish_batch()
        return np.concatenate([np.zeros((0, _BANDS), dtype=np.uint64), *self._keys])

    def read(self, number: int) -> tuple[str, str]:
        """Return a text and its place."""
        if self._file is None:
            raise IndexError(number)
        self._file.seek(self._places[number])
        stored = self._file.read(self._places[number + 1] - self._places[number])
        where, _, text = stored.decode("utf-8", "surrogatepass").partition("\0")
        return text, where

    def _finish_batch(self) -> None:
        """Compute the keys of the latest texts, and store these."""
        batch, self._batch, self._weight = self._batch, [], 0
        if not batch:
            return
        self._keys.append(_band_keys(*_shingles([normalized for normalized, _, _ in batch])))
        with storing(tempfile.gettempdir()):
            if self._file is None:
                self._file = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - closed with this object
                weakref.finalize(self, self._file.close)
            self._file.seek(0, 2)
            for _, text, where in batch:
                self._file.write(f"{where}\0{text}".encode("utf-8", "surrogatepass"))
                self._places.append(self._file.tell())


@dataclass(frozen=True, slots=True)
class NearPair:
    """Two nearly equal texts with their places, and the share of common shingles."""

    where: str
    text: str
    other_where: str
    other_text: str
    similarity: float

    def describe(self) -> str:
        """Return the places and the texts, from where they begin to differ."""
        at = next((i for i, (a, b) in enumerate(zip(self.text, self.other_text, strict=False)) if a != b), 0)
        at = max(0, at - 15)
        one, other = (f"{'…' if at else ''}{text[at : at + 40]}" for text in (self.text, self.other_text))
        return f"{self.where} {one!r} and {self.other_where} {other!r} ({self.similarity:.0%})"


@dataclass(slots=True)
class NearTexts:
    """Texts that have a near duplicate: those of one split that have one in another, or earlier in the same split.

    Attributes:
        count: their number.
        shown: the first pairs.
    """

    count: int = 0
    shown: list[NearPair] = field(default_factory=list)


def find_near(sketches: Mapping[str, TextSketches]) -> tuple[dict[tuple[str, str], NearTexts], bool]:
    """Return the near duplicates by pairs of splits, and whether all candidates have been compared.

    A pair of splits ``(train, dev)`` has the texts of dev that have a near duplicate in train, ``(train, train)`` those of train
    that have one earlier in train. Equal texts do not count: they are reported as such.
    """
    names = list(sketches)
    starts = np.cumsum([0, *(len(sketches[name]) for name in names)])
    found = {pair: NearTexts() for pair in [*combinations(names, 2), *((name, name) for name in names)]}
    pairs = _candidates(np.concatenate([sketches[name].keys() for name in names]))
    known: dict[tuple[str, str], set[int]] = {pair: set() for pair in found}
    for first, second in pairs[:_PAIRS].tolist():
        one, other = (int(np.searchsorted(starts, number, side="right")) - 1 for number in (first, second))
        key = names[one], names[other]
        if second in known[key]:
            continue
        text, where = sketches[names[one]].read(first - int(starts[one]))
        other_text, other_where = sketches[names[other]].read(second - int(starts[other]))
        if text == other_text or (same := similarity(text, other_text)) < SIMILAR:
            continue
        known[key].add(second)
        found[key].count += 1
        if len(found[key].shown) < _SHOWN:
            found[key].shown.append(NearPair(other_where, other_text, where, text, same))
    return found, len(pairs) <= _PAIRS


def _candidates(keys: Keys) -> NDArray[np.int64]:
    """Return the pairs of texts that share a key: each text with the first one and the last one before it, in order."""
    found: list[NDArray[np.int64]] = [np.zeros((0, 2), dtype=np.int64)]
    for band in range(_BANDS):
        order = np.argsort(keys[:, band], kind="stable")
        ordered = keys[order, band]
        same = np.flatnonzero(ordered[1:] == ordered[:-1]) + 1
        begins = np.concatenate([[True], ordered[1:] != ordered[:-1]]) if len(ordered) else np.zeros(0, dtype=bool)
        first = np.maximum.accumulate(np.where(begins, np.arange(len(ordered)), 0))
        found += [np.stack([order[same - 1], order[same]], axis=1), np.stack([order[first[same]], order[same]], axis=1)]
    return np.unique(np.concatenate(found), axis=0)


def near_findings(sketches: Mapping[str, TextSketches]) -> Iterator[Finding]:
    """Yield a finding for each split, and for each pair of splits, with near duplicates.

    Args:
        sketches: the texts of the splits by their names, train first.
    """
    found, complete = find_near(sketches)
    least = "" if complete else "at least "
    for (one, other), near in found.items():
        total = len(sketches[other])
        if not near.count:
            continue
        share = near.count / total
        listed = "".join(f"\n  {pair.describe()}" for pair in near.shown)
        alike = f"({SIMILAR:.0%} or more of their character sequences are the same, but not all of the text)"
        texts = f"{least}{near.count:,} of {counted(total, 'text')} of {_FEWEST} or more characters"
        if one == other:
            are = "is nearly equal" if near.count == 1 else "are nearly equal"
            yield Finding(
                "warning" if share >= _INSIDE_SHARE else "note",
                f"{one}: {texts} {are} to an earlier one {alike}: they count several times; remove them unless they are meant:"
                f"{listed}",
            )
        else:
            yield Finding(
                "warning" if share >= _BETWEEN_SHARE else "note",
                f"{one} contains a nearly equal text for {texts} of {other} {alike}: scores on {other} may be too high; remove "
                f"them from one of the two:{listed}",
            )
    if beyond := {name: texts.left_out for name, texts in sketches.items() if texts.left_out}:
        parts = ", ".join(f"{name} {number:,}" for name, number in beyond.items())
        yield Finding(
            "note", f"texts beyond the first {_TEXTS:,} of a split, which were not compared with similar ones: {parts}"
        )
