"""Offsets that count UTF-8 bytes or UTF-16 units instead of characters, recognised over a whole file.

Where the data give mentions, one mention tells. Where they do not, offsets in bytes still end between characters and
words when they are read as bytes, in every text of the file, and mostly do not when they are read as characters.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ie_cli.formats.common.base import quoted
from ie_cli.formats.conll import is_cjk

Span = tuple[int, int]

_ENOUGH = 3  # spans with poor boundaries, of which other boundaries are good; texts, where only chance tells
_CHANCE = -6.0  # log10 of the probability at which boundaries between characters are no chance


@dataclass(slots=True)
class _Unit:
    """What the spans of a file are if their offsets count this unit.

    Attributes:
        fits: all begin and end between characters, inside their texts.
        spans: how many are others than if they counted characters.
        poor, poor_as_characters: how many of these begin or end inside a word or with a blank, in either reading.
        beyond: how many of these lie outside of their texts if they count characters.
        chance: log10 of the probability that so many different offsets fall between characters by chance.
        texts: hashes of some texts with such spans.
        example: a span as it stands, and as this unit has it.
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
    document: str = ""

    def add(self, text: str, starts: npt.NDArray[np.int64], span: Span, where: str) -> None:
        """Read a span of a text; `starts` are the offsets in this unit at which its characters begin, and its end."""
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
        if self.width == 1:  # in UTF-16 hardly a boundary falls into a character
            new = {offset for offset in span if offset} - self.offsets
            self.chance += len(new) * math.log10(len(text) / int(starts[-1]))
            self.offsets |= new
        if not self.document:  # one is shown, and there may be many
            stands = "outside of the text" if outside else quoted(text[slice(*span)])
            self.document = f"{where}: {span[0]}-{span[1]} is {stands}, and would be {quoted(text[slice(*found)])}"

    def starts(self, codes: npt.NDArray[np.uint32]) -> npt.NDArray[np.int64]:
        """Where the characters of a text begin, counted in this unit, and where it ends."""
        sizes = np.ones(len(codes) + 1, np.int64)
        sizes[0] = 0
        for limit in (0xFFFF,) if self.width == 2 else (0x7F, 0x7FF, 0xFFFF):
            sizes[1:] += codes > limit
        return np.cumsum(sizes)

    def likely(self) -> bool:
        """Say whether this is what the offsets count, rather than characters."""
        wrong = self.poor_as_characters + self.beyond
        better = wrong > 3 * self.poor and (self.beyond > 0 or wrong >= _ENOUGH)
        return self.spans > 0 and (better or (self._is_no_chance() and self.poor <= wrong))

    def _is_no_chance(self) -> bool:
        """A text that repeats itself may have all its boundaries at multiples of three; several do not."""
        return self.chance < _CHANCE and (self.beyond > 0 or len(self.texts) >= _ENOUGH)

    def describe(self) -> str:
        """What the offsets seem to count, an example and the remedy."""
        note = ", offset twice its number" if self.width == 2 else ""
        return (
            f"offsets seem to count {self.name}, not characters: so read, all {self.spans} entities lie in their texts and end "
            f"between characters; {self.document}; they must count characters: len(raw[:offset].decode({self.encoding!r})) of "
            f"raw = text.encode({self.encoding!r}){note}"
        )


class UnitsGuess:
    """Reads the spans of a file in all units."""

    def __init__(self) -> None:
        self._units = [_Unit("UTF-16 units", "utf-16-le", 2), _Unit("UTF-8 bytes", "utf-8", 1)]

    def add(self, text: str, spans: Iterable[Span], where: str) -> None:
        """Take the spans of a text, as they stand."""
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
        """What to say of the file, None where its offsets may well count characters."""
        return next((unit.describe() for unit in self._units if unit.likely()), None)


def _characters(starts: npt.NDArray[np.int64], span: Span) -> Span | None:
    """A span in characters; None where it begins or ends within one, or outside of the text."""
    if span[1] > starts[-1]:
        return None
    first, end = np.searchsorted(starts, span)
    return (int(first), int(end)) if (starts[first], starts[end]) == span else None


def _poor(text: str, span: Span) -> bool:
    """Say whether a span begins or ends with a blank or inside a word or number."""
    start, end = span
    return text[start].isspace() or text[end - 1].isspace() or within_word(text, start) or within_word(text, end)


def within_word(text: str, at: int) -> bool:
    """Say whether the characters around this boundary are letters of one word, in a script that puts blanks between."""
    around = text[at - 1 : at + 1]
    return at > 0 and len(around) == 2 and around.isalpha() and not any(map(is_cjk, around))
