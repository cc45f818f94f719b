"""Label Studio's export JSON-MIN: the fields of ``data`` and the regions of each control in one object per annotation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any

from ie_cli.formats.common.json_stream import FoundObject
from ie_cli.formats.common.label_studio_regions import HYPERTEXT, LABELS

_KEPT = ("created_at", "updated_at")
BOOKKEEPING = frozenset({"id", "annotator", "annotation_id", "agreement", "lead_time", *_KEPT})
"""The fields of JSON-MIN that are no data and no control."""
_REGION_TYPES = (LABELS, HYPERTEXT, "paragraphlabels")


def is_minimal(fields: Mapping[str, Any]) -> bool:
    """Return whether an object is one of JSON-MIN."""
    if "data" in fields:
        return False
    return {"annotation_id", "annotator"} <= fields.keys() or any(map(is_control, fields.values()))


def as_tasks(objects: Iterable[FoundObject]) -> Iterator[FoundObject]:
    """Yield tasks; consecutive objects of JSON-MIN with the same id become one task with several annotations."""
    numbered = enumerate(objects)
    for _, group in groupby(numbered, key=lambda pair: _key(pair[0], pair[1][2])):
        found = [pair[1] for pair in group]
        (where, raw, first), *_ = found
        minimal = [fields for _, _, fields in found if isinstance(fields, dict) and is_minimal(fields)]
        if not minimal or not isinstance(first, dict):
            yield where, raw, first
            continue
        yield where, "\n".join(text for _, text, _ in found), _task(minimal)


def _key(number: int, fields: Any) -> tuple[Any, ...]:
    """Return what consecutive objects of the same task have in common."""
    if isinstance(fields, dict) and "id" in fields and is_minimal(fields):
        return "task", str(fields["id"]), str(fields.get("text"))
    return "single", number


def _task(objects: list[dict[str, Any]]) -> dict[str, Any]:
    first = objects[0]
    data = {name: value for name, value in first.items() if name not in BOOKKEEPING and not is_control(value)}
    return {"id": first.get("id"), "data": data, "annotations": [_annotation(fields) for fields in objects]}


def _annotation(fields: Mapping[str, Any]) -> dict[str, Any]:
    regions = [
        {"type": _type(region), "from_name": name, "value": region}
        for name, value in fields.items()
        if is_control(value)
        for region in value
    ]
    times = {name: fields[name] for name in _KEPT if name in fields}
    return {"id": fields.get("annotation_id"), "result": regions, **times}


def is_control(value: Any) -> bool:
    """Return whether a value is the regions of a control: a list of labelled spans."""
    return isinstance(value, list) and bool(value) and all(_type(region) is not None for region in value)


def _type(region: Any) -> str | None:
    """Return the type of a region, which is the name of its list of labels; None if it is no region."""
    if not isinstance(region, dict) or not {"start", "end"} <= region.keys():
        return None
    return next((name for name in _REGION_TYPES if isinstance(region.get(name), list)), None)
