"""Native JSON lines: ``{"id": …, "text": …, "entities": [{"start", "end", "label", "text", "score"}], "relations": […]}``.

``"offsets": "guessed"`` marks relations whose data gave texts alone. Where the relations do not give these triples back, e.g.
because one has no place in the text, ``triples`` lists them all. Fields that are not ours are kept and come out again, after
ours.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from ie_cli.document import Document, Entity, Relation
from ie_cli.errors import DataError
from ie_cli.formats.common.base import (
    BadLine,
    Lines,
    Reading,
    Record,
    at,
    checked_entity,
    fields_of,
    must_be_storable,
    short,
)
from ie_cli.formats.common.spo_json import spo_fields, spos_of_fields
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
                fields = _without_annotation(fields)
            document = from_fields(fields)
        except DataError as error:
            yield BadLine(where, line, at(where, error, HINT))
        else:
            document.where = where
            yield document


def _without_annotation(fields: dict[str, Any]) -> dict[str, Any]:
    annotation = {"entities", "relations"}
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
        value = json.loads(line) if _LONG_NUMBER.search(line) else orjson.loads(line)
    except (ValueError, RecursionError):
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"not valid JSON: {_why(error)}", hint=_json_hint(line)) from error
    if not isinstance(value, dict):
        kind = {list: "an array", str: "a string", type(None): "null", bool: "a boolean"}.get(type(value), "a number")
        raise DataError(
            f"expected a JSON object, got {kind}",
            hint="each line must be one object; an array becomes lines with: jq -c '.[]' IN > OUT",
        )
    return value


def _why(error: ValueError | RecursionError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return (
            f"{error.msg} (line {error.lineno}, column {error.colno})"
            if error.lineno > 1
            else (f"{error.msg} (column {error.colno})")
        )
    return "its brackets are nested too deeply" if isinstance(error, RecursionError) else "a number of too many digits"


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
    entities = [_entity(value, text) for value in _list(fields, "entities")]
    relations = [_relation(value, text) for value in _list(fields, "relations")]
    meta = {key: value for key, value in fields.items() if key not in OURS}
    document = Document(text, entities, relations, id_of(fields), meta)
    if GUESSED in meta.items():
        del meta[GUESSED[0]]
        written = meta.pop(TRIPLES, None)
        document.spos = to_spos(text, relations) if written is None else spos_of_fields(written)
    return document


def _list(fields: Mapping[str, Any], name: str) -> list[Any]:
    value = fields.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise DataError(f"'{name}' must be a list, got {short(value)}")
    return value


def _entity(value: Any, text: str) -> Entity:
    if not isinstance(value, dict):
        raise DataError(f"an entity must be an object with start, end and label, got {short(value)}")
    if missing := [name for name in ("start", "end", "label") if name not in value]:
        raise DataError(f"an entity lacks {', '.join(missing)}: {short(value)}")
    mention = value.get("text")
    score = _score(value.get("score"))
    return checked_entity(value["start"], value["end"], value["label"], text, mention=mention, score=score)


def _relation(value: Any, text: str) -> Relation:
    if not isinstance(value, dict) or not {"subject", "predicate", "object"} <= value.keys():
        raise DataError(f"a relation must be an object with subject, predicate and object, got {short(value)}")
    if not isinstance(value["predicate"], str) or not value["predicate"]:
        raise DataError(f"a predicate must be a non-empty string, got {short(value['predicate'])}")
    must_be_storable(value["predicate"], "predicate")
    return Relation(
        _entity(value["subject"], text),
        value["predicate"],
        _entity(value["object"], text),
        _score(value.get("score")),
    )


def _score(value: Any) -> float | None:
    if value is None:
        return None
    try:
        finite = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # a whole number that no float can hold
        finite = False
    if not finite:
        raise DataError(f"a score must be a finite number, got {short(value)}")
    return float(value)


def write(document: Document) -> str:
    """One line of JSON."""
    return dump(to_fields(document))


def to_fields(document: Document) -> dict[str, Any]:
    """The fields of one native record."""
    fields: dict[str, Any] = {}
    if document.id is not None:
        fields["id"] = document.id
    fields["text"] = document.text
    fields["entities"] = [_entity_fields(entity, document.text) for entity in sorted(document.entities)]
    if document.relations:
        fields["relations"] = [
            {
                "subject": _entity_fields(relation.subject, document.text),
                "predicate": relation.predicate,
                "object": _entity_fields(relation.object, document.text),
                **_score_field(relation.score),
            }
            for relation in sorted(document.relations)
        ]
    if document.spos is not None:
        fields[GUESSED[0]] = GUESSED[1]
        if set(to_spos(document.text, document.relations)) != set(document.spos):
            fields[TRIPLES] = [spo_fields(spo) for spo in document.spos]
    # Data of another format may have had fields of these names.
    ours = OURS | {GUESSED[0], TRIPLES} if document.spos is not None or GUESSED in document.meta.items() else OURS
    return fields | {key: value for key, value in document.meta.items() if key not in ours}


def _entity_fields(entity: Entity, text: str) -> dict[str, Any]:
    return {
        "start": entity.start,
        "end": entity.end,
        "label": entity.label,
        "text": text[entity.start : entity.end],
        **_score_field(entity.score),
    }


def _score_field(score: float | None) -> dict[str, float]:
    return {} if score is None else {"score": round(score, 6)}


def dump(fields: Mapping[str, Any]) -> str:
    """A JSON object and a line end."""
    try:
        return orjson.dumps(fields).decode() + "\n"
    except (orjson.JSONEncodeError, TypeError):  # a lone surrogate, or a number of more than 64 bits
        # Of a dataset's columns some hold what JSON has no form for.
        return json.dumps(fields, ensure_ascii=True, default=str) + "\n"
