"""Mentions that data give without offsets: where they are in the text, with counts."""

from __future__ import annotations

from ie_cli.formats.common.base import Reading
from ie_cli.triples import Span, find_places


class MentionTally:
    """Finds mentions in their texts, and counts those that have several places or none."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._located = self._ambiguous = self._absent = 0
        self._first = ""

    def find(self, mention: str, text: str, where: str) -> list[Span]:
        """Return the places of a mention, and count it."""
        places = find_places(text, mention)
        self._located += 1
        self._ambiguous += len(places) > 1
        if not places:
            self._first = self._first or f", first in {where}: {mention}"
            self._absent += 1
        return places

    def report(self, reading: Reading) -> None:
        """Report the counts."""
        if self._located:
            reading.report(
                f"{self._path}: mentions without offsets: {self._located:,}; with several possible positions: "
                f"{self._ambiguous:,}; not found in the text: {self._absent:,}{self._first}"
            )
