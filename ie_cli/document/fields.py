"""The JSON form of annotations and documents, which `to_dict`, `ie predict` and the service write.

`formats.jsonl` documents it and reads it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ie_cli.document import Document, Entity, Event, Relation, Spo

NO_TYPE = "entity"
"""The type of a mention if the data give none."""
VALUE = "@value"
"""The name of the main value of a complex object."""
FORMAT_FIELDS = frozenset({"id", "text", "entities", "relations"})
GUESSED = ("offsets", "guessed")
TRIPLES = "triples"
BRAT = "brat"
"""The user field with the lines of a brat annotation file that the data model cannot express."""


def document_fields(document: Document) -> dict[str, Any]:
    """Return the fields of a document, its user fields last."""
    fields: dict[str, Any] = {}
    if document.id is not None:
        fields["id"] = document.id
    fields["text"] = document.text
    if document.text_pair is not None:
        fields["text_pair"] = document.text_pair
    fields["entities"] = [entity_fields(entity, document.text) for entity in sorted(document.entities)]
    if document.relations or document.related:
        fields["relations"] = [relation_fields(relation, document.text) for relation in sorted(document.relations)]
    if document.events:
        fields["events"] = [event_fields(event, document.text) for event in sorted(document.events)]
    if document.label is not None:
        fields["label"] = document.label
    if document.score is not None:
        fields["score"] = document.score
    if document.spos is not None:
        fields[GUESSED[0]] = GUESSED[1]
        fields[TRIPLES] = [spo_fields(spo) for spo in document.spos]
    reserved = reserved_names(document)
    return fields | {key: value for key, value in document.meta.items() if key not in reserved}


def reserved_names(document: Document) -> set[str]:
    """Return the names that user fields cannot have, as fields of data in another format may."""
    own = {name: getattr(document, name) for name in ("text_pair", "label", "score")}
    names = FORMAT_FIELDS | {name for name, value in own.items() if value is not None}
    if document.events:
        names |= {"events"}
    if document.spos is not None or GUESSED in document.meta.items():
        names |= {GUESSED[0], TRIPLES}
    return set(names)


def entity_fields(entity: Entity, text: str | None = None) -> dict[str, Any]:
    """Return the fields of an entity; without a text, that of the entity, if it has one."""
    text = entity.document_text if text is None else text
    return {
        "start": entity.start,
        "end": entity.end,
        "label": entity.label,
        **({} if text is None else {"text": text[entity.start : entity.end]}),
        **_score_field(entity.score),
    }


def relation_fields(relation: Relation, text: str | None = None) -> dict[str, Any]:
    """Return the fields of a relation."""
    return {
        "subject": entity_fields(relation.subject, text),
        "predicate": relation.predicate,
        "object": entity_fields(relation.object, text),
        **_score_field(relation.score),
    }


def event_fields(event: Event, text: str | None = None) -> dict[str, Any]:
    """Return the fields of an event; an argument whose entity has no type has no label."""
    text = event.document_text if text is None else text
    fields: dict[str, Any] = {"type": event.type}
    if event.trigger is not None:
        start, end = event.trigger
        fields["trigger"] = {"start": start, "end": end, **({} if text is None else {"text": text[start:end]})}
    fields["arguments"] = []
    for argument in event.arguments:
        placed = entity_fields(argument.entity, text)
        if placed["label"] == NO_TYPE:
            del placed["label"]
        fields["arguments"].append({"role": argument.role, **placed})
    return fields | _score_field(event.score)


def spo_fields(spo: Spo) -> dict[str, Any]:
    """Return a triple in the layout of DuIE 2."""
    return {
        "predicate": spo.predicate,
        "subject": spo.subject,
        "subject_type": spo.subject_type or NO_TYPE,
        "object": {VALUE: spo.object, **dict(spo.slots)},
        "object_type": {VALUE: spo.object_type or NO_TYPE, **dict(spo.slot_types)},
    }


def _score_field(score: float | None) -> dict[str, float]:
    return {} if score is None else {"score": round(score, 6)}
