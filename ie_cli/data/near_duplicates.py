"""Groups of texts that are equal or nearly equal: exact, and in bounded memory.

A text is compared by its set of shingles: all stretches of six characters, or of three where Chinese, Japanese or Korean is
written, without case, punctuation, repeated whitespace and compatibility forms (NFKC). A text of fewer than `FEWEST` characters
is a single shingle, because such texts are similar by chance. Two texts are near duplicates if the Jaccard similarity of their
sets reaches a limit; a group contains all texts that such pairs connect. This is the only definition of near duplicates:
`ie split` keeps the groups together, and `ie check` reports them.

No pair is missed. With the shingles of each text in the same order, the rarest first, two similar sets have one of their first
shingles in common (prefix filtering: Chaudhuri et al. 2006, Bayardo et al. 2007, "Scaling up all pairs similarity search"). The
texts that have one in common are compared by bitmaps, which bound the similarity from above (Sandes et al. 2020), and then by
all shingles. A shingle is stored as a hash of 64 bits.

Shingles, their prefixes and the bitmaps are in temporary files; in memory, there are a few numbers for each text.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from ie_cli.data.disjoint_sets import DisjointSets, Index
from ie_cli.system.atomic import storing

SIMILARITY = 0.7
"""The default limit: of two texts of 35 letters, one may have a letter more, or another letter, in its middle."""
FEWEST = 20
"""The number of characters, letters and digits and single spaces, from which a text is compared by its parts."""
_LONG, _SHORT = 6, 3
_FIRST_UNSPACED = 0x2E80
_SEPARATORS = re.compile(r"[\W_]+")
_WORDS = 8  # of 64 bits in a bitmap: enough for texts of some hundred characters
_COUNTERS = 2**22  # of the occurrences of shingles; several share one, which changes only the order
_ENTRIES = 2**22  # of prefixes that are compared at once
_PAIRS = 2**17  # that are compared at once
_SHINGLES = 2**21  # of pairs that are compared at once
_MAX_TEXTS, _MAX_CHARACTERS = 4096, 2**19
"""Limits on the texts that are hashed at once."""
_TOLERANCE = 1e-9  # of limits before the exact comparison, so that rounding loses no pair

Hashes = npt.NDArray[np.uint64]


def groups(texts: Iterable[str], *, similarity: float = SIMILARITY) -> list[int]:
    """Return the number of each text's group; groups are numbered in the order of their first texts.

    Args:
        texts: the texts, which are read once and not kept.
        similarity: the Jaccard similarity from which two texts are near duplicates, from 0.5 to 1.

    Raises:
        StorageError: the temporary files cannot be written.
    """
    with ExitStack() as stack:
        stored = _Stored.of(texts, stack)
        sets = DisjointSets(stored.count)
        for entries in stored.prefixes(similarity, stack):
            _Join(stored, sets, similarity).unite(entries)
    return [int(number) for number in sets.numbers()]


def similarity_of(one: str, other: str) -> float:
    """Return the Jaccard similarity of the shingles of two texts.

    >>> similarity_of("Ann met Bob.", "ann  met bob"), similarity_of("abcd", "wxyz")
    (1.0, 0.0)
    """
    a, b = (_shingles([text])[0] for text in (one, other))
    shared = np.intersect1d(a, b, assume_unique=True).size
    return float(shared / (a.size + b.size - shared))


def normalize(text: str) -> str:
    """Return what is compared: letters, digits and marks without case, and a space for each stretch of other characters.

    A text without letters and digits is compared as it is, but for whitespace.

    >>> normalize("Ａnn  said: “Hindi is हिन्दी.”"), normalize("– ?")
    ('ann said hindi is हिन्दी', '– ?')
    """
    plain = text if text.isascii() else unicodedata.normalize("NFKC", text)
    plain = plain.casefold()
    letters = _SEPARATORS.sub(" " if plain.isascii() else _marks, plain)
    return " ".join(letters.split()) or " ".join(plain.split()) or "\0"


def _marks(separator: re.Match[str]) -> str:
    """Return the marks among the characters, which are parts of letters, and spaces for the others."""
    return "".join(char if unicodedata.category(char)[0] == "M" else " " for char in separator[0])


@dataclass(frozen=True, slots=True)
class _Stored:
    """The texts as sets of shingles.

    Attributes:
        offsets: [texts + 1] where the shingles of each text begin in `shingles`.
        shingles: [sum of shingles], distinct and sorted within each text.
        bitmaps: [texts, _WORDS]; a bit is set if an odd number of shingles have it.
        counts: [_COUNTERS], how often shingles occur.
    """

    offsets: Index
    shingles: Hashes
    bitmaps: Hashes
    counts: npt.NDArray[np.uint32]

    @property
    def count(self) -> int:
        """The number of texts."""
        return len(self.offsets) - 1

    @property
    def sizes(self) -> Index:
        """[texts], the number of shingles of each text."""
        return np.diff(self.offsets)

    @classmethod
    def of(cls, texts: Iterable[str], stack: ExitStack) -> _Stored:
        """Store texts in temporary files, which are removed when the stack is closed."""
        lengths, counts = [np.zeros(1, np.int64)], np.zeros(_COUNTERS, np.uint32)
        with storing(tempfile.gettempdir()):
            files = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(2)]  # noqa: SIM115
            for batch in _batches(texts):
                shingles, sizes = _shingles(batch)
                lengths.append(sizes)
                np.add.at(counts, _counter(shingles), np.uint32(1))
                files[0].write(shingles.tobytes())
                files[1].write(_bitmaps(shingles, sizes).tobytes())
            shingles, bitmaps = (_mapped(file) for file in files)
        return cls(np.cumsum(np.concatenate(lengths)), shingles, bitmaps.reshape(-1, _WORDS), counts)

    def prefixes(self, similarity: float, stack: ExitStack) -> Iterator[Hashes]:
        """Yield parts of the prefixes, [entries, 2]: a shingle, and its text with a bit that is set in the short prefix.

        Of two similar texts, the first n - ceil(similarity * n) + 1 shingles of the larger one contain one of the first
        n - ceil(2 * similarity / (1 + similarity) * n) + 1 of the smaller one. All entries of a shingle are in one part.
        """
        sizes = self.sizes
        long, short = (
            sizes - np.ceil(share * sizes - _TOLERANCE).astype(np.int64) + 1
            for share in (similarity, 2 * similarity / (1 + similarity))
        )
        parts = int(long.sum()) // _ENTRIES + 1
        with storing(tempfile.gettempdir()):
            files = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(parts)]  # noqa: SIM115
            for start, end in self._ranges():
                shingles = self.shingles[self.offsets[start] : self.offsets[end]]
                owner = np.repeat(np.arange(start, end), sizes[start:end])
                order = np.lexsort((shingles, self.counts[_counter(shingles)], owner))
                place = np.arange(len(order)) - (self.offsets[owner] - self.offsets[start])
                inside = place < long[owner]
                shingles, owner, place = shingles[order[inside]], owner[inside], place[inside]
                entries = np.stack([shingles, (owner * 2 + (place < short[owner])).astype(np.uint64)], axis=1)
                part = (shingles >> np.uint64(32)) % np.uint64(parts)
                for number, file in enumerate(files):
                    file.write(entries[part == number].tobytes())
        for file in files:
            yield np.array(_mapped(file).reshape(-1, 2))
            file.close()

    def _ranges(self) -> Iterator[tuple[int, int]]:
        """Yield ranges of texts with a limited number of shingles, or with one text."""
        start = 0
        while start < self.count:
            end = int(np.searchsorted(self.offsets, self.offsets[start] + _SHINGLES, "right")) - 1
            end = max(start + 1, end)
            yield start, end
            start = end

    def near(self, pairs: Index, similarity: float) -> npt.NDArray[np.bool_]:
        """Return which pairs of texts, [pairs, 2], are near duplicates."""
        total = self.sizes[pairs].sum(axis=1)
        differ = _bits(self.bitmaps[pairs[:, 0]] ^ self.bitmaps[pairs[:, 1]])
        found: npt.NDArray[np.bool_] = differ <= (1 - similarity) / (1 + similarity) * total + _TOLERANCE
        possible = np.flatnonzero(found)
        starts = np.concatenate([[0], np.cumsum(total[possible])])
        first = 0
        while first < len(possible):
            last = max(first + 1, int(np.searchsorted(starts, starts[first] + _SHINGLES, "right")) - 1)
            chosen = possible[first:last]
            shared = self._shared(pairs[chosen])
            found[chosen] = shared / (total[chosen] - shared) >= similarity
            first = last
        return found

    def _shared(self, pairs: Index) -> Index:
        """Return how many shingles each pair of texts has in common."""
        texts = pairs.reshape(-1)
        sizes = self.sizes[texts]
        ends = np.cumsum(sizes)
        places = np.arange(ends[-1]) + np.repeat(self.offsets[texts] - (ends - sizes), sizes)
        pair = np.repeat(np.arange(len(texts)) // 2, sizes)
        shingles = self.shingles[places]
        order = np.lexsort((shingles, pair))
        shingles, pair = shingles[order], pair[order]
        same = (shingles[1:] == shingles[:-1]) & (pair[1:] == pair[:-1])
        return np.bincount(pair[1:][same], minlength=len(pairs)).astype(np.int64)


@dataclass(slots=True)
class _Join:
    """The comparison of texts with a shingle in common, whose groups are united."""

    stored: _Stored
    sets: DisjointSets
    similarity: float
    labels: Index = field(init=False)

    def __post_init__(self) -> None:
        self.labels = self.sets.labels()

    def unite(self, entries: Hashes) -> None:
        """Unite the groups of near duplicates with a shingle in common.

        The entries of a shingle are sorted by the size of their texts. Each entry is compared with those after it, until
        their texts are too large. Texts of the same group are skipped.
        """
        text = (entries[:, 1] >> np.uint64(1)).astype(np.int64)
        sizes = self.stored.sizes[text]
        order = np.lexsort((text, sizes, entries[:, 0]))
        text, sizes, shingles = text[order], sizes[order], entries[order, 0]
        number = np.cumsum(np.concatenate([[0], shingles[1:] != shingles[:-1]])) if len(text) else text
        scale = int(sizes.max(initial=0)) * 2 + 3
        largest = np.floor(sizes / self.similarity + _TOLERANCE).astype(np.int64)
        ends = np.searchsorted(number * scale + sizes, number * scale + largest, "right")
        here = np.flatnonzero(
            (entries[order, 1] & np.uint64(1)).astype(np.bool_) & (np.arange(1, len(text) + 1) < ends)
        )
        after = here + 1
        steps, next_skip = 0, 1
        while len(here):
            width = max(1, _PAIRS // len(here))
            for start in range(0, len(here), _PAIRS):
                one, other = here[start : start + _PAIRS], after[start : start + _PAIRS]
                others = other[:, None] + np.arange(width)
                inside = others < ends[one][:, None]
                self._compare(np.repeat(text[one], inside.sum(axis=1)), text[others[inside]])
            after = after + width
            steps += width
            if steps >= next_skip:
                after = self._skip(text, number, here, after)
                next_skip = steps * 2
            left = after < ends[here]
            here, after = here[left], after[left]

    def _skip(self, text: Index, number: Index, here: Index, after: Index) -> Index:
        """Return the next places, behind texts that are in the same group as the text itself."""
        label = self.labels[text]
        last = np.concatenate([(label[1:] != label[:-1]) | (number[1:] != number[:-1]), [True]])
        run_ends = np.flatnonzero(last) + 1
        run = np.cumsum(last) - last
        after = np.minimum(after, len(text))
        inside = np.minimum(after, len(text) - 1)
        same = (after < len(text)) & (label[inside] == label[here])
        return np.where(same, run_ends[run[inside]], after)

    def _compare(self, one: Index, other: Index) -> None:
        apart = self.labels[one] != self.labels[other]
        pairs = np.unique(np.stack([one[apart], other[apart]], axis=1), axis=0)
        found = pairs[self.stored.near(pairs, self.similarity)] if len(pairs) else pairs
        if len(found):
            self.sets.unite(map(tuple, found.tolist()))
            self.labels = self.sets.labels()


def _batches(texts: Iterable[str]) -> Iterator[list[str]]:
    """Yield normalised texts in lists within the limits."""
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


def _shingles(texts: Sequence[str]) -> tuple[Hashes, Index]:
    """Return the sorted distinct shingles of each text, one text after another, and their numbers.

    Each character begins one; those at the end of a text are shorter. A short text is one.
    """
    normalized = [normalize(text) for text in texts]
    short = [number for number, text in enumerate(normalized) if len(text) < FEWEST]
    whole = np.array([_hash(normalized[number]) for number in short], np.uint64)
    lengths = np.array([len(text) for text in normalized], np.int64)
    lengths[short] = 0
    codes = np.frombuffer(
        "".join(text for text in normalized if len(text) >= FEWEST).encode("utf-32-le", "surrogatepass"), np.uint32
    ).astype(np.uint64)
    owner = np.repeat(np.arange(len(normalized)), lengths)
    left = np.cumsum(lengths)[owner] - np.arange(len(codes))
    sizes = np.minimum(np.where(codes >= _FIRST_UNSPACED, _SHORT, _LONG), left)
    hashes = np.zeros(len(codes), np.uint64)
    padded = np.concatenate([codes, np.zeros(_LONG, np.uint64)])
    for offset in range(_LONG):
        hashes = np.where(offset < sizes, _mixed(hashes ^ padded[offset : offset + len(codes)]), hashes)
    hashes, owner = np.concatenate([hashes, whole]), np.concatenate([owner, np.array(short, np.int64)])
    order = np.lexsort((hashes, owner))
    hashes, owner = hashes[order], owner[order]
    new = np.ones(len(hashes), np.bool_)
    new[1:] = (hashes[1:] != hashes[:-1]) | (owner[1:] != owner[:-1])
    return hashes[new], np.bincount(owner[new], minlength=len(normalized)).astype(np.int64)


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


def _bitmaps(shingles: Hashes, sizes: Index) -> Hashes:
    """Return the bitmaps of texts, [texts, _WORDS]."""
    width = _WORDS * 64
    place = (shingles & np.uint64(width - 1)).astype(np.int64) + np.repeat(np.arange(len(sizes)) * width, sizes)
    odd = np.bincount(place, minlength=len(sizes) * width).astype(np.uint8) & 1
    return np.packbits(odd).view(np.uint64).reshape(-1, _WORDS)


def _bits(words: Hashes) -> Index:
    """Return the number of bits that are set in each row (Warren, "Hacker's Delight", 5-1)."""
    pairs, nibbles, octets = (np.uint64(2**64 // number) for number in (3, 5, 17))
    words = words - ((words >> np.uint64(1)) & pairs)
    words = (words & nibbles) + ((words >> np.uint64(2)) & nibbles)
    words = (words + (words >> np.uint64(4))) & octets
    bits: Index = ((words * np.uint64(2**64 // 255)) >> np.uint64(56)).sum(axis=1).astype(np.int64)
    return bits


def _counter(shingles: Hashes) -> Index:
    return (shingles >> np.uint64(20)).astype(np.int64) % _COUNTERS


def _mixed(values: Hashes) -> Hashes:
    """Return well-mixed values, by the finaliser of SplitMix64 (Steele et al. 2014)."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _mapped(file: IO[bytes]) -> Hashes:
    """Return the values in a file, mapped into memory."""
    file.flush()
    values: npt.NDArray[Any] = np.asarray(np.memmap(file, np.uint64, "r")) if file.tell() else np.empty(0, np.uint64)
    return values
