"""The forms in which JSON records give a relation: the native one, and those of annotation tools.

Doccano names the ids of two entities: ``{"from_id": 0, "to_id": 1, "type": "founded"}``. Prodigy repeats the spans of both:
``{"head_span": {…}, "child_span": {…}, "label": "founded"}``; the head is the subject.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ie_cli.document import Entity, Relation
from ie_cli.document.fields import NO_TYPE
from ie_cli.errors import DataError
from ie_cli.formats.common.base import checked_entity, quoted, require_storable, short
from ie_cli.formats.common.entity_fields import label_name
from ie_cli.formats.common.native_fields import list_of, relation_of, score_of

IDS = ("from_id", "to_id")
SPANS = ("head_span", "child_span")
_BESIDE_SPANS = frozenset({"head", "child"})
"""The tokens of Prodigy's spans, which are written again."""
_IDS_HINT = 'give each entity an "id", and each relation the ids of two entities of its record: "from_id" and "to_id".'


def relations_of(
    fields: Mapping[str, Any], text: str, place: str | None, entities: Sequence[Entity], dropped: Counter[str] | None
) -> list[Relation]:
    """Return the relations of a record, whatever form they have.

    Args:
        fields: the fields of the record.
        text: its text.
        place: the field with its entities.
        entities: the entities of that field, in the same order.
        dropped: counts the fields of relations that are not kept.

    Raises:
        DataError: a relation is invalid; the message does not include the place.
    """
    ids: dict[Any, Entity] | None = None
    labels: dict[tuple[int, int], str] | None = None
    relations = []
    for value in list_of(fields, "relations"):
        if _has(value, IDS):
            ids = _ids(list_of(fields, place or "entities"), entities) if ids is None else ids
            relations.append(_by_id(value, ids, dropped))
        elif _has(value, SPANS):
            labels = _labels(entities) if labels is None else labels
            relations.append(_by_span(value, text, labels, dropped))
        else:
            relations.append(relation_of(value, text, dropped))
    return relations


def _has(value: Any, names: tuple[str, str]) -> bool:
    return isinstance(value, dict) and "subject" not in value and all(name in value for name in names)


def _ids(values: Sequence[Any], entities: Sequence[Entity]) -> dict[Any, Entity]:
    """Return the entities by their ids.

    Raises:
        DataError: two entities have the same id.
    """
    found: dict[Any, Entity] = {}
    for value, entity in zip(values, entities, strict=False):
        key = value.get("id") if isinstance(value, dict) else None
        if not isinstance(key, (int, str)):
            continue
        if key in found:
            raise DataError(f"two entities have the id {quoted(key)}", hint=_IDS_HINT)
        found[key] = entity
    return found


def _by_id(value: dict[str, Any], ids: Mapping[Any, Entity], dropped: Counter[str] | None) -> Relation:
    arguments = []
    for name in IDS:
        key = value[name]
        if not isinstance(key, (int, str)) or key not in ids:
            raise DataError(f"a relation has {name} {short(key)}, which is the id of no entity", hint=_IDS_HINT)
        arguments.append(ids[key])
    name, predicate = _predicate(value)
    _count(value, dropped, {*IDS, "id", "score", name})
    return Relation(arguments[0], predicate, arguments[1], score_of(value.get("score")))


def _labels(entities: Sequence[Entity]) -> dict[tuple[int, int], str]:
    """Return the label of each span, or the first of several."""
    return {(entity.start, entity.end): entity.label for entity in reversed(entities)}


def _by_span(
    value: dict[str, Any], text: str, labels: Mapping[tuple[int, int], str], dropped: Counter[str] | None
) -> Relation:
    arguments = []
    for name in SPANS:
        span = value[name]
        if not isinstance(span, dict) or "start" not in span or "end" not in span:
            raise DataError(f"'{name}' of a relation must be an object with start and end, got {short(span)}")
        start, end = span["start"], span["end"]
        label = span.get("label") or (labels.get((start, end)) if _is_span(start, end) else None) or NO_TYPE
        arguments.append(checked_entity(start, end, label, text, mention=span.get("text")))
    name, predicate = _predicate(value)
    _count(value, dropped, {*SPANS, *_BESIDE_SPANS, "score", name})
    return Relation(arguments[0], predicate, arguments[1], score_of(value.get("score")))


def _is_span(start: Any, end: Any) -> bool:
    return isinstance(start, int) and isinstance(end, int)


def _predicate(value: dict[str, Any]) -> tuple[str, str]:
    """Return the field with the predicate of a relation, and the predicate.

    Raises:
        DataError: there is none.
    """
    name = label_name(value)
    predicate = None if name is None else value[name]
    if name is None or not isinstance(predicate, str) or not predicate:
        raise DataError(f"the type of a relation must be a non-empty string, got {short(predicate)}")
    require_storable(predicate, "predicate")
    return name, predicate


def _count(value: Mapping[str, Any], dropped: Counter[str] | None, used: set[str]) -> None:
    if dropped is not None:
        dropped.update(name for name in value if name not in used)
