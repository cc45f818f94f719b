"""Conversion between triples of texts and the fields of DuIE 1 and 2."""

from __future__ import annotations

from typing import Any

from ie_cli.document import Spo
from ie_cli.document.fields import NO_TYPE, VALUE
from ie_cli.errors import DataError
from ie_cli.formats.common.base import require_storable, short


def spos_of_fields(values: Any) -> list[Spo]:
    """Build the triples of an ``spo_list``.

    Raises:
        DataError: a field is invalid; the message does not include the place.
    """
    if not isinstance(values, list):
        raise DataError(f"'spo_list' must be a list, got {short(values)}")
    return [_spo(value) for value in values]


def _spo(value: Any) -> Spo:
    if not isinstance(value, dict):
        raise DataError(f"a triple must be an object with subject, predicate and object, got {short(value)}")
    if missing := [name for name in ("subject", "predicate", "object") if name not in value]:
        raise DataError(f"a triple lacks {', '.join(missing)}: {short(value)}")
    objects, types = _slots(value["object"], "object"), _slots(value.get("object_type"), "object_type")
    if VALUE not in objects:
        raise DataError(f"'object' has no '{VALUE}': {short(value['object'])}")
    for name in ("subject", "predicate"):
        if not isinstance(value[name], str) or (name == "predicate" and not value[name]):
            raise DataError(f"'{name}' must be a non-empty string, got {short(value[name])}")
    subject_type = value.get("subject_type") or NO_TYPE
    if not isinstance(subject_type, str):
        raise DataError(f"'subject_type' must be a string, got {short(subject_type)}")
    for what, names in (
        ("predicate", [value["predicate"]]),
        ("type", [subject_type, *types.values()]),
        ("slot", objects),
    ):
        for name in names:
            require_storable(name, what)
    slots = tuple(sorted((slot, text) for slot, text in objects.items() if slot != VALUE))
    slot_types = tuple((slot, types.get(slot) or NO_TYPE) for slot, _ in slots)
    object_type = types.get(VALUE) or NO_TYPE
    return Spo(value["subject"], value["predicate"], objects[VALUE], slots, subject_type, object_type, slot_types)


def _slots(value: Any, name: str) -> dict[str, str]:
    if value is None:
        return {}
    slots = {VALUE: value} if isinstance(value, str) else value
    if not isinstance(slots, dict) or not all(isinstance(text, str) for text in slots.values()):
        raise DataError(f"'{name}' must be a string or map '{VALUE}' and slots to strings, got {short(value)}")
    return slots
