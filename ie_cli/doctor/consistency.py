"""Find strings that are annotated in some places of the texts and not in others, the most one-sided ones first.

The same string may be a name here and a word there. The more one-sided its occurrences are, the likelier the exceptions are
errors: strings are sorted by the lower bound of the Wilson interval of the majority's share, and those without a majority are a
note.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence, Sized
from dataclasses import dataclass, field

from ie_cli.data.findings import Finding
from ie_cli.doctor.mention_counts import MentionIndex
from ie_cli.document import Document, Entity
from ie_cli.errors import counted
from ie_cli.formats.common.base import quoted

_KEPT = 1_000_000
_COMPARISONS = 1_000_000  # texts that repeat themselves would need one for each character and length
_SHOWN = 5
_ENOUGH = 3  # annotated occurrences, below which a string may be an entity by chance
_HARDLY = 10  # other occurrences for each annotated one of a string that is hardly ever annotated
_UNMARKED_SHARE = 0.05  # the same string may be a name here and a word there
_HARDLY_SHARE = 0.01
_Z = 1.96


def one_sidedness(majority: int, minority: int) -> float:
    """Return the lower bound of the 95 % Wilson interval of the majority's share."""
    total = majority + minority
    share, square = majority / total, _Z * _Z
    spread = _Z * math.sqrt((share * (1 - share) + square / (4 * total)) / total)
    return (share + square / (2 * total) - spread) / (1 + square / total)


@dataclass(slots=True)
class _Occurrences:
    """How often a string is annotated and not, and the first place of each."""

    marked: int = 0
    unmarked: int = 0
    first_marked: str = ""
    first_unmarked: str = ""


@dataclass(slots=True)
class UnmarkedMentions:
    """The first texts of a split, up to `_KEPT` characters, with the spans of their entities."""

    _mentions: set[str] = field(default_factory=set)
    _texts: list[tuple[str, list[tuple[int, int]], str]] = field(default_factory=list)
    _size: int = 0

    def add(self, document: Document, spans: Sequence[Entity]) -> None:
        """Add a document with its entities."""
        self._size += len(document.text)
        if self._size <= _KEPT:
            places = sorted({(span.start, span.end) for span in spans})
            self._mentions.update(document.text[start:end] for start, end in places)
            self._texts.append((document.text, places, document.where or ""))

    def count(self) -> tuple[dict[str, _Occurrences], int]:
        """Count the occurrences of each annotated string, and return also the number of characters that were searched.

        An occurrence inside or across an annotated entity does not count, nor one inside a longer word or number.
        """
        index = MentionIndex(self._mentions)
        found: defaultdict[str, _Occurrences] = defaultdict(_Occurrences)
        searched = 0
        for text, places, where in self._texts:
            if index.comparisons > _COMPARISONS:
                break
            searched += len(text)
            for start, end in places:
                if (mention := text[start:end]) in index.mentions:
                    found[mention].marked += 1
                    found[mention].first_marked = found[mention].first_marked or where
            for mention in index.unmarked(text, places):
                found[mention].unmarked += 1
                found[mention].first_unmarked = found[mention].first_unmarked or where
        return found, searched

    def findings(self, split: str) -> Iterator[Finding]:
        """Yield the findings about strings that usually are entities, that may be one, and that usually are none."""
        found, searched = self.count()
        within = f" (in the first {searched:,} characters)" if searched < self._size else ""
        both = {mention: one for mention, one in found.items() if one.marked and one.unmarked}
        usual = {m: one for m, one in both.items() if one.marked >= _ENOUGH and one.marked > one.unmarked}
        hardly = {m: one for m, one in both.items() if one.unmarked >= _HARDLY * one.marked}
        mixed = {
            m: one
            for m, one in both.items()
            if one.marked >= _ENOUGH and one.marked <= one.unmarked and m not in hardly
        }
        if usual:
            missing = sum(one.unmarked for one in usual.values())
            total = missing + sum(one.marked for one in found.values() if one.marked >= _ENOUGH)
            strings = counted(len(usual), "string is annotated", "strings are annotated")
            yield Finding(
                "warning" if missing >= _UNMARKED_SHARE * total else "note",
                f"{split}: {strings} at least {_ENOUGH} times, but not in {counted(missing, 'other place')} where "
                f"{_they_occur(usual)}{within}:{_listed(usual, lambda one: one.first_unmarked)}",
            )
        if hardly:
            odd, total = sum(one.marked for one in hardly.values()), sum(one.marked for one in found.values())
            strings = counted(len(hardly), "string is annotated", "strings are annotated")
            yield Finding(
                "warning" if odd >= _HARDLY_SHARE * total else "note",
                f"{split}: {strings} in {counted(odd, 'place')}, but not in at least {_HARDLY} times as many others{within}:"
                f"{_listed(hardly, lambda one: one.first_marked)}",
            )
        if mixed:
            strings = counted(len(mixed), "string is annotated", "strings are annotated")
            yield Finding(
                "note",
                f"{split}: {strings} at least {_ENOUGH} times, but in at most half of the places where "
                f"{_they_occur(mixed)}{within}; check that the guidelines say when:"
                f"{_listed(mixed, lambda one: one.first_unmarked)}",
            )


def _they_occur(strings: Sized) -> str:
    return "it occurs" if len(strings) == 1 else "they occur"


def _listed(found: dict[str, _Occurrences], place: Callable[[_Occurrences], str]) -> str:
    """Return the most one-sided strings with their counts and the first place of the exceptions."""

    def order(item: tuple[str, _Occurrences]) -> tuple[float, str]:
        counts = item[1].marked, item[1].unmarked
        return -one_sidedness(max(counts), min(counts)), item[0]

    return "".join(
        f"\n  {quoted(mention)}: annotated {one.marked:,}, not annotated {one.unmarked:,}, first in {place(one)}"
        for mention, one in sorted(found.items(), key=order)[:_SHOWN]
    )
