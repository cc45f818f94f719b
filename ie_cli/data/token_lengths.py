"""Lengths in tokens of texts, entities and relations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from ie_cli.document import Document

LONGEST_COUNTED = 4096
"""Greater lengths are counted as this length, which bounds the number of counters."""

CountTokens = Callable[[str], int]


@dataclass(slots=True)
class TokenLengths:
    """A part of `DatasetStatistics` that counts lengths in tokens.

    Attributes:
        count_tokens: returns the number of tokens of a text.
        texts: number of texts by length, without second texts of pairs.
        seconds: number of second texts of pairs by length.
        mentions: number of entities by length.
        reaches: number of relations by length, from the start of the first argument to the end of the last.
    """

    count_tokens: CountTokens
    texts: Counter[int] = field(default_factory=Counter)
    seconds: Counter[int] = field(default_factory=Counter)
    mentions: Counter[int] = field(default_factory=Counter)
    reaches: Counter[int] = field(default_factory=Counter)

    def add(self, document: Document) -> None:
        """Count a document."""
        self.texts[self._length(document.text)] += 1
        if document.text_pair is not None:
            self.seconds[self._length(document.text_pair)] += 1
        for entity in document.entities:
            self.mentions[self._length(document.text[entity.start : entity.end])] += 1
        for relation in document.relations:
            sides = (relation.subject, relation.object)
            reach = document.text[min(side.start for side in sides) : max(side.end for side in sides)]
            self.reaches[self._length(reach)] += 1

    def _length(self, text: str) -> int:
        return min(self.count_tokens(text), LONGEST_COUNTED)
