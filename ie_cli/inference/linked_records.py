"""The mentions of predictions in native JSON, and the same records with their links."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from ie_cli.document import Document
from ie_cli.document.fields import entity_fields
from ie_cli.errors import DataError
from ie_cli.formats import BadLine
from ie_cli.formats.common.json_object import parse_object
from ie_cli.formats.common.native_fields import entity_of, native_names
from ie_cli.formats.jsonl import place_of_entities
from ie_cli.inference.canonical_names import NameIndex
from ie_cli.inference.linking import Link, Mention

LINK = "link"
"""The field of an entity with its link, or with null if it is linked to none of the names."""
_DIGITS = 6
Visit = Callable[[int, int, str | None, dict[str, Any]], dict[str, Any]]
"""Returns the new fields of an entity, given its start, its end, its label and its fields."""


def mentions_of(document: Document, context: int = 0) -> list[Mention]:
    """Return the mentions of a document that was read with its fields: entities, and those of relations and events.

    Args:
        document: the document.
        context: how many characters before and after a mention belong to what the models read.
    """
    text, found = document.text, list[Mention]()

    def collect(start: int, end: int, label: str | None, fields: dict[str, Any]) -> dict[str, Any]:
        found.append(Mention(text[start:end], text[max(0, start - context) : end + context], label))
        return fields

    _rewritten(document, collect)
    return found


def with_links(document: Document, links: Iterator[Link], index: NameIndex) -> Document:
    """Return a document whose fields have a link, or null, at each of its mentions, in the order of `mentions_of`."""

    def add(start: int, end: int, label: str | None, fields: dict[str, Any]) -> dict[str, Any]:
        return {**fields, LINK: _fields_of(next(links), index)}

    return replace(document, fields=_rewritten(document, add))


def _fields_of(link: Link, index: NameIndex) -> dict[str, Any] | None:
    if link.owner is None:
        return None
    name = index.names[link.owner]
    return {"id": name.id, "name": name.name, "score": round(link.score, _DIGITS)}


def _rewritten(document: Document, visit: Visit) -> dict[str, Any]:
    """Return the fields of a document, in which each entity is replaced by what `visit` returns for it."""
    fields, text = dict(document.fields or {}), document.text

    def entity(value: Any) -> dict[str, Any]:
        found = entity_of(value, text)
        return visit(
            found.start, found.end, found.label, value if isinstance(value, dict) else entity_fields(found, text)
        )

    def argument(value: Mapping[str, Any]) -> dict[str, Any]:
        return visit(value["start"], value["end"], value.get("label"), dict(value))

    place = place_of_entities(fields)
    if place is not None:
        fields[place] = [entity(value) for value in fields[place] or ()]
    if fields.get("relations") is not None:
        fields["relations"] = [
            {**value, "subject": entity(value["subject"]), "object": entity(value["object"])}
            if "subject" in value
            else value  # in the form of an annotation tool: its arguments are entities of the record
            for value in fields["relations"]
        ]
    if "events" in native_names(fields):
        fields["events"] = [
            {**value, "arguments": [argument(one) for one in value["arguments"]]} for value in fields["events"]
        ]
    return fields


def has_annotation(document: Document) -> bool:
    """Return whether a document that was read with its fields has one with entities, relations or events."""
    fields = document.fields or {}
    return document.related or bool(document.events) or place_of_entities(fields) is not None


def is_error_record(bad: BadLine) -> bool:
    """Return whether a line that cannot be read is the record of an error that `ie predict --on-error keep` has written."""
    try:
        return parse_object(bad.raw).keys() == {"error", "line"}
    except DataError:
        return False
