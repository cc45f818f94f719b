"""What offsets may count instead of characters from 0 with an exclusive end, and how to read them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np
import numpy.typing as npt

Span = tuple[int, int]
Offsets = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Places:
    """Where the units of a text start and end.

    Attributes:
        starts: for each character, and for the end of the text, the number of units before it. None if the units are words.
        words: the spans of the words, if they are the units.
    """

    starts: Offsets | None
    words: tuple[Span, ...] = ()

    def read(self, span: Span) -> Span | None:
        """Return a span in characters, or None if it is empty, starts or ends inside a character, or is outside the text."""
        start, end = span
        if not 0 <= start < end:
            return None
        if self.starts is None:
            return (self.words[start][0], self.words[end - 1][1]) if end <= len(self.words) else None
        if end > self.starts[-1]:
            return None
        # Of characters that share a unit, a boundary never separates one from those before it.
        first, last = (int(place) - 1 for place in np.searchsorted(self.starts, span, side="right"))
        return (first, last) if first < last and (self.starts[first], self.starts[last]) == span else None


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit of offsets.

    Attributes:
        name: what the offsets count, in the plural.
        remedy: what a user can do.
        sizes: returns the number of units of each character of a text, given its code points.
        encoding: the encoding, if the units are those of an encoding of the text.
    """

    name: str
    remedy: str
    sizes: Callable[[str, npt.NDArray[np.uint32]], Offsets] | None
    encoding: str | None = None

    def places(self, text: str) -> Places | None:
        """Return where the units of a text start and end; None if these are its characters, or it has half a surrogate pair."""
        if self.sizes is None:
            words = tuple((found.start(), found.end()) for found in _WORD.finditer(text))
            return Places(None, words) if len(words) > 1 else None
        codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
        sizes = self.sizes(text, codes)
        if (sizes == 1).all() or ((codes >= 0xD800) & (codes < 0xE000)).any():
            return None
        return Places(np.concatenate([[0], np.cumsum(sizes)]))


_WORD = re.compile(r"\S+")


def _utf16(text: str, codes: npt.NDArray[np.uint32]) -> Offsets:
    return 1 + (codes > 0xFFFF).astype(np.int64)


def _utf8(text: str, codes: npt.NDArray[np.uint32]) -> Offsets:
    sizes = np.ones(len(codes), np.int64)
    for limit in (0x7F, 0x7FF, 0xFFFF):
        sizes += codes > limit
    return sizes


def _joined_breaks(text: str, codes: npt.NDArray[np.uint32]) -> Offsets:
    """Count a line feed after a carriage return as nothing."""
    sizes = np.ones(len(codes), np.int64)
    sizes[1:][(codes[:-1] == 0x0D) & (codes[1:] == 0x0A)] = 0
    return sizes


def _double_breaks(text: str, codes: npt.NDArray[np.uint32]) -> Offsets:
    """Count a line feed without a carriage return as two."""
    sizes = np.ones(len(codes), np.int64)
    alone = codes == 0x0A
    alone[1:] &= codes[:-1] != 0x0D
    sizes[alone] = 2
    return sizes


def _graphemes(text: str, codes: npt.NDArray[np.uint32]) -> Offsets:
    """Count a character that extends the one before it as nothing.

    These are combining marks, parts of emoji sequences and flags, and the second half of a line break: the rules of Unicode
    that matter in practice. A difference to the complete rules makes offsets fit no unit, and so is never reported.
    """
    sizes = _joined_breaks(text, codes)
    if text.isascii():
        return sizes
    flags = 0
    for at, (before, char) in enumerate(pairwise(text), 1):
        flags = flags + 1 if 0x1F1E6 <= ord(before) <= 0x1F1FF else 0
        flag = 0x1F1E6 <= ord(char) <= 0x1F1FF and flags % 2 == 1
        modifier = 0x1F3FB <= ord(char) <= 0x1F3FF or 0xE0020 <= ord(char) <= 0xE007F
        joined = char == _JOINER or (before == _JOINER and unicodedata.category(char) == "So")
        if flag or modifier or joined or unicodedata.category(char) in ("Mn", "Mc", "Me"):
            sizes[at] = 0
    return sizes


