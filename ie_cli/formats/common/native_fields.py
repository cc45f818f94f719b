"""Conversion between the fields of native records and the data model: entities, relations, events, pairs of texts.

`jsonl` documents the form of a record, and the rule by which `native_names` separates native fields from user fields.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from ie_cli.document import Argument, Entity, Event, Relation
from ie_cli.document.fields import NO_TYPE
from ie_cli.errors import DataError
from ie_cli.formats.common.base import checked_entity, error_at, is_storable, quoted, require_storable, short
from ie_cli.formats.common.entity_fields import native_fields_of

_RELATION_FIELDS = frozenset({"subject", "predicate", "object", "score"})
_EVENT_HINT = (
    'write an event as {"type": "visit", "trigger": {"start": 4, "end": 7}, "arguments": [{"role": "guest", "start": 0, '
    '"end": 3}]}; the trigger may be omitted.'
)


def native_names(fields: Mapping[str, Any]) -> frozenset[str]:
    """Return which of the fields text_pair, label, score and events are native; the others are user fields."""
    names = []
    if isinstance(fields.get("text_pair"), str):
        names.append("text_pair")
        label = fields.get("label")
        if isinstance(label, str) and label and is_storable(label):
            names.append("label")
        if _is_number(fields.get("score")):
            names.append("score")
    events = fields.get("events")
    if isinstance(events, list) and any(map(_is_event, events)):
        names.append("events")
    return frozenset(names)


def malformed_pair_fields(fields: Mapping[str, Any], native: frozenset[str]) -> Iterator[str]:
    """Yield which of text_pair, label and score a pair of texts has in a form that is not read; null is as good as missing."""
    if fields.get("text_pair") is None:
        return
    if "text_pair" not in native:
        yield "text_pair"
        return
    for name in ("label", "score"):
        if name not in native and fields.get(name) not in (None, ""):
            yield name


def _is_event(value: Any) -> bool:
    """Return whether a value has the form of an event, even if its parts are invalid."""
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        return False
    arguments = value.get("arguments")
    return isinstance(arguments, list) and all(isinstance(item, dict) and "role" in item for item in arguments)


def list_of(fields: Mapping[str, Any], name: str) -> list[Any]:
    """Return a field that is a list, or an empty list if it is missing.

    Raises:
        DataError: the field is anything else.
    """
    value = fields.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise DataError(f"'{name}' must be a list, got {short(value)}")
    return value


def entity_of(value: Any, text: str, dropped: Counter[str] | None = None) -> Entity:
    """Build an entity from its fields; `dropped` counts those that are not kept.

    Raises:
        DataError: a field is invalid; the message does not include the place.
    """
    fields = native_fields_of(value, text, dropped)
    return _placed(fields, fields["label"], text)


def _require_fields(value: dict[str, Any], names: tuple[str, ...], what: str) -> None:
    if missing := [name for name in names if name not in value]:
        raise DataError(f"{what} lacks {', '.join(missing)}: {short(value)}")


def _placed(value: dict[str, Any], label: Any, text: str) -> Entity:
    score = score_of(value.get("score"))
    return checked_entity(value["start"], value["end"], label, text, mention=value.get("text"), score=score)


def relation_of(value: Any, text: str, dropped: Counter[str] | None = None) -> Relation:
    """Build a relation from its fields; `dropped` counts those that are not kept.

    Raises:
        DataError: a field is invalid; the message does not include the place.
    """
    if not isinstance(value, dict) or not {"subject", "predicate", "object"} <= value.keys():
        raise DataError(f"a relation must be an object with subject, predicate and object, got {short(value)}")
    if not isinstance(value["predicate"], str) or not value["predicate"]:
        raise DataError(f"a predicate must be a non-empty string, got {short(value['predicate'])}")
    require_storable(value["predicate"], "predicate")
    if dropped is not None:
        dropped.update(name for name in value if name not in _RELATION_FIELDS)
    return Relation(
        entity_of(value["subject"], text, dropped),
        value["predicate"],
        entity_of(value["object"], text, dropped),
        score_of(value.get("score")),
    )


def events_of(values: list[Any], text: str) -> list[Event]:
    """Build the events of a record.

    Raises:
        DataError: an event is invalid; the message includes its index, but not the place.
    """
    events = []
    for number, value in enumerate(values):
        try:
            events.append(_event(value, text))
        except DataError as error:
            raise error_at(f"events[{number}]", error, _EVENT_HINT) from error
    return events


def _event(value: Any, text: str) -> Event:
    if not isinstance(value, dict):
        raise DataError(f"an event must be an object with type and arguments, got {short(value)}")
    _require_fields(value, ("type", "arguments"), "an event")
    kind = value["type"]
    if not isinstance(kind, str) or not kind:
        raise DataError(f"an event's type must be a non-empty string, got {quoted(kind)}")
    require_storable(kind, "type")
    arguments = tuple(_argument(item, text) for item in list_of(value, "arguments"))
    return Event(kind, _trigger(value.get("trigger"), kind, text), arguments, score_of(value.get("score")))


def _trigger(value: Any, kind: str, text: str) -> tuple[int, int] | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise DataError(f"a trigger must be an object with start and end, or null, got {short(value)}")
    _require_fields(value, ("start", "end"), "a trigger")
    try:
        found = checked_entity(value["start"], value["end"], kind, text, mention=value.get("text"))
    except DataError as error:
        raise error_at("trigger", error) from error
    return found.start, found.end


def _argument(value: Any, text: str) -> Argument:
    if not isinstance(value, dict):
        raise DataError(f"an argument must be an object with role, start and end, got {short(value)}")
    _require_fields(value, ("role", "start", "end"), "an argument")
    role, label = value["role"], value.get("label")
    if not isinstance(role, str) or not role:
        raise DataError(f"a role must be a non-empty string, got {quoted(role)}")
    require_storable(role, "role")
    try:
        return Argument(role, _placed(value, NO_TYPE if label is None else label, text))
    except DataError as error:
        raise error_at(f"argument {quoted(role)}", error) from error


def score_of(value: Any) -> float | None:
    """Return a score, or None.

    Raises:
        DataError: it is no finite number.
    """
    if value is None:
        return None
    if not _is_number(value):
        raise DataError(f"a score must be a finite number, got {short(value)}")
    return float(value)


def _is_number(value: Any) -> bool:
    """Return whether a value is a finite number that a float can represent."""
    try:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # an integer too large for a float
        return False
