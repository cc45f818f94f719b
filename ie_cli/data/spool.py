"""Documents that are read once and gone through several times: in memory, and beyond a bound in a temporary file."""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import IO

from ie_cli.document import Document
from ie_cli.formats.jsonl import dump, from_fields, parse_object, to_fields
from ie_cli.system.atomic import storing

MOST_WEIGHT = 2**25
"""Characters that are kept in memory, an annotation counting as `_ANNOTATION` of them; a few hundred megabytes."""
_ANNOTATION = 64


class Spool:
    """Documents in their order, without the input fields that are not ours.

    Args:
        most: weight of the documents in memory, as `MOST_WEIGHT` counts it.
    """

    def __init__(self, documents: Iterable[Document] = (), *, most: int = MOST_WEIGHT) -> None:
        self._most, self._weight, self._count = most, 0, 0
        self._kept: list[Document] = []
        self._file: IO[str] | None = None
        for document in documents:
            self.add(document)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Document]:
        yield from self._kept
        if self._file is None:
            return
        place = 0
        while True:
            # Several may read in turn: each goes to its own place.
            self._file.seek(place)
            line = self._file.readline()
            if not line:
                return
            place = self._file.tell()
            yield _read(line)

    def add(self, document: Document) -> None:
        """Append a document."""
        document = replace(document, meta={})
        self._count += 1
        self._weight += _weight(document)
        if self._file is None and self._weight <= self._most:
            self._kept.append(document)
            return
        if self._file is None:
            self._file = tempfile.TemporaryFile("w+", encoding="utf-8", newline="\n")  # noqa: SIM115 - lives as long as this
            weakref.finalize(self, self._file.close)
        with storing(tempfile.gettempdir()):
            self._file.seek(0, 2)
            self._file.write(_line(document))


def _weight(document: Document) -> int:
    items = (document.entities, document.relations, document.events, document.spos or ())
    annotations = sum(map(len, items)) + sum(len(event.arguments) for event in document.events)
    return len(document.text) + len(document.text_pair or "") + _ANNOTATION * (1 + annotations)


def _line(document: Document) -> str:
    return dump({"where": document.where, "document": to_fields(document)})


def _read(line: str) -> Document:
    fields = parse_object(line)
    document = from_fields(fields["document"])
    document.where = fields["where"]
    return document
