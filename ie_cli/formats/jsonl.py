"""Native JSON lines: one document per line, in a form that holds all of the data model.

::

    {"id": "1", "text": "Ann met Bob in Rome",
     "entities": [{"start": 0, "end": 3, "label": "person", "text": "Ann", "score": 0.98}],
     "relations": [{"subject": ENTITY, "predicate": "knows", "object": ENTITY, "score": 0.9}],
     "events": [{"type": "meeting", "trigger": {"start": 4, "end": 7, "text": "met"},
                 "arguments": [{"role": "place", "start": 15, "end": 19, "label": "city", "text": "Rome"}]}]}
    {"text": "Ann slept", "text_pair": "Ann was awake", "label": "contradiction", "score": 0.3}

Only ``text`` must be there. Offsets count characters of the first text, the end exclusive; where the ``text`` of a span is given,
it must be what they cover. An event may lack a trigger, and an argument a label.

``"offsets": "guessed"`` marks relations whose data gave texts alone. Where the relations do not give these triples back, e.g.
because one has no place in the text, ``triples`` lists them all.

Fields that are not ours are kept in `Document.meta` and come out again, after ours. ``id``, ``text``, ``entities`` and
``relations`` are always ours. Data of other kinds have fields named like the rest, so that these are ours by their form alone:

- ``text_pair`` where it is a string; beside it, ``label`` where it is a non-empty string and ``score`` where it is a finite
  number. A label without a second text, or one that is a number or a list, is the user's.
- ``events`` where it is a list and one of its items has the form of an event: a ``type`` that is a string and ``arguments``
  that are a list of objects with a ``role``. All of it must then be right, or the line is an error. An empty list is the user's.

Data of another format may bring such fields into `Document.meta`: they are written as they are, and read as ours; events that
would make the line an error are left out and counted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from ie_cli.document import Document
from ie_cli.errors import DataError
from ie_cli.formats.common.base import BadLine, Lines, Reading, Record, at, fields_of, short, taken
from ie_cli.formats.common.native_fields import (
    claimed,
    entity_fields,
    entity_of,
    event_fields,
    events_of,
    list_of,
    relation_fields,
    relation_of,
)
from ie_cli.formats.common.spo_json import spo_fields, spos_of_fields
from ie_cli.system.json_reading import NestedTooDeeply, loads
from ie_cli.triples import to_spos

_LONG_NUMBER = re.compile(r"\d{19}")
OURS = frozenset({"id", "text", "entities", "relations"})
GUESSED = ("offsets", "guessed")
TRIPLES = "triples"
HINT = (
    'a line is {"text": "Ann slept", "entities": [{"start": 0, "end": 3, "label": "name"}]}; a relation has subject and '
    "object, which are such entities, and predicate."
)
_MARK = "\ufeff"  # a byte-order mark: files that were joined have it inside


def read(lines: Lines, path: str, reading: Reading) -> Iterator[Record]:
    """Yield an example for each line that is not blank."""
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
            yield BadLine(where, line, at(where, error, HINT))
        else:
            document.where = where
            yield document


def without_annotation(fields: Mapping[str, Any]) -> dict[str, Any]:
    """A record as input: its texts, its id and the user's fields."""
    annotation = {"entities", "relations"} | (claimed(fields) - {"text_pair"})
    if GUESSED in fields.items():
        annotation |= {GUESSED[0], TRIPLES}
    return {key: value for key, value in fields.items() if key not in annotation}


def parse_object(line: str) -> dict[str, Any]:
    """A line as a JSON object.

    Raises:
        DataError: it is no JSON, or JSON but no object.
    """
    line = line.removeprefix(_MARK)
    try:
        # orjson turns whole numbers of more than 64 bits into floats, and refuses lone surrogates, which JSON can write;
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
            hint="each line must be one object; an array becomes lines with: jq -c '.[]' IN > OUT",
        )
    return value


