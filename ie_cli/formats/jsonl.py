"""Native JSON Lines: one document per line, in a form that can store the complete data model.

::

    {"id": "1", "text": "Ann met Bob in Rome",
     "entities": [{"start": 0, "end": 3, "label": "person", "text": "Ann", "score": 0.98}],
     "relations": [{"subject": ENTITY, "predicate": "knows", "object": ENTITY, "score": 0.9}],
     "events": [{"type": "meeting", "trigger": {"start": 4, "end": 7, "text": "met"},
                 "arguments": [{"role": "place", "start": 15, "end": 19, "label": "city", "text": "Rome"}]}]}
    {"text": "Ann slept", "text_pair": "Ann was awake", "label": "contradiction", "score": 0.3}

Only ``text`` is required. Offsets count characters of the first text, the end exclusive; if the ``text`` of a span is given, it
must match the offsets. An event may lack a trigger, and an argument a label.

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
import re
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from ie_cli.document import Document
from ie_cli.document.fields import FORMAT_FIELDS, GUESSED, TRIPLES, document_fields, reserved_names
from ie_cli.errors import DataError
from ie_cli.formats.common.base import (
    BadLine,
    Lines,
    Reading,
    Record,
    count_name_clashes,
    error_at,
    format_field_names,
    short,
)
from ie_cli.formats.common.native_fields import (
    entity_of,
    events_of,
    list_of,
    native_names,
    relation_of,
)
from ie_cli.formats.common.spo_json import spos_of_fields
from ie_cli.system.json_reading import NestedTooDeeply, loads
from ie_cli.triples import to_spos

_LONG_NUMBER = re.compile(r"\d{19}")
HINT = (
    'write each line as {"text": "Ann slept", "entities": [{"start": 0, "end": 3, "label": "name"}]}; a relation has a '
    "predicate, and such entities as subject and object."
)
_BYTE_ORDER_MARK = "\ufeff"  # found inside concatenated files


def read(lines: Lines, path: str, reading: Reading) -> Iterator[Record]:
    """Yield an example for each non-empty line."""
    for number, line in lines:
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            fields = parse_object(line)
            if not reading.annotation:
                fields = without_annotation(fields)
            document = from_fields(fields)
        except DataError as error:
            yield BadLine(where, line, error_at(where, error, HINT))
        else:
            document.where = where
            yield document


def without_annotation(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record without its annotation: its texts, its id and the user fields."""
    annotation = {"entities", "relations"} | (native_names(fields) - {"text_pair"})
    if GUESSED in fields.items():
        annotation |= {GUESSED[0], TRIPLES}
    return {key: value for key, value in fields.items() if key not in annotation}


def parse_object(line: str) -> dict[str, Any]:
    """Parse a line as a JSON object.

    Raises:
        DataError: the line is not valid JSON, or not an object.
    """
    line = line.removeprefix(_BYTE_ORDER_MARK)
    try:
        # orjson turns integers of more than 64 bits into floats and rejects lone surrogates, which JSON can contain;
        # the standard library reads both.
        value = loads(line, json.loads if _LONG_NUMBER.search(line) else orjson.loads)
    except ValueError:
        try:
            value = loads(line)
        except ValueError as error:
            raise DataError(f"not valid JSON: {_why(error)}", hint=_json_hint(line)) from error
    if not isinstance(value, dict):
        kind = {list: "an array", str: "a string", type(None): "null", bool: "a boolean"}.get(type(value), "a number")
        raise DataError(
            f"expected a JSON object, got {kind}",
            hint="write one object per line; convert an array to lines with: jq -c '.[]' IN > OUT",
        )
    return value


def _why(error: ValueError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return (
            f"{error.msg} (line {error.lineno}, column {error.colno})"
            if error.lineno > 1
            else (f"{error.msg} (column {error.colno})")
        )
    return str(error) if isinstance(error, NestedTooDeeply) else "a number has too many digits"


def _json_hint(line: str) -> str:
    if "\0" in line:
        return (
            "get the file from its source again: it contains NUL characters, so it was damaged in writing or copying."
        )
    hint = "write one JSON object per line"
    if line.strip() in {"[", "{"} or line.lstrip().startswith("["):
        hint += "; convert a JSON array or indented JSON to lines with: jq -c '.[]' IN > OUT"
    return hint + "."


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
            hint='give each line {"text": "…"}; rename a field with: jq -c \'.text = .content\'',
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


def from_fields(fields: Mapping[str, Any]) -> Document:
    """Build an example from the fields of one native record.

    Raises:
        DataError: a field is invalid; the message does not include the place.
    """
    text = text_of(fields)
    entities = [entity_of(value, text) for value in list_of(fields, "entities")]
    relations = [relation_of(value, text) for value in list_of(fields, "relations")]
    own = {name: fields[name] for name in native_names(fields)}
    meta = {key: value for key, value in fields.items() if key not in FORMAT_FIELDS and key not in own}
    own["events"] = events_of(own.get("events", []), text)
    document = Document(text, entities, relations, id_of(fields), meta, **own)
    if GUESSED in meta.items():
        del meta[GUESSED[0]]
        written = meta.pop(TRIPLES, None)
        document.spos = to_spos(text, relations) if written is None else spos_of_fields(written)
    return document


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
    return fields


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
    try:
        return orjson.dumps(fields).decode() + "\n"
    except (orjson.JSONEncodeError, TypeError):  # a lone surrogate, or an integer of more than 64 bits
        # Columns of a dataset may contain values that JSON cannot represent.
        return json.dumps(fields, ensure_ascii=True, default=str) + "\n"
