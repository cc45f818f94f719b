"""Evidence, over an entire file, that its offsets are not characters from 0 with an exclusive end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from ie_cli.doctor.offset_shifts import ShiftGuess
from ie_cli.doctor.offset_units import UnitsGuess
from ie_cli.formats.common.base import OffsetError
from ie_cli.formats.common.offset_units import Span, readings

_COMPARED = 1_000


@dataclass(slots=True)
class OffsetEvidence:
    """The spans of a split, and those whose offsets do not cover their mention.

    Attributes:
        wrong: number of spans compared with their mention, which differs; at most `_COMPARED`.
        explained: how many of these each reading explains.
    """

    units: UnitsGuess = field(default_factory=UnitsGuess)
    shifts: ShiftGuess = field(default_factory=ShiftGuess)
    wrong: int = 0
    explained: Counter[str] = field(default_factory=Counter)

    def add(self, text: str, spans: Sequence[Span], where: str) -> None:
        """Add the spans of a text, as given."""
        self.units.add(text, spans, where)
        self.shifts.add(text, spans, where)

    def add_error(self, error: OffsetError, where: str) -> None:
        """Add a span that covers nothing, is outside its text, or does not cover its mention."""
        start, end = error.span
        if error.mention:
            if self.wrong < _COMPARED:
                self.wrong += 1
                self.explained.update(dict.fromkeys(readings(error.text, error.span, error.mention), 1))
        elif 0 <= start <= end:
            self.add(error.text, [error.span], where)

    def verdict(self) -> str | None:
        """Return what the offsets seem to be instead, or None if they may well be characters from 0."""
        if self.explained:
            reading, count = self.explained.most_common(1)[0]  # of several, the simplest is the first
            if count > 1:
                return (
                    f"{count} of {self.wrong} entities whose offsets do not cover their text can be explained alike: the "
                    f"{reading}"
                )
        return self.units.verdict() or self.shifts.verdict()
