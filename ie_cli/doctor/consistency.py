"""Find strings that are annotated in some places of the texts and not in others."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from ie_cli.document import Document, Entity
from ie_cli.document.word_boundaries import begins_word, ends_word
from ie_cli.errors import counted
from ie_cli.formats.common.base import quoted

_KEPT = 1_000_000
_COMPARISONS = 300_000  # texts that repeat themselves would need one for each character and string
_LONGEST = 40
_SHOWN = 5
_ENOUGH = 3  # annotated occurrences, below which a string may be an entity by chance


@dataclass(slots=True)
class UnmarkedMentions:
    """The first texts of a split, up to `_KEPT` characters, with the spans of their entities.

    Attributes:
        mentions: how often each string is annotated in these texts.
    """

    mentions: Counter[str] = field(default_factory=Counter)
    _texts: list[tuple[str, list[tuple[int, int]], str]] = field(default_factory=list)
    _size: int = 0

    def add(self, document: Document, spans: Sequence[Entity]) -> None:
        """Add a document with its entities."""
        self._size += len(document.text)
        if self._size <= _KEPT:
            places = sorted({(span.start, span.end) for span in spans})
            self.mentions.update(document.text[start:end] for start, end in places)
            self._texts.append((document.text, places, document.where or ""))

    def usual(self) -> set[str]:
        """Return the strings of two or more characters that are annotated often enough."""
        return {
            mention for mention, count in self.mentions.items() if count >= _ENOUGH and 2 <= len(mention) <= _LONGEST
        }

    def find(self) -> tuple[Counter[str], dict[str, str]]:
        """Return how often each usual string is not annotated, and the first place of each.

        An occurrence inside or across an annotated entity does not count, nor one inside a longer word or number.
        """
        candidates: defaultdict[str, list[str]] = defaultdict(list)
        for mention in self.usual():
            candidates[mention[:2]].append(mention)
        unmarked: Counter[str] = Counter()
        first: dict[str, str] = {}
        comparisons = 0
        for text, places, where in self._texts:
            ends = _furthest_ends(places)
            starts = [start for start, _ in places]
            if comparisons > _COMPARISONS:
                break
            for at in range(len(text) - 1):
                found = candidates.get(text[at : at + 2], ())
                comparisons += len(found)
                for mention in found:
                    end = at + len(mention)
                    if not (text.startswith(mention, at) and begins_word(text, at) and ends_word(text, end)):
                        continue
                    before = bisect_right(starts, end - 1)  # the entities that start before its end
                    if not before or ends[before - 1] <= at:
                        unmarked[mention] += 1
                        first.setdefault(mention, where)
        return unmarked, first

    def describe(self) -> tuple[float, str] | None:
        """Return the share of the usual strings' occurrences that is not annotated, and examples; None if all are annotated."""
        unmarked, first = self.find()
        if not unmarked:
            return None
        total = unmarked.total() + sum(self.mentions[mention] for mention in self.usual())
        listed = "".join(
            f"\n  {quoted(mention)}: annotated {self.mentions[mention]:,}, not annotated {count:,}, first in {first[mention]}"
            for mention, count in unmarked.most_common(_SHOWN)
        )
        strings = counted(len(unmarked), "string is annotated", "strings are annotated")
        places = counted(unmarked.total(), "other place", "other places")
        return unmarked.total() / total, (
            f"{strings} at least {_ENOUGH} times, but not in {places} where they occur:{listed}"
        )


def _furthest_ends(places: Sequence[tuple[int, int]]) -> list[int]:
    """Return, for each span in the order of the starts, the greatest end of it and of those before it."""
    ends: list[int] = []
    for _, end in places:
        ends.append(max(end, ends[-1] if ends else 0))
    return ends
