"""Storage for documents that are read once and iterated several times: in memory, and above a limit in a temporary file."""

from __future__ import annotations

import json
import tempfile
import weakref
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import IO, Any

from ie_cli.document import Argument, Document, Entity, Event, Relation, Spo
from ie_cli.system.atomic import storing

MAX_WEIGHT = 2**25
"""Limit on the characters kept in memory, a few hundred megabytes; an annotation counts as `_ANNOTATION` characters."""
_ANNOTATION = 64


class Spool:
    """A sequence of documents without their user fields (`Document.meta`). Not thread-safe.

    Args:
        documents: documents to add.
        max_weight: limit on the documents in memory, counted as for `MAX_WEIGHT`.
    """

    def __init__(self, documents: Iterable[Document] = (), *, max_weight: int = MAX_WEIGHT) -> None:
        self._max_weight, self._weight, self._count = max_weight, 0, 0
        self._kept: list[Document] = []
        self._file: IO[bytes] | None = None
        for document in documents:
            self.add(document)

    def __len__(self) -> int:
        return self._count

    @property
    def in_memory(self) -> bool:
        """Whether all documents are in memory."""
        return self._file is None

    def __iter__(self) -> Iterator[Document]:
        yield from self._kept
        place = 0
        while self._file is not None:
            # Other iterators and `add` may move the file position in between, so each iterator seeks to its own.
            self._file.seek(place)
            line = self._file.readline()
            if not line:
                return
            place += len(line)
            yield read_line(line)

    def add(self, document: Document) -> None:
        """Append a document.

        Raises:
            StorageError: the temporary file cannot be written.
        """
        document = replace(document, meta={})
        self._count += 1
        self._weight += weight_of(document)
        if self._file is None and self._weight <= self._max_weight:
            self._kept.append(document)
            return
        with storing(tempfile.gettempdir()):
            if self._file is None:
                self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed with this object
                weakref.finalize(self, self._file.close)
            self._file.seek(0, 2)
            self._file.write(line_of(document))
            self._file.flush()


def weight_of(document: Document) -> int:
    """Return the characters of a document, counted as for `MAX_WEIGHT`."""
    parts = (document.entities, document.relations, document.events, document.spos or ())
    annotations = sum(map(len, parts)) + sum(len(event.arguments) for event in document.events)
    return len(document.text) + len(document.text_pair or "") + _ANNOTATION * (1 + annotations)


def line_of(document: Document) -> bytes:
    """Serialise a document as one line of JSON without loss of order, scores or types."""
    fields = [
        document.text,
        [_entity_fields(entity) for entity in document.entities],
        [[_entity_fields(r.subject), r.predicate, _entity_fields(r.object), r.score] for r in document.relations],
        document.id,
        document.where,
        document.spos
        if document.spos is None
        else [
            [s.subject, s.predicate, s.object, s.slots, s.subject_type, s.object_type, s.slot_types]
            for s in document.spos
        ],
        [
            [e.type, e.trigger, [[a.role, _entity_fields(a.entity)] for a in e.arguments], e.score]
            for e in document.events
        ],
        [document.text_pair, document.label, document.score],
    ]
    return json.dumps(fields).encode() + b"\n"


def read_line(line: bytes) -> Document:
    """Restore a document from the line of `line_of`."""
    text, entities, relations, number, where, spos, events, (pair, label, score) = json.loads(line)
    return Document(
        text,
        [Entity(*fields) for fields in entities],
        [Relation(Entity(*subject), name, Entity(*object_), value) for subject, name, object_, value in relations],
        number,
        {},
        where,
        None if spos is None else [_spo(fields) for fields in spos],
        events=[_event(fields) for fields in events],
        text_pair=pair,
        label=label,
        score=score,
    )


def _entity_fields(entity: Entity) -> list[Any]:
    return [entity.start, entity.end, entity.label, entity.score]


def _spo(fields: list[Any]) -> Spo:
    subject, predicate, object_, slots, subject_type, object_type, slot_types = fields
    pairs, kinds = ([(a, b) for a, b in some] for some in (slots, slot_types))
    return Spo(
        subject,
        predicate,
        object_,
        tuple(pairs),
        subject_type=subject_type,
        object_type=object_type,
        slot_types=tuple(kinds),
    )


def _event(fields: list[Any]) -> Event:
    kind, trigger, arguments, score = fields
    return Event(
        kind,
        None if trigger is None else tuple(trigger),
        tuple(Argument(role, Entity(*entity)) for role, entity in arguments),
        score,
    )
