"""Detection of the records of annotation tools that the native reader would not read as the tool means them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ie_cli.formats.common.entity_fields import has_entity_form
from ie_cli.formats.common.label_studio_minimal import is_minimal
from ie_cli.formats.common.relation_fields import IDS
from ie_cli.formats.common.spacy_records import is_spacy_record

_HASHES = ("_input_hash", "_task_hash", "_view_id")
_OLD_FIELDS = ("label", "labels", "annotations", "entities")
"""Where doccano writes the annotation of a text in ``data``."""
_ANSWERS = ("accept", "reject", "ignore")
_BY_TOKENS = frozenset({"token_start", "token_end"})
"""Where Prodigy writes the tokens of a span."""


def tool_of(fields: Mapping[str, Any]) -> str | None:
    """Return the name of the format of an annotation tool that a record belongs to, or None."""
    if isinstance(fields.get("data"), dict) and "text" not in fields:
        return "label_studio"
    if is_spacy_record(fields):
        return "spacy-json"
    if "text" in fields and _is_prodigy(fields):
        return "prodigy"
    if _is_doccano(fields):
        return "doccano"
    return "label_studio" if is_minimal(fields) else None


def _is_prodigy(fields: Mapping[str, Any]) -> bool:
    if any(name in fields for name in _HASHES):
        return True
    spans = fields.get("spans")
    if not isinstance(spans, list):
        return False
    return fields.get("answer") in _ANSWERS or (
        bool(spans) and isinstance(spans[0], dict) and spans[0].keys() >= _BY_TOKENS
    )


def _is_doccano(fields: Mapping[str, Any]) -> bool:
    if "text" not in fields:
        return isinstance(fields.get("data"), str) and any(map(_is_annotation, map(fields.get, _OLD_FIELDS)))
    relation = _first(fields, "relations")
    if isinstance(relation, dict) and relation.keys() >= set(IDS):
        return True
    entity, annotation = _first(fields, "entities"), _first(fields, "annotations")
    known = {"id", "start_offset", "end_offset"}
    if isinstance(entity, dict) and entity.keys() >= known:
        return True
    return isinstance(annotation, dict) and annotation.keys() >= {"user", "start_offset", "end_offset"}


def _is_annotation(value: Any) -> bool:
    """Return whether a value is a list of entities or relations, which is empty if nobody annotated the text."""
    if not isinstance(value, list) or not value:
        return value == []
    return isinstance(value[0], dict) or has_entity_form(value[0]) or is_unwritten(value)


def is_unwritten(value: Any) -> bool:
    """Return whether a value has the names of doccano's fields in place of their annotation, which an error of it has lost."""
    return isinstance(value, list) and bool(value) and all(name in ("entities", "relations") for name in value)


def _first(fields: Mapping[str, Any], *names: str) -> Any:
    """Return the first item of a list of entities or relations in one of these fields, or None."""
    for name in names:
        value = fields.get(name)
        if isinstance(value, list) and value and (has_entity_form(value[0]) or isinstance(value[0], dict)):
            return value[0]
    return None
