"""Match the records of two files by their ids or their texts, whatever the order."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, zip_longest
from typing import Literal

from ie_cli.document import Document
from ie_cli.errors import DataError, counted

Key = Literal["auto", "id", "text"]


@dataclass(slots=True)
class Matching:
    """Pairs of records, with counts of those without a partner.

    Attributes:
        by: what makes two records partners; `auto` is the id if the first records of both sides have one, else the text.
        matched: the number of pairs.
        alone: the number of records of each side without a partner.
        first_alone: the place of the first of them.
    """

    by: Key = "auto"
    matched: int = 0
    alone: list[int] = field(default_factory=lambda: [0, 0])
    first_alone: list[str] = field(default_factory=lambda: ["", ""])

    def pairs(self, one: Iterable[Document], other: Iterable[Document]) -> Iterator[tuple[Document, Document]]:
        """Yield pairs as soon as both records are read; only records that wait for their partner are in memory.

        The n-th record of a key on one side belongs to the n-th on the other.

        Raises:
            DataError: a record has no id, or partners by their ids have different texts.
        """
        sides = [iter(one), iter(other)]
        firsts = [next(side, None) for side in sides]
        if self.by == "auto":
            self.by = "id" if all(first is not None and first.id is not None for first in firsts) else "text"
        streams = [chain([] if first is None else [first], side) for first, side in zip(firsts, sides, strict=True)]
        waiting: tuple[dict[object, deque[Document]], dict[object, deque[Document]]] = ({}, {})
        for both in zip_longest(*streams):
            for place, document in enumerate(both):
                if document is None:
                    continue
                key = self._key(document)
                if not (partners := waiting[1 - place].get(key)):
                    waiting[place].setdefault(key, deque()).append(document)
                    continue
                partner = partners.popleft()
                if not partners:
                    del waiting[1 - place][key]
                self.matched += 1
                yield _checked(document, partner) if place == 0 else _checked(partner, document)
        for place, left in enumerate(waiting):
            for documents in left.values():
                self.first_alone[place] = self.first_alone[place] or documents[0].where or ""
                self.alone[place] += len(documents)

    def _key(self, document: Document) -> object:
        if self.by == "text":
            if document.entities and not document.text:
                raise DataError(
                    f"{document.where}: the record has no text, to which its offsets refer", hint="match by --by id."
                )
            return document.text, document.text_pair
        if document.id is None:
            raise DataError(f"{document.where}: the record has no id", hint="match by --by text.")
        return str(document.id)

    def describe_alone(self, names: tuple[str, str]) -> Iterator[str]:
        """Yield a message for each side that has records without a partner."""
        for name, number, first in zip(names, self.alone, self.first_alone, strict=True):
            if number:
                records = counted(number, "record")
                yield f"{name}: {records} without a partner of the same {self.by}, not compared; the first: {first}"


def _checked(one: Document, other: Document) -> tuple[Document, Document]:
    """Return two records whose offsets refer to the same text; one may lack it, as in a submission."""
    text = one.text or other.text
    for document in (one, other):
        end = max((entity.end for entity in document.entities), default=0)
        if document.text not in ("", text) or end > len(text):
            raise DataError(
                f"{one.where} and {other.where}: the texts of the id {one.id!r} differ: {one.text[:40]!r} and "
                f"{other.text[:40]!r}",
                hint="match by --by text, or correct the ids.",
            )
    for document in (one, other):
        if document.text != text:
            document.text = text
            document.attach_text()
    return one, other