def _why(error: ValueError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return (
            f"{error.msg} (line {error.lineno}, column {error.colno})"
            if error.lineno > 1
            else (f"{error.msg} (column {error.colno})")
        )
    return str(error) if isinstance(error, NestedTooDeeply) else "a number of too many digits"


def _json_hint(line: str) -> str:
    if "\0" in line:
        return "it holds NUL characters: the file was damaged when it was written or copied; take it from its source again."
    hint = "each line must be one JSON object"
    if line.strip() in {"[", "{"} or line.lstrip().startswith("["):
        hint += "; a JSON array or indented JSON becomes lines with: jq -c '.[]' IN > OUT"
    return hint + "."


def text_of(fields: Mapping[str, Any]) -> str:
    """The text of a record.

    Raises:
        DataError: it is missing or no string.
    """
    if "text" not in fields and fields.keys() == {"error", "line"}:
        raise DataError(
            "a line that `ie predict --on-error keep` could not read and marked",
            hint="leave such lines out, of gold data too, or mend the input and predict again.",
        )
    if "text" not in fields:
        raise DataError(
            f"no field 'text' (found: {fields_of(fields)})",
            hint='each line needs {"text": "…"}; rename the field with jq: jq -c \'.text = .content\'',
        )
    if not isinstance(fields["text"], str):
        raise DataError(f"'text' must be a string, got {short(fields['text'])}")
    return fields["text"]


def id_of(fields: Mapping[str, Any]) -> str | int | None:
    """The id of a record: a string or a whole number.

    Raises:
        DataError: it is anything else.
    """
    value = fields.get("id")
    if value is None or (isinstance(value, (str, int)) and not isinstance(value, bool)):
        return value
    raise DataError(f"'id' must be a string or a whole number, got {short(value)}")


def from_fields(fields: Mapping[str, Any]) -> Document:
    """An example from the fields of one native record.

    Raises:
        DataError: with what was got, without the place.
    """
    text = text_of(fields)
    entities = [entity_of(value, text) for value in list_of(fields, "entities")]
    relations = [relation_of(value, text) for value in list_of(fields, "relations")]
    own = {name: fields[name] for name in claimed(fields)}
    meta = {key: value for key, value in fields.items() if key not in OURS and key not in own}
    own["events"] = events_of(own.get("events", []), text)
    document = Document(text, entities, relations, id_of(fields), meta, **own)
    if GUESSED in meta.items():
        del meta[GUESSED[0]]
        written = meta.pop(TRIPLES, None)
        document.spos = to_spos(text, relations) if written is None else spos_of_fields(written)
    return document


def write(document: Document) -> str:
    """One line of JSON."""
    return dump(to_fields(document))


def to_fields(document: Document) -> dict[str, Any]:
    """The fields of one native record."""
    fields: dict[str, Any] = {}
    if document.id is not None:
        fields["id"] = document.id
    fields["text"] = document.text
    if document.text_pair is not None:
        fields["text_pair"] = document.text_pair
    fields["entities"] = [entity_fields(entity, document.text) for entity in sorted(document.entities)]
    if document.relations:
        fields["relations"] = [relation_fields(relation, document.text) for relation in sorted(document.relations)]
    if document.events:
        fields["events"] = [event_fields(event, document.text) for event in sorted(document.events)]
    if document.label is not None:
        fields["label"] = document.label
    if document.score is not None:
        fields["score"] = document.score
    if document.spos is not None:
        fields[GUESSED[0]] = GUESSED[1]
        if set(to_spos(document.text, document.relations)) != set(document.spos):
            fields[TRIPLES] = [spo_fields(spo) for spo in document.spos]
    left_out = _taken(document) | ({"events"} if _breaks(document) else set())
    return fields | {key: value for key, value in document.meta.items() if key not in left_out}


def _taken(document: Document) -> set[str]:
    """The names that the user's fields cannot have beside ours; data of another format may have had fields so named."""
    own = {name: getattr(document, name) for name in ("text_pair", "label", "score")}
    names = OURS | {name for name, value in own.items() if value is not None}
    if document.events:
        names |= {"events"}
    if document.spos is not None or GUESSED in document.meta.items():
        names |= {GUESSED[0], TRIPLES}
    return set(names)


def lost(document: Document) -> Mapping[str, int]:
    """What `write` cannot express."""
    broken = {"fields 'events' of the input have the form of events, but are broken: left out": 1}
    return {**(broken if _breaks(document) else {}), **taken(document, _taken(document))}


def _breaks(document: Document) -> bool:
    """Say whether the user's events would be read as ours, and refused."""
    if "events" not in document.meta or "events" not in claimed(document.meta):
        return False
    try:
        events_of(document.meta["events"], document.text)
    except DataError:
        return True
    return False


def dump(fields: Mapping[str, Any]) -> str:
    """A JSON object and a line end."""
    try:
        return orjson.dumps(fields).decode() + "\n"
    except (orjson.JSONEncodeError, TypeError):  # a lone surrogate, or a number of more than 64 bits
        # Of a dataset's columns some hold what JSON has no form for.
        return json.dumps(fields, ensure_ascii=True, default=str) + "\n"
