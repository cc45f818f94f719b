"""Which of the JSON layouts of research data a record has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ie_cli.formats.common.tag_fields import is_tagged
from ie_cli.formats.common.token_fields import is_list_of_strings
from ie_cli.formats.oneke import is_instruction


def research_format(fields: Mapping[str, Any]) -> str | None:
    """Return the name of the format of a record with a layout of research data, or None."""
    return next((name for name, has_layout in _LAYOUTS.items() if has_layout(fields)), None)


def _is_w2ner(fields: Mapping[str, Any]) -> bool:
    entities = fields.get("ner")
    listed = isinstance(entities, list) and all(isinstance(value, dict) and "index" in value for value in entities)
    return listed and isinstance(fields.get("sentence"), list)


def _is_bio_json(fields: Mapping[str, Any]) -> bool:
    """Return whether a record has tokens and tags; those with ``tags`` by name alone belong to the table of CoNLL04."""
    if fields.get("entities") is not None or not is_tagged(fields):
        return False
    table = is_list_of_strings(fields.get("tokens")) and is_list_of_strings(fields.get("tags"))
    return not (table and "text" not in fields and not {"ner_tags", "labels"} & fields.keys())


def _is_oneie(fields: Mapping[str, Any]) -> bool:
    mentions = fields.get("entity_mentions")
    placed = isinstance(mentions, list) and all(isinstance(value, dict) and "start" in value for value in mentions)
    return placed and is_list_of_strings(fields.get("tokens")) and fields.get("entities") is None


def _is_dygie(fields: Mapping[str, Any]) -> bool:
    sentences = fields.get("sentences")
    listed = isinstance(sentences, list) and bool(sentences) and all(isinstance(value, list) for value in sentences)
    return (
        listed and "text" not in fields and bool({"doc_key", "ner", "relations", "clusters", "events"} & fields.keys())
    )


def _is_duee(fields: Mapping[str, Any]) -> bool:
    return (
        isinstance(fields.get("event_list"), list) and isinstance(fields.get("text"), str) and "entities" not in fields
    )


def _is_uie(fields: Mapping[str, Any]) -> bool:
    strings = isinstance(fields.get("content"), str) and isinstance(fields.get("prompt"), str)
    return strings and isinstance(fields.get("result_list"), list)


def _is_oneke(fields: Mapping[str, Any]) -> bool:
    if is_instruction(fields):
        return True
    lists = {"entity": "entity_type", "relation": "head"}
    texts = isinstance(fields.get("text", fields.get("input")), str) and "entities" not in fields
    return texts and any(
        isinstance(values := fields.get(name), list)
        and values
        and all(isinstance(v, dict) and key in v for v in values)
        for name, key in lists.items()
    )


_LAYOUTS: dict[str, Callable[[Mapping[str, Any]], bool]] = {
    "oneie": _is_oneie,
    "dygie": _is_dygie,
    "duee": _is_duee,
    "uie": _is_uie,
    "oneke": _is_oneke,
    "w2ner": _is_w2ner,
    "bio-json": _is_bio_json,
}
