"""Detect offsets that count UTF-8 bytes or UTF-16 units instead of characters, over an entire file.

If the data contain mentions, one mention is enough. If they do not, offsets in bytes still lie on boundaries of
characters and words when they are read as bytes, in every text of the file, and mostly do not when read as characters.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ie_cli.formats.common.base import quoted
from ie_cli.formats.common.joining import is_cjk

Span = tuple[int, int]

_ENOUGH = 3  # spans with poor boundaries that become good ones; or texts, if the decision rests on probability
_CHANCE = -6.0  # log10 of the probability below which offsets on character boundaries are not a coincidence


@dataclass(slots=True)
class _Unit:
    """The spans of a file, on the assumption that their offsets count this unit.

    Attributes:
        fits: whether all spans lie on character boundaries inside their texts.
        spans: number of spans that differ from their reading as characters.
        poor: how many of these start or end inside a word or with whitespace.
        poor_as_characters: the same if the offsets count characters.
        beyond: how many of these lie outside their texts if the offsets count characters.
        chance: log10 of the probability that so many different offsets lie on character boundaries by chance.
        texts: hashes of some texts with such spans.
        example: a span as given, and as read in this unit.
    """

    name: str
    encoding: str
    width: int
    fits: bool = True
    spans: int = 0
    poor: int = 0
    poor_as_characters: int = 0
    beyond: int = 0
    chance: float = 0.0
    offsets: set[int] = field(default_factory=set)
    texts: set[int] = field(default_factory=set)
    example: str = ""

    def add(self, text: str, starts: npt.NDArray[np.int64], span: Span, where: str) -> None:
        """Add a span of a text.

        Args:
            text: the text.
            starts: the offsets in this unit at which the characters of the text start, and the end of the text.
            span: the span.
            where: the location of the text.
        """
        found = _characters(starts, span)
        if found is None:
            self.fits = False
            return
        if found == span:
            return
        outside = span[1] > len(text)
        self.spans += 1
        if len(self.texts) < _ENOUGH:
            self.texts.add(hash(text))
        self.beyond += outside
        self.poor += _poor(text, found)
        self.poor_as_characters += not outside and _poor(text, span)
        if self.width == 1:  # in UTF-16 hardly any offset falls inside a character
            new = {offset for offset in span if offset} - self.offsets
            self.chance += len(new) * math.log10(len(text) / int(starts[-1]))
            self.offsets |= new
        if not self.example:  # only the first one is shown
            current = "outside the text" if outside else quoted(text[slice(*span)])
            self.example = f"{where}: {span[0]}-{span[1]} is {current}, and would be {quoted(text[slice(*found)])}"

    def starts(self, codes: npt.NDArray[np.uint32]) -> npt.NDArray[np.int64]:
        """Return the offsets in this unit at which the characters of a text start, and the end of the text."""
        sizes = np.ones(len(codes) + 1, np.int64)
        sizes[0] = 0
        for limit in (0xFFFF,) if self.width == 2 else (0x7F, 0x7FF, 0xFFFF):
            sizes[1:] += codes > limit
        return np.cumsum(sizes)

    def likely(self) -> bool:
        """Return whether the offsets probably count this unit and not characters."""
        wrong = self.poor_as_characters + self.beyond
        better = wrong > 3 * self.poor and (self.beyond > 0 or wrong >= _ENOUGH)
        return self.spans > 0 and (better or (self._is_no_coincidence() and self.poor <= wrong))

    def _is_no_coincidence(self) -> bool:
        """Return whether the offsets are unlikely to lie on character boundaries by chance.

        One repetitive text may have all its boundaries at multiples of three, so several texts are required.
        """
        return self.chance < _CHANCE and (self.beyond > 0 or len(self.texts) >= _ENOUGH)

    def describe(self) -> str:
        """Return what the offsets seem to count, an example and the remedy."""
        position = "2 * offset" if self.width == 2 else "offset"
        return (
            f"offsets seem to count {self.name}, not characters: read that way, all {self.spans} entities lie inside their "
            f"texts and on character boundaries; {self.example}; convert them to character offsets: "
            f"len(raw[:{position}].decode({self.encoding!r})) with raw = text.encode({self.encoding!r})"
        )


class UnitsGuess:
    """Tries all units for the spans of a file."""

    def __init__(self) -> None:
        self._units = [_Unit("UTF-16 units", "utf-16-le", 2), _Unit("UTF-8 bytes", "utf-8", 1)]

    def add(self, text: str, spans: Iterable[Span], where: str) -> None:
        """Add the spans of a text, as given."""
        if not self._units or not (spans := list(spans)):
            return
        if text.isascii() and all(end <= len(text) for _, end in spans):
            return
        codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
        if ((codes >= 0xD800) & (codes < 0xE000)).any():  # half a surrogate pair
            return
        for unit in self._units:
            starts = unit.starts(codes)
            for span in spans:
                unit.add(text, starts, span, where)
        self._units = [unit for unit in self._units if unit.fits]

    def verdict(self) -> str | None:
        """Return the finding for the file, or None if its offsets may well count characters."""
        return next((unit.describe() for unit in self._units if unit.likely()), None)


def _characters(starts: npt.NDArray[np.int64], span: Span) -> Span | None:
    """Return a span in characters, or None if it starts or ends inside a character or outside the text."""
    if span[1] > starts[-1]:
        return None
    first, end = np.searchsorted(starts, span)
    return (int(first), int(end)) if (starts[first], starts[end]) == span else None


def _poor(text: str, span: Span) -> bool:
    """Return whether a span starts or ends with whitespace or inside a word or number."""
    start, end = span
    return text[start].isspace() or text[end - 1].isspace() or within_word(text, start) or within_word(text, end)


def within_word(text: str, at: int) -> bool:
    """Return whether an offset lies between letters of one word, in a script that separates words with spaces."""
    around = text[at - 1 : at + 1]
    return at > 0 and len(around) == 2 and around.isalpha() and not any(map(is_cjk, around))
