"""Detect starts and ends that are shifted by one or two characters in most spans of a file without mentions.

In scripts with spaces, shifted boundaries lie inside words. In Chinese and Japanese, two regularities show them:

- An entity that occurs again has other neighbours. If its boundary is shifted inwards, the missing character is always the same
  neighbour, and a different one for each entity.
- No entity starts or ends with a separator such as a comma. If its boundary is shifted outwards, many do.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Literal, NamedTuple

from ie_cli.doctor.word_boundaries import cuts_end, cuts_start
from ie_cli.formats.common.base import quoted
from ie_cli.formats.common.joining import is_cjk
from ie_cli.formats.common.offset_units import INCLUSIVE, SHIFTS, Shift, Span

Side = Literal["start", "end"]
_SIDES: tuple[Side, Side] = ("start", "end")
_OUT: dict[Side, int] = {"start": -1, "end": 1}

_KEPT = 20_000
_AROUND = 6
_SEPARATORS = "，。！？、；：,!?;:"
_OPENING, _CLOSING = "（《「『“‘【〈([{", "）》」』”’】〉)]}"
_VARIED, _SAME = 0.38, 0.42  # measured on six corpora: at boundaries at most 0.27, one place inside them at least 0.42
_PAIRS = 15  # repetitions of entities, below which their neighbours prove nothing


class _Sample(NamedTuple):
    """A span and the characters around it."""

    before: str
    mention: str
    after: str
    where: str
    span: Span

    @property
    def text(self) -> str:
        """The part of the text that is kept."""
        return self.before + self.mention + self.after

    def shifted(self, shift: Shift) -> _Sample | None:
        """Return the sample with shifted boundaries; None if the span would be empty or leave the text."""
        start, end = shift.apply((len(self.before), len(self.before) + len(self.mention)))
        if not 0 <= start < end <= len(self.text):
            return None
        return _Sample(self.text[:start], self.text[start:end], self.text[end:], self.where, self.span)

    def place(self, side: Side, by: int) -> int | None:
        """Return where a boundary is after a shift; None if the span would be empty or leave the text."""
        start, end = len(self.before), len(self.before) + len(self.mention)
        at = (start if side == "start" else end) + by
        inside = at < end if side == "start" else at > start
        return at if inside and 0 <= at <= len(self.text) else None


@dataclass(slots=True)
class ShiftGuess:
    """The first spans of a file."""

    _samples: list[_Sample] = field(default_factory=list)

    def add(self, text: str, spans: Iterable[Span], where: str) -> None:
        """Add the spans of a text, as given; inclusive ends make some of them empty."""
        for start, end in spans:
            if len(self._samples) >= _KEPT:
                return
            if not 0 <= start <= end <= len(text):
                continue
            before, after = text[max(0, start - _AROUND) : start], text[end : end + _AROUND]
            self._samples.append(_Sample(before, text[start:end], after, where, (start, end)))

    def verdict(self) -> str | None:
        """Return the finding for the file, or None if most of its boundaries look right."""
        unspaced = [sample for sample in self._samples if any(map(is_cjk, sample.mention))]
        spaced = [sample for sample in self._samples if not any(map(is_cjk, sample.mention))]
        if len(unspaced) > len(spaced):
            # Texts that are written alike would agree everywhere.
            unspaced = list({sample[:3]: sample for sample in reversed(unspaced)}.values())[::-1]
            shift = _unspaced_shift(unspaced)
            return None if shift is None else f"{_UNSPACED}{_correction(shift)}; {_example(unspaced, shift)}"
        shift = _spaced_shift(spaced)
        return (
            None
            if shift is None
            else f"{_cut_words(spaced, shift)}: check that {_advice(shift)}; {_example(spaced, shift)}"
        )


_UNSPACED = "offsets seem to be shifted, as the neighbours of repeated entities show: "


def _correction(shift: Shift) -> str:
    return f"the {shift.describe()}, and {shift.formula()} would be the mention"


def _advice(shift: Shift) -> str:
    if shift == INCLUSIVE:
        return "end offsets are exclusive, so that text[start:end] is the mention"
    return f"offsets count from 0 and ends are exclusive: {_correction(shift)}"


def _cut_words(samples: Sequence[_Sample], shift: Shift) -> str:
    sides: list[Side] = [side for side, by in (("start", shift.start), ("end", shift.end)) if by]  # type: ignore[misc]
    count = sum(any(_cuts(sample, side, 0) for side in sides) for sample in samples)
    return f"{count} of {len(samples)} entities {' or '.join(sides)} inside a word"


def _example(samples: Sequence[_Sample], shift: Shift) -> str:
    """Show a span that the shift changes to one with good boundaries, if there is one."""
    sides: tuple[tuple[Side, int], ...] = (("start", shift.start), ("end", shift.end))

    def is_good(sample: _Sample) -> bool:
        return all(sample.place(side, by) is not None and not _is_poor(sample, side, by) for side, by in sides)

    sample = next(filter(is_good, samples), samples[0])
    start, end = len(sample.before), len(sample.before) + len(sample.mention)
    first, last = shift.apply((start, end))
    return (
        f"{sample.where}: {sample.span[0]}-{sample.span[1]} is {quoted(sample.mention)}, and would be "
        f"{quoted(sample.text[max(0, first) : last])}"
    )


def _cuts(sample: _Sample, side: Side, by: int) -> bool:
    at = sample.place(side, by)
    return at is not None and (cuts_start if side == "start" else cuts_end)(sample.text, at)


def _inner(sample: _Sample, side: Side, at: int) -> str:
    """Return the outermost character of a span at one of its boundaries."""
    return sample.text[at] if side == "start" else sample.text[at - 1]


def _is_poor(sample: _Sample, side: Side, by: int) -> bool:
    """Return whether a shifted boundary is inside a word, or next to a space or separator that it includes."""
    at = sample.place(side, by)
    if at is None:
        return True
    inner = _inner(sample, side, at)
    return inner.isspace() or inner in _SEPARATORS or _cuts(sample, side, by)


def _spaced_shift(samples: Sequence[_Sample]) -> Shift | None:
    """Return the shift that takes both boundaries out of most words; None if there is none, or it only removes whitespace."""
    start, end = _out_of_words(samples, "start"), _out_of_words(samples, "end")
    if start is None or end is None:
        return None
    moved: list[Side] = [side for side, by in (("start", start), ("end", end)) if by]  # type: ignore[misc]
    cut = any(_cuts(sample, side, 0) for sample in samples for side in moved)
    return Shift(start, end) if cut else None


def _out_of_words(samples: Sequence[_Sample], side: Side) -> int | None:
    """Return by how much to shift a boundary out of most words, 0 if it is not in most words, or None if nothing helps."""

    def poor(by: int) -> int:
        return sum(_is_poor(sample, side, by) for sample in samples)

    if poor(0) <= max(2, len(samples) / 2):
        return 0
    best = min((-1, 1, -2, 2), key=lambda by: (poor(by), abs(by)))
    return best if poor(best) <= 0.2 * len(samples) else None


def _unspaced_shift(samples: Sequence[_Sample]) -> Shift | None:
    """Return the shift after which both boundaries look like those of entities, or None.

    A wrong end hides how the start behaves, because fewer spans have the same string, and the other way round.
    """
    shift = Shift(0, 0)
    for _ in range(3):
        moved = [found for sample in samples if (found := sample.shifted(shift)) is not None]
        step = Shift(_to_boundary(moved, "start"), _to_boundary(moved, "end"))
        if step == Shift(0, 0):
            break
        shift = Shift(shift.start + step.start, shift.end + step.end)
    settled = shift in SHIFTS and all(_Regularities(moved, side).is_boundary(0) for side in _SIDES)
    return shift if settled else None


def _to_boundary(samples: Sequence[_Sample], side: Side) -> int:
    """Return by how much to shift a boundary so that it looks like the boundary of entities, or 0."""
    found, out = _Regularities(samples, side), _OUT[side]
    return next((by for by in (0, out, -out, 2 * out) if found.is_boundary(by)), 0)


class _Regularities:
    """What is regular at one boundary of spans and at places beside it, computed once for each place."""

    def __init__(self, samples: Sequence[_Sample], side: Side) -> None:
        self._out = _OUT[side]
        self._agreement = cache(lambda by: _agreement(samples, side, by))
        self._separators = cache(lambda by: _separators(samples, side, by))

    def is_boundary(self, by: int) -> bool:
        """Return whether neighbours vary at a place but not one place further inside, and separators are only outside."""
        here, inside = self._agreement(by), self._agreement(by - self._out)
        if here is None or inside is None or here > _VARIED or inside < max(_SAME, here + 0.2):
            return False
        outside = self._separators(by + self._out)
        return outside >= 0.05 and self._separators(by) <= 0.3 * outside


def _agreement(samples: Sequence[_Sample], side: Side, by: int) -> float | None:
    """Return how far a span determines the character outside its boundary: 0 as little as chance, 1 completely.

    It is Cohen's κ of the neighbours of spans with the same string, where chance is the agreement of the neighbours of different
    strings. None if too few strings are repeated.
    """
    neighbours: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for sample in samples:
        if (at := sample.place(side, by)) is not None:
            start, end = len(sample.before), len(sample.before) + len(sample.mention)
            string = sample.text[at:end] if side == "start" else sample.text[start:at]
            outer = sample.text[max(0, at - 1) : at] if side == "start" else sample.text[at : at + 1]
            neighbours[string][outer] += 1
    overall: defaultdict[str, float] = defaultdict(float)  # each string counts once, however frequent it is
    pairs, same = 0, 0.0
    for found in neighbours.values():
        count = found.total()
        for outer, times in found.items():
            overall[outer] += times / count
        if count > 1:
            pairs += count - 1
            same += sum(times * (times - 1) for times in found.values()) / count
    strings = len(neighbours)
    if pairs < _PAIRS or strings < 2:
        return None
    chance = (sum(share * share for share in overall.values()) / strings - 1) / (strings - 1)
    return (same / pairs - chance) / (1 - chance) if chance < 1 else None


def _separators(samples: Sequence[_Sample], side: Side, by: int) -> float:
    """Return the share of spans with a separator just inside a boundary."""
    unlikely = _SEPARATORS + (_CLOSING if side == "start" else _OPENING)
    inner = [_inner(sample, side, at) for sample in samples if (at := sample.place(side, by)) is not None]
    return sum(char in unlikely or char.isspace() for char in inner) / max(1, len(inner))
