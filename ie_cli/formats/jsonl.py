"""Native JSON: one document per line, or an array of documents, in a form that can store the complete data model.

::

    {"id": "1", "text": "Ann met Bob in Rome",
     "entities": [{"start": 0, "end": 3, "label": "person", "text": "Ann", "score": 0.98}],
     "relations": [{"subject": ENTITY, "predicate": "knows", "object": ENTITY, "score": 0.9}],
     "events": [{"type": "meeting", "trigger": {"start": 4, "end": 7, "text": "met"},
                 "arguments": [{"role": "place", "start": 15, "end": 19, "label": "city", "text": "Rome"}]}]}
    {"text": "Ann slept", "text_pair": "Ann was awake", "label": "contradiction", "score": 0.3}

Only ``text`` is required. Offsets count characters of the first text, the end exclusive; if the ``text`` of a span is given, it
must match the offsets. An event may lack a trigger, and an argument a label. Lines are written; a file that is read may also be
one array, on one or many lines.

What other tools write is read if it has only one meaning. An entity may be ``[start, end, label]``. Its label may be named
``type``, ``tag`` or ``entity_type``, its offsets ``start_offset`` and ``end_offset``, or ``start_char`` and ``end_char``, or
``start_idx`` and ``end_idx`` if the mention shows whether the end is inclusive. Without ``entities``, a field with such entities
is read under another common name: ``label`` or ``labels`` (doccano), ``spans`` (Prodigy), ``ner``, ``annotations``, ``Entities``.
A relation may name the ids of two entities, ``{"from_id": 0, "to_id": 1, "type": "knows"}`` (doccano), or give two spans,
``head_span`` and ``child_span``, and a ``label`` (Prodigy).
A record with a field that could be the annotation, but has another name or form, is an error. A record with ``"entities": []``
has no entities, whatever its other fields contain. What was read from another field, is missing or is not kept is counted.

``"offsets": "guessed"`` marks relations whose data gave texts alone. If the relations do not reproduce these triples, e.g.
because one cannot be located in the text, ``triples`` lists all of them.

Other fields are user fields: they are kept in `Document.meta` and written again after the native ones. ``id``, ``text``,
``entities`` and ``relations`` are always native. Other data may use the remaining names, so those are native only by their form:

- ``text_pair`` if it is a string; next to it, ``label`` if it is a non-empty string and ``score`` if it is a finite number.
  A label without a second text, or one that is a number or a list, is a user field.
- ``events`` if it is a list and one of its items has the form of an event: a ``type`` that is a string and ``arguments`` that
  are a list of objects with a ``role``. The complete list must then be valid, or the line is an error. An empty list is a user
  field.

Data from another format may bring such fields into `Document.meta`: they are written unchanged and read as native fields;
events that would make the line invalid are left out and counted.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import orjson

from ie_cli.document import Document
from ie_cli.document.fields import BRAT, FORMAT_FIELDS, GUESSED, TRIPLES, document_fields, reserved_names
from ie_cli.errors import DataError
from ie_cli.formats.common.annotation_fields import (
    AnnotationTally,
    entity_field,
    require_no_other_relations,
    text_hint,
)
from ie_cli.formats.common.base import (
    Lines,
    Reading,
    Record,
    count_name_clashes,
    format_field_names,
    short,
)
from ie_cli.formats.common.brat_lines import kept_beyond
from ie_cli.formats.common.json_stream import FoundObject, convert_objects, lines_or_array
from ie_cli.formats.common.native_fields import (
    entity_of,
    events_of,
    list_of,
    malformed_pair_fields,
    native_names,
)
from ie_cli.formats.common.relation_fields import relations_of
from ie_cli.formats.common.spo_json import spos_of_fields
from ie_cli.triples import to_spos

HINT = (
    'write each line as {"text": "Ann slept", "entities": [{"start": 0, "end": 3, "label": "name"}]}; a relation has a '
    "predicate, and such entities as subject and object."
)


def read(lines: Lines, path: str, reading: Reading) -> Iterator[Record]:
    """Yield an example for each record, and report what was missing or not kept."""
    yield from read_objects(lines_or_array(lines, path), path, reading)


def read_objects(
    objects: Iterable[FoundObject],
    path: str,
    reading: Reading,
    *,
    prepare: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
    bookkeeping: Iterable[str] = (),
) -> Iterator[Record]:
    """Do the same for objects that are almost native.

    Args:
        objects: the objects.
        path: the name of the file.
        reading: the options of reading.
        prepare: converts an object to a native one.
        bookkeeping: names of fields of entities and relations that nobody misses.
    """
    tally = AnnotationTally(path)

    def convert(given: dict[str, Any], where: str) -> Document:
        fields = given if prepare is None else prepare(given)
        document = from_fields(fields, tally) if reading.annotation else from_fields(without_annotation(fields))
        document.where = where
        document.fields = given if reading.keep_fields else None
        return document

    yield from convert_objects(objects, convert, HINT)
    for name in bookkeeping:
        del tally.dropped[name]
    if not reading.keep_fields:
        tally.report(reading)


def without_annotation(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record without its annotation: its texts, its id and the user fields."""
    annotation = {"entities", "relations", BRAT} | (native_names(fields) - {"text_pair"})
    if GUESSED in fields.items():
        annotation |= {GUESSED[0], TRIPLES}
    return {key: value for key, value in fields.items() if key not in annotation}


