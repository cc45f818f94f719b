"""DuEE: ``text`` and ``event_list``, one object per line.

::

    {"id": "1", "text": "星辰科技昨日裁员", "event_list": [{"event_type": "组织关系-裁员", "trigger": "裁员",
     "trigger_start_index": 6, "class": "组织关系",
     "arguments": [{"role": "裁员方", "argument": "星辰科技", "argument_start_index": 0, "alias": []}]}]}

An event becomes one of `jsonl`, whose arguments have no label. It is also read as entities and relations, which models can be
trained on: the trigger is an entity labelled with the type of the event, each argument is one labelled with its role, and a
relation from the trigger to the argument has the role as its predicate. Such relations, which a model may predict, are written
as events again.

A mention without offsets, as in DuEE-Fin, is located in the text: the first occurrence of a trigger, and the occurrence of an
argument that is nearest to the trigger. Those that are not in the text are left out and counted. ``alias`` is not kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ie_cli.document import Argument, Document, Entity, Event, Relation
from ie_cli.document.fields import NO_TYPE
from ie_cli.errors import DataError
from ie_cli.formats import jsonl
from ie_cli.formats.common.annotation_fields import AnnotationTally
from ie_cli.formats.common.base import (
    EVENTS_LOST,
    Lines,
    Reading,
    Record,
    checked_entity,
    count_name_clashes,
    count_native_only,
    count_unlocated,
    error_at,
    short,
)
from ie_cli.formats.common.json_stream import name_of, objects_of, read_lines_or_array
from ie_cli.formats.common.mention_places import MentionTally
from ie_cli.triples import Span

FORMAT_FIELDS = frozenset({"id", "text", "event_list"})
HINT = (
    'write each line as {"text": "…", "event_list": [{"event_type": "…", "trigger": "…", "trigger_start_index": 0, "arguments": '
    '[{"role": "…", "argument": "…", "argument_start_index": 3}]}]}.'
)
ENTITIES_LOST = (
    "entities that are no trigger or argument of an event, labelled with its type or their role, cannot be stored"
)
RELATIONS_LOST = "relations that do not lead from a trigger to an argument labelled with the predicate cannot be stored"
LABELS_LOST = "events lose the labels of their arguments"
_KNOWN = {
    "event_type",
    "trigger",
    "trigger_start_index",
    "arguments",
    "class",
    "role",
    "argument",
    "argument_start_index",
}


def read(lines: Lines, path: str, reading: Reading) -> Iterator[Record]:
    """Yield an example for each record, and report what could not be located and what is not kept."""
    fields_tally, tally = AnnotationTally(path, "event_list", "events"), MentionTally(path)
    dropped: Counter[str] = Counter()

    def convert(fields: dict[str, Any], where: str) -> Document:
        meta = {key: value for key, value in fields.items() if key not in FORMAT_FIELDS}
        document = Document(jsonl.text_of(fields), [], [], jsonl.id_of(fields), meta, where)
        if reading.annotation and fields_tally.expect(fields):
            source = _Source(document.text, where, tally, dropped)
            for number, value in enumerate(objects_of(fields, "event_list")):
                try:
                    document.events.append(source.event(value))
                except DataError as error:
                    raise error_at(f"event_list[{number}]", error, HINT) from error
            document.events = list(dict.fromkeys(document.events))
            document.entities, document.relations = _as_relations(document.events)
            document.related = True
        return document

    yield from read_lines_or_array(lines, path, convert, HINT)
    tally.report(reading)
    if dropped:
        listed = ", ".join(f"{name} {count:,}" for name, count in dropped.most_common(10))
        reading.report(f"{path}: fields of events and arguments that are not kept: {listed}")
    fields_tally.report(reading)


@dataclass(frozen=True, slots=True)
class _Source:
    """A text whose events are read, and its place."""

    text: str
    where: str
    tally: MentionTally
    dropped: Counter[str]

    def event(self, value: dict[str, Any]) -> Event:
        """Return an event.

        Raises:
            DataError: a field is invalid.
        """
        kind = name_of(value, "event_type", "type")
        trigger = self._mention(value, "trigger", kind) if value.get("trigger") else None
        arguments = []
        given = objects_of(value, "arguments")
        for number, item in enumerate(given):
            try:
                placed = self._mention(item, "argument", NO_TYPE, near=trigger)
                role = name_of(item, "role", "role")
            except DataError as error:
                raise error_at(f"arguments[{number}]", error) from error
            if placed is not None:
                arguments.append(Argument(role, placed))
        for item in (value, *given):
            self.dropped.update(name for name in item if name not in _KNOWN and item[name])
        if value.get("class") not in (None, _class_of(kind)):
            self.dropped["class"] += 1
        return Event(kind, None if trigger is None else (trigger.start, trigger.end), tuple(arguments))

    def _mention(self, value: dict[str, Any], name: str, label: str, *, near: Entity | None = None) -> Entity | None:
        """Return the entity of a mention, or None if it has no offset and is not in the text."""
        mention = value.get(name)
        if not isinstance(mention, str) or not mention:
            raise DataError(f"'{name}' must be a non-empty string, got {short(mention)}")
        start = value.get(f"{name}_start_index")
        if start is None:
            places = self.tally.find(mention, self.text, self.where)
            if not places:
                return None
            place = places[0] if near is None else min(places, key=lambda span: _distance(span, near))
            return checked_entity(*place, label, self.text)
        end = start + len(mention) if isinstance(start, int) else start
        return checked_entity(start, end, label, self.text, mention=mention)


def _distance(span: Span, near: Entity) -> int:
    return max(0, span[0] - near.end, near.start - span[1])


def _as_relations(events: Iterable[Event]) -> tuple[list[Entity], list[Relation]]:
    """Return triggers and arguments as entities, and a relation from each trigger to each of its arguments."""
    entities: dict[Entity, None] = {}
    relations: dict[Relation, None] = {}
    for event in events:
        trigger = None if event.trigger is None else Entity(*event.trigger, event.type)
        if trigger is not None:
            entities.setdefault(trigger)
        for argument in event.arguments:
            entity = Entity(argument.entity.start, argument.entity.end, argument.role)
            entities.setdefault(entity)
            if trigger is not None:
                relations.setdefault(Relation(trigger, argument.role, entity))
    return list(entities), list(relations)


def _events_of(document: Document) -> list[Event]:
    """Return the events of a document; if it has none, those that its relations stand for."""
    if document.events:
        return list(dict.fromkeys(document.events))
    arguments: dict[Entity, list[Argument]] = {}
    for relation in document.relations:
        if relation.object.label == relation.predicate:
            placed = Entity(relation.object.start, relation.object.end, NO_TYPE)
            arguments.setdefault(relation.subject, []).append(Argument(relation.predicate, placed))
    return [Event(trigger.label, (trigger.start, trigger.end), tuple(a)) for trigger, a in arguments.items()]


def _class_of(kind: str) -> str:
    return kind.split("-")[0]


def write(document: Document) -> str:
    """Return one line."""
    fields: dict[str, Any] = {} if document.id is None else {"id": document.id}
    fields |= {"text": document.text, "event_list": [_fields(event, document) for event in _events_of(document)]}
    return jsonl.dump(fields | {key: value for key, value in document.meta.items() if key not in FORMAT_FIELDS})


def _fields(event: Event, document: Document) -> dict[str, Any]:
    fields: dict[str, Any] = {"event_type": event.type}
    if event.trigger is not None:
        fields |= {"trigger": document.mention(event.trigger), "trigger_start_index": event.trigger[0]}
    fields["arguments"] = [
        {
            "argument_start_index": argument.entity.start,
            "role": argument.role,
            "argument": document.mention(argument.entity),
            "alias": [],
        }
        for argument in event.arguments
    ]
    return fields | {"class": _class_of(event.type)}


def count_losses(document: Document) -> Mapping[str, int]:
    """Count what `write` cannot store."""
    entities, relations = _as_relations(_events_of(document))
    native = count_native_only(document)
    native.pop(EVENTS_LOST, None)
    labelled = sum(any(a.entity.label != NO_TYPE for a in event.arguments) for event in set(document.events))
    counts = {
        ENTITIES_LOST: len(set(document.entities) - set(entities)),
        RELATIONS_LOST: len(set(document.relations) - set(relations)) + count_unlocated(document),
        LABELS_LOST: labelled,
    }
    return {
        **{what: count for what, count in counts.items() if count},
        **count_name_clashes(document, FORMAT_FIELDS),
        **native,
    }
