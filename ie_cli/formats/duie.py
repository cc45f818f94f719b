"""DuIE: ``{"text": …, "spo_list": [{"subject", "predicate", "object", "subject_type", "object_type"}]}``, one per line.

In DuIE 1 an object is a string, in DuIE 2 it is ``{"@value": …, "inWork": …}``. Both are read, and so is CMeIE, which has the
second layout with ``@value`` alone. Mentions have no offsets: the reader locates them in the text (`triples.locate`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ie_cli.document import Document, Spo
from ie_cli.document.fields import NO_TYPE, spo_fields
from ie_cli.formats.common.annotation_fields import AnnotationTally
from ie_cli.formats.common.base import Lines, Reading, Record, count_name_clashes, count_native_only
from ie_cli.formats.common.json_stream import read_lines_or_array
from ie_cli.formats.common.spo_json import spos_of_fields
from ie_cli.formats.jsonl import dump, id_of, text_of
from ie_cli.triples import (
    MAX_PAIRS,
    PAIRS_PER_CHARACTER,
    LocatedTriples,
    locate,
    role_arguments,
    text_triples,
    to_spos,
)

FORMAT_FIELDS = frozenset({"id", "text", "spo_list"})
OTHER_LABEL = "entities lose their label, which differs from that of a relation's argument with the same span"
MERGED = "relations with the same texts as another one are merged with it, because this format has no offsets"
NO_OFFSETS = "relations lose their offsets, which this format cannot store"
OTHER_PLACE = "relations are read back with other spans or types, which are guessed from their texts"
HINT = (
    'write each line as {"text": "…", "spo_list": [{"subject": "…", "predicate": "…", "object": "…", "subject_type": "…", '
    '"object_type": "…"}]}.'
)


def read(lines: Lines, path: str, reading: Reading) -> Iterator[Record]:
    """Yield an example for each record, and report the triples that could not be located."""
    tally, fields_tally = LocationTally(path), AnnotationTally(path, "spo_list", "relations")

    def convert(fields: dict[str, Any], where: str) -> Document:
        text, id_ = text_of(fields), id_of(fields)
        meta = {key: value for key, value in fields.items() if key not in FORMAT_FIELDS}
        document = Document(text, [], [], id_, meta, where)
        if reading.annotation:
            fields_tally.add_unread(fields)
        if reading.annotation and fields_tally.expect(fields):
            document.spos = spos_of_fields(fields["spo_list"])
            located = locate(text, document.spos, reading.mentions)
            document.relations = located.relations
            tally.add(located, where, repeated=len(document.spos) - len(set(document.spos)))
        return document

    yield from read_lines_or_array(lines, path, convert, HINT)
    tally.report(reading)
    fields_tally.report(reading)


class LocationTally:
    """Counts the triples that cannot be located in their text, or have several possible positions."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._triples = self._ambiguous = self._absent = self._truncated = self._repeated = 0
        self._first = ""

    def add(self, located: LocatedTriples, where: str, *, repeated: int) -> None:
        """Add the counts of one text, of whose triples some are repetitions."""
        self._repeated += repeated
        self._triples += located.triples
        self._ambiguous += located.ambiguous
        self._truncated += located.truncated
        if located.absent and not self._absent:
            self._first = f", first in {where}: {' | '.join(located.absent[0])}"
        self._absent += len(located.absent)

    def report(self, reading: Reading) -> None:
        """Report the counts."""
        if self._repeated:
            reading.report(
                f"{self._path}: triples that repeat another one of their text and count once: {self._repeated:,}"
            )
        if self._absent or self._ambiguous:
            reading.report(
                f"{self._path}: triples without offsets: {self._triples:,}; with several possible positions: "
                f"{self._ambiguous:,} (mentions: {reading.mentions}); not found in the text: {self._absent:,}{self._first}"
            )
        if self._truncated:
            reading.report(
                f"{self._path}: triples for which only the nearest pair is used, because the triples of their text have more "
                f"than {MAX_PAIRS:,} pairs of positions, or {PAIRS_PER_CHARACTER} per character: {self._truncated:,}"
            )


def write(document: Document) -> str:
    """Return one line in the layout of DuIE 2, which the official scorer reads."""
    return _record(document, [spo_fields(spo) for spo in _triples(document)])


def write_first(document: Document) -> str:
    """Return one line in the layout of DuIE 1, which has no slots."""
    simple = [
        {**spo_fields(spo), "object": spo.object, "object_type": spo.object_type or NO_TYPE}
        for spo in dict.fromkeys(_without_slots(spo) for spo in _triples(document))
    ]
    return _record(document, simple)


def _without_slots(spo: Spo) -> Spo:
    return Spo(spo.subject, spo.predicate, spo.object, (), spo.subject_type, spo.object_type)


def _triples(document: Document) -> list[Spo]:
    return document.spos if document.spos is not None else to_spos(document.text, document.relations)


def _record(document: Document, spo_list: list[dict[str, Any]]) -> str:
    first: dict[str, Any] = {} if document.id is None else {"id": document.id}
    meta = {key: value for key, value in document.meta.items() if key not in FORMAT_FIELDS}
    return dump(first | {"text": document.text, "spo_list": spo_list} | meta)


def count_losses(document: Document) -> Mapping[str, int]:
    """Count what `write` cannot store."""
    return _count_losses(document, _triples(document), _triples(document))


def count_losses_first(document: Document) -> Mapping[str, int]:
    """Count what `write_first` cannot store."""
    triples = _triples(document)
    slots = sum(len(spo.slots) for spo in triples)
    return {
        **_count_losses(document, triples, [_without_slots(spo) for spo in triples]),
        "slots of complex objects cannot be stored in the layout of DuIE 1": slots,
    }


def _count_losses(document: Document, triples: list[Spo], written: list[Spo]) -> dict[str, int]:
    """Count what is lost apart from slots, given that a reader locates the triples in the text again."""
    found = locate(document.text, written, "nearest").relations
    arguments = {
        (side.start, side.end, label) for r in found for role, side in role_arguments(r) for label in (role, side.label)
    }
    places = {(start, end) for start, end, _ in arguments}
    absent = [e for e in set(document.entities) if (e.start, e.end, e.label) not in arguments]
    alone = sum((entity.start, entity.end) not in places for entity in absent)
    counts = {OTHER_LABEL: len(absent) - alone}
    if document.spos is None:
        relations = set(document.relations)
        distinct = len(text_triples(document.text, relations))
        counts |= {MERGED: len(relations) - distinct, NO_OFFSETS: distinct}
        every = found if triples == written else locate(document.text, triples, "nearest").relations
        counts[OTHER_PLACE] = len(set(document.relations) - set(every))
    return {
        "entities without a relation cannot be stored in a list of triples": alone,
        **{what: count for what, count in counts.items() if count},
        **count_name_clashes(document, FORMAT_FIELDS),
        **count_native_only(document),
    }