def text_of(fields: Mapping[str, Any]) -> str:
    """Return the text of a record.

    Raises:
        DataError: the text is missing or not a string.
    """
    if "text" not in fields and fields.keys() == {"error", "line"}:
        raise DataError(
            "this line is the error record of an input line that `ie predict --on-error keep` could not read",
            hint="remove such lines, also from the gold data, or fix the input and predict again.",
        )
    if "text" not in fields:
        raise DataError(
            f"no field 'text' (found: {format_field_names(fields)})",
            hint=text_hint(fields),
        )
    if not isinstance(fields["text"], str):
        raise DataError(f"'text' must be a string, got {short(fields['text'])}")
    return fields["text"]


def id_of(fields: Mapping[str, Any]) -> str | int | None:
    """Return the id of a record: a string, an integer, or None.

    Raises:
        DataError: the id is anything else.
    """
    value = fields.get("id")
    if value is None or (isinstance(value, (str, int)) and not isinstance(value, bool)):
        return value
    raise DataError(f"'id' must be a string or an integer, got {short(value)}")


def from_fields(fields: Mapping[str, Any], tally: AnnotationTally | None = None) -> Document:
    """Build an example from the fields of one native record.

    Args:
        fields: the fields.
        tally: counts the annotation; if it is None, the record is a text to predict, and only native fields are annotation.

    Raises:
        DataError: a field is invalid; the message does not include the place.
    """
    text = text_of(fields)
    names = native_names(fields)
    related = fields.get("relations") is not None
    annotated = _is_annotated(fields, names)
    place: str | None = "entities"
    dropped = None
    if tally is not None:
        place, dropped = place_of_entities(fields), tally.dropped
        if not related and GUESSED not in fields.items():
            require_no_other_relations(fields)
    entities = [entity_of(value, text, dropped) for value in (list_of(fields, place) if place is not None else ())]
    relations = relations_of(fields, text, place, entities, dropped)
    own = {name: fields[name] for name in names}
    meta = {key: value for key, value in fields.items() if key not in FORMAT_FIELDS and key not in own and key != place}
    own["events"] = events_of(own.get("events", []), text)
    document = Document(text, entities, relations, id_of(fields), meta, related=related, **own)
    if GUESSED in meta.items():
        del meta[GUESSED[0]]
        written = meta.pop(TRIPLES, None)
        document.spos = to_spos(text, relations) if written is None else spos_of_fields(written)
    if tally is not None:
        tally.add(place, annotated=annotated, related=related)
        if BRAT in meta:
            tally.beyond.update(kept_beyond(meta[BRAT], text))
        tally.malformed.update(malformed_pair_fields(fields, names))
    return document


def place_of_entities(fields: Mapping[str, Any]) -> str | None:
    """Return the field with the entities of a record, or None if it has none.

    Raises:
        DataError: several fields could contain them.
    """
    return entity_field(fields, annotated=_is_annotated(fields, native_names(fields)))


def _is_annotated(fields: Mapping[str, Any], names: frozenset[str]) -> bool:
    """Return whether a record has an annotation besides its entities."""
    related = fields.get("relations") is not None
    return related or bool(names & {"events", "text_pair"}) or GUESSED in fields.items()


def write(document: Document) -> str:
    """Return one line of JSON."""
    return dump(to_fields(document))


def to_fields(document: Document) -> dict[str, Any]:
    """Return the fields of one native record."""
    fields = document_fields(document)
    if document.spos is not None and set(to_spos(document.text, document.relations)) == set(document.spos):
        del fields[TRIPLES]
    if _has_invalid_events(document):
        del fields["events"]
    # The field stands before the user fields, as `document_fields` writes it.
    return to_fields(replace(document, related=True)) if _seems_related(fields) else fields


def without_doubt(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a record so that `read_objects` takes no user field for its relations.

    A record without relations, whose user fields look like some, says that it has none.
    """
    return fields | {"relations": []} if _seems_related(fields) else fields


def _seems_related(fields: Mapping[str, Any]) -> bool:
    """Return whether a record without relations has a user field that could contain some."""
    if "relations" in fields or GUESSED in fields.items():
        return False
    try:
        require_no_other_relations(fields)
    except DataError:
        return True
    return False


def count_losses(document: Document) -> Mapping[str, int]:
    """Count what `write` cannot store."""
    broken = {"fields 'events' of the input look like events but are invalid, and are left out": 1}
    return {
        **(broken if _has_invalid_events(document) else {}),
        **count_name_clashes(document, reserved_names(document)),
    }


def _has_invalid_events(document: Document) -> bool:
    """Return whether a user field ``events`` would be read as native and be rejected."""
    if "events" not in document.meta or "events" not in native_names(document.meta):
        return False
    try:
        events_of(document.meta["events"], document.text)
    except DataError:
        return True
    return False


def dump(fields: Mapping[str, Any]) -> str:
    """Serialise a JSON object with a line end."""
    return dump_value(fields) + "\n"


def dump_value(value: Any) -> str:
    """Serialise a value as JSON, without a line end."""
    try:
        return orjson.dumps(value).decode()
    except (orjson.JSONEncodeError, TypeError):  # a lone surrogate, or an integer of more than 64 bits
        # Columns of a dataset may contain values that JSON cannot represent.
        return json.dumps(value, ensure_ascii=True, default=str)