_JOINER = "\u200d"


def _decoding(encoding: str, position: str) -> str:
    return f"convert them to character offsets: len(raw[:{position}].decode({encoding!r})) with raw = text.encode({encoding!r})"


UNITS = (
    Unit("UTF-16 units", _decoding("utf-16-le", "2 * offset"), _utf16, "utf-16-le"),
    Unit("UTF-8 bytes", _decoding("utf-8", "offset"), _utf8, "utf-8"),
    Unit(
        "a line break \\r\\n as one character",
        "replace \\r\\n by \\n in the texts",
        _joined_breaks,
    ),
    Unit(
        "a line break \\n as two characters",
        "subtract the number of line breaks before each offset",
        _double_breaks,
    ),
    Unit(
        "user-perceived characters (graphemes)",
        "add the number of combining and joining characters before each offset",
        _graphemes,
    ),
    Unit(
        "words",
        "convert them to character offsets, or write the words and their tags as conll",
        None,
    ),
)
"""The units, the most specific first: several may read the same offsets alike."""


@dataclass(frozen=True, slots=True, order=True)
class Shift:
    """What has to be added to start and end."""

    start: int
    end: int

    def apply(self, span: Span) -> Span:
        """Return a span with corrected boundaries."""
        return span[0] + self.start, span[1] + self.end

    def describe(self) -> str:
        """Return what is wrong with the offsets, for ``its … seem to be …``."""
        if self in _NAMES:
            return _NAMES[self]
        parts = [
            f"{name} seems to be {abs(by)} too {'high' if by < 0 else 'low'}"
            for name, by in (("start", self.start), ("end", self.end))
            if by
        ]
        return " and its ".join(parts)

    def formula(self) -> str:
        """Return the slice of a text that is the mention."""
        return f"text[start{_plus(self.start)}:end{_plus(self.end)}]"


def _plus(by: int) -> str:
    return f" {'+' if by > 0 else '-'} {abs(by)}" if by else ""


INCLUSIVE = Shift(0, 1)
_NAMES = {
    INCLUSIVE: "end seems to be inclusive",
    Shift(-1, 0): "start seems to be 1 too high, as if counted from 1 with an inclusive end",
    Shift(-1, -1): "start and its end seem to be 1 too high, as if counted from 1",
    Shift(1, 1): "start and its end seem to be 1 too low",
}
SHIFTS = tuple(
    sorted(
        (Shift(start, end) for start, end in product((-1, 0, 1), (-2, -1, 0, 1, 2)) if (start, end) != (0, 0)),
        key=lambda shift: (abs(shift.start) + abs(shift.end), shift != INCLUSIVE, shift),
    )
)
"""The shifts of characters, the smallest first."""


def readings(text: str, span: Span, mention: str) -> Iterator[str]:
    """Yield descriptions of all readings of a span that cover its mention, the most usual first, for ``its …``."""
    for shift, unit in _READINGS:
        given = shift.apply(span)
        found: Span | None = given
        if unit is not None:
            found = places.read(given) if (places := unit.places(text)) is not None else None
        if found is not None and 0 <= found[0] < found[1] <= len(text) and text[slice(*found)] == mention:
            names = [] if unit is None else [f"offsets seem to count {unit.name}"]
            yield ", and its ".join(names + [shift.describe()] * (shift != Shift(0, 0)))


_READINGS: tuple[tuple[Shift, Unit | None], ...] = (
    (INCLUSIVE, None),
    *((Shift(0, 0), unit) for unit in UNITS),
    *((shift, None) for shift in SHIFTS if shift != INCLUSIVE),
    *((shift, unit) for unit in UNITS for shift in (INCLUSIVE, Shift(-1, 0), Shift(-1, -1))),
)
