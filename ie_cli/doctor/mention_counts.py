"""Count how often strings are annotated, and how often they occur without annotation, in a whole training file."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from ie_cli.document import Document
from ie_cli.document.word_boundaries import begins_word, ends_word, kind_of

SHORTEST, LONGEST = 2, 40
"""Lengths of the strings that are searched for, in characters: shorter ones are found everywhere, longer ones nowhere."""


class MentionIndex:
    """A set of strings that is searched for in texts.

    Attributes:
        comparisons: how many substrings were looked up.
    """

    def __init__(self, mentions: Iterable[str]) -> None:
        self.mentions = {mention for mention in mentions if SHORTEST <= len(mention) <= LONGEST}
        self.comparisons = 0
        self._lengths: defaultdict[str, set[int]] = defaultdict(set)
        for mention in self.mentions:
            self._lengths[mention[:SHORTEST]].add(len(mention))

    def unmarked(self, text: str, places: Sequence[tuple[int, int]]) -> Iterator[str]:
        """Yield the strings of all occurrences that share no character with an entity and are no part of a word, number or code.

        Args:
            text: the text.
            places: the start and end of each entity, sorted.
        """
        ends, starts = _furthest_ends(places), [start for start, _ in places]
        for at in range(len(text) - 1):
            possible = self._lengths.get(text[at : at + SHORTEST], ())
            self.comparisons += len(possible)
            for length in possible:
                end = at + length
                if end > len(text):  # where a slice is shorter, and may be another of the strings
                    continue
                mention = text[at:end]
                if mention not in self.mentions or not (begins_word(text, at) and ends_word(text, end)):
                    continue
                if _is_in_code(text, at, end):
                    continue
                before = bisect_right(starts, end - 1)  # the entities that start before its end
                if not before or ends[before - 1] <= at:
                    yield mention


@dataclass(slots=True)
class MentionCounts:
    """How often each string is annotated with each label, and how often it occurs without annotation."""

    _annotated: Counter[tuple[str, str]] = field(default_factory=Counter)
    _marked: Counter[str] = field(default_factory=Counter)
    _unmarked: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, read: Callable[[], Iterable[Document]]) -> MentionCounts:
        """Count in documents, which are read twice; memory holds only the annotated strings.

        Args:
            read: returns the documents from the first one on.
        """
        counts = cls()
        for document in read():
            for entity in set(document.entities):
                mention = document.text[entity.start : entity.end]
                counts._annotated[mention, entity.label] += 1
                counts._marked[mention] += 1
        index = MentionIndex(counts._marked)
        for document in read():
            places = sorted({(entity.start, entity.end) for entity in document.entities})
            counts._unmarked.update(index.unmarked(document.text, places))
        return counts

    def annotated(self, mention: str, label: str) -> int:
        """Return how often a string is annotated with a label."""
        return self._annotated[mention, label]

    def otherwise(self, mention: str, label: str) -> int:
        """Return how often a string has no annotation, or only that of another label."""
        return self._unmarked[mention] + self._marked[mention] - self._annotated[mention, label]


def _is_in_code(text: str, start: int, end: int) -> bool:
    """Return whether a string with letters is a part of a code of letters and digits, as ``CD28`` is of ``CD28RE``.

    A number may be followed by its unit, as in ``5mg``.
    """
    if not any(kind_of(char) == "letter" for char in text[start:end]):
        return False
    return _joins_code(text, start) or _joins_code(text, end)


def _joins_code(text: str, boundary: int) -> bool:
    """Return whether a position lies between a letter and a digit."""
    if not 0 < boundary < len(text):
        return False
    return {kind_of(text[boundary - 1]), kind_of(text[boundary])} == {"letter", "digit"}


def _furthest_ends(places: Sequence[tuple[int, int]]) -> list[int]:
    """Return, for each span in the order of the starts, the greatest end of it and of those before it."""
    ends: list[int] = []
    for _, end in places:
        ends.append(max(end, ends[-1] if ends else 0))
    return ends
