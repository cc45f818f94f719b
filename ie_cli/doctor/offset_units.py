"""Detect offsets that count other units than characters, over an entire file of spans without mentions.

Offsets in another unit lie on its boundaries in every text. Read that way, they also start and end at boundaries of words, or
cover strings that occur again as entities; read as characters, mostly not.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from ie_cli.doctor.word_boundaries import is_poor
from ie_cli.formats.common.base import quoted
from ie_cli.formats.common.offset_units import INCLUSIVE, UNITS, Places, Shift, Span, Unit

_ENOUGH = 3  # spans with poor boundaries that become good ones; or texts, if the decision rests on probability
_REPEATED = 5  # spans that repeat another entity
_CHANCE = -6.0  # log10 of the probability below which offsets on character boundaries are not a coincidence
_KEPT = 20_000


@dataclass(slots=True)
class _Reading:
    """The spans of a file, on the assumption that their offsets count a unit.

    Attributes:
        fits: whether all spans lie on character boundaries inside their texts.
        spans: number of spans that differ from their reading as characters.
        poor: how many of these start or end inside a word or with whitespace.
        poor_as_characters: the same if the offsets count characters.
        beyond: how many of these lie outside their texts if the offsets count characters.
        chance: log10 of the probability that so many different offsets lie on character boundaries by chance.
        texts: hashes of some texts with such spans.
        strings: hashes of the strings that the spans cover, and how often they occur; at most `_KEPT`.
        differing: for some of the spans that differ, the hashes of the strings read in this unit and as characters.
        example: a span as given, and as read in this unit.
    """

    unit: Unit
    shift: Shift = Shift(0, 0)
    fits: bool = True
    spans: int = 0
    poor: int = 0
    poor_as_characters: int = 0
    beyond: int = 0
    chance: float = 0.0
    offsets: set[int] = field(default_factory=set)
    texts: set[int] = field(default_factory=set)
    strings: Counter[int] = field(default_factory=Counter)
    differing: list[tuple[int, int]] = field(default_factory=list)
    example: str = ""

    def add(self, text: str, places: Places | None, span: Span, where: str) -> None:
        """Add a span of a text; `places` is None if the units of this text are its characters."""
        given = self.shift.apply(span)
        found = places.read(given) if places is not None else _inside(text, given)
        if found is None:
            self.fits = False
            return
        if len(self.differing) < _KEPT:
            self.strings[hash(text[slice(*found)])] += 1
            self.differing.append((hash(text[slice(*found)]), hash(text[slice(*span)])))
        if found == span:
            return
        outside = span[1] > len(text)
        self.spans += 1
        if len(self.texts) < _ENOUGH:
            self.texts.add(hash(text))
        self.beyond += outside
        self.poor += is_poor(text, found)
        self.poor_as_characters += not outside and is_poor(text, span)
        if self.unit.encoding == "utf-8" and places is not None and places.starts is not None:
            new = {
                offset for offset in span if offset
            } - self.offsets  # other units have hardly any offset inside a character
            self.chance += len(new) * math.log10(len(text) / int(places.starts[-1]))
            self.offsets |= new
        if not self.example:  # only the first one is shown
            current = "outside the text" if outside else quoted(text[slice(*span)])
            self.example = f"{where}: {span[0]}-{span[1]} is {current}, and would be {quoted(text[slice(*found)])}"

    def likely(self) -> bool:
        """Return whether the offsets probably count this unit and not characters."""
        wrong = self.poor_as_characters + self.beyond
        better = wrong > 3 * self.poor and (wrong >= _ENOUGH or (self.beyond > 0 and self.unit.encoding is not None))
        if self.unit.sizes is None:  # every word starts and ends well
            better = better and wrong > self.spans / 2
        again = self._is_no_coincidence() or self._repeats_more()
        return self.spans > 0 and (better or (again and self.poor <= wrong))

    def _is_no_coincidence(self) -> bool:
        """Return whether the offsets are unlikely to lie on character boundaries by chance.

        One repetitive text may have all its boundaries at multiples of three, so several texts are required.
        """
        return self.chance < _CHANCE and (self.beyond > 0 or len(self.texts) >= _ENOUGH)

    def _repeats_more(self) -> bool:
        """Return whether far more spans repeat another entity if read in this unit."""
        as_characters = Counter(characters for _, characters in self.differing)
        changed = [pair for pair in self.differing if pair[0] != pair[1]]
        repeated = sum(self.strings[read] > 1 for read, _ in changed)
        unchanged = sum(as_characters[characters] > 1 for _, characters in changed)
        return repeated >= _REPEATED and repeated > 3 * unchanged and repeated > len(changed) / 4

    def describe(self) -> str:
        """Return what the offsets seem to count, an example and the remedy."""
        inclusive = ", with inclusive ends" if self.shift == INCLUSIVE else ""
        return (
            f"offsets seem to count {self.unit.name}{inclusive}, not characters: read that way, all {self.spans} entities lie "
            f"inside their texts and on character boundaries; {self.example}; {self.unit.remedy}"
        )


class UnitsGuess:
    """Tries all units for the spans of a file."""

    def __init__(self) -> None:
        inclusive = [_Reading(unit, INCLUSIVE) for unit in UNITS if unit.sizes is None]
        self._readings = [*map(_Reading, UNITS), *inclusive]

    def add(self, text: str, spans: Iterable[Span], where: str) -> None:
        """Add the spans of a text, as given."""
        if not self._readings or not (spans := list(spans)):
            return
        places = {reading.unit.name: reading.unit.places(text) for reading in self._readings}
        for reading in self._readings:
            for span in spans:
                # Units that differ from characters in few places are not excluded by a span that is empty for another reason.
                if span[0] < span[1] or reading.unit.sizes is None:
                    reading.add(text, places[reading.unit.name], span, where)
        self._readings = [reading for reading in self._readings if reading.fits]

    def verdict(self) -> str | None:
        """Return the finding for the file, or None if its offsets may well count characters."""
        return next((reading.describe() for reading in self._readings if reading.likely()), None)


def _inside(text: str, span: Span) -> Span | None:
    return span if 0 <= span[0] < span[1] <= len(text) else None
