"""OneIE, CNN-NER and ACE: ``tokens`` with ``entity_mentions``, ``relation_mentions`` and ``event_mentions``, one object per line.

::

    {"sent_id": "1", "sentence": "Ann met Bob.", "tokens": ["Ann", "met", "Bob", "."],
     "entity_mentions": [{"id": "1-E0", "text": "Ann", "entity_type": "PER", "start": 0, "end": 1}, …],
     "relation_mentions": [{"id": "1-R0", "relation_type": "knows",
                            "arguments": [{"entity_id": "1-E0", "role": "Arg-1"}, {"entity_id": "1-E1", "role": "Arg-2"}]}],
     "event_mentions": [{"id": "1-EV0", "event_type": "meet", "trigger": {"text": "met", "start": 1, "end": 2},
                         "arguments": [{"entity_id": "1-E0", "role": "Person"}]}]}

``start`` and ``end`` count tokens, the end exclusive; CNN-NER has the entities alone. If ``sentence`` or ``text`` consists of the
tokens and whitespace, it is the text; otherwise, the text is joined from the tokens. The id is ``sent_id``, ``wnd_id``, ``id`` or
``doc_id``. Events become those of `jsonl`. Subtypes and other fields of mentions are not kept, and are counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from ie_cli.document import Argument, Document, Entity, Event, Relation
from ie_cli.errors import DataError
from ie_cli.formats import jsonl
from ie_cli.formats.common.base import EVENTS_LOST, Lines, Reading, Record, count_name_clashes, error_at, quoted, short
from ie_cli.formats.common.joining import look_ahead, tokens_in
from ie_cli.formats.common.json_stream import convert_objects, lines_or_array, name_of, objects_of
from ie_cli.formats.common.token_fields import RecordTexts, TokenText, token_span, tokens_of
from ie_cli.formats.common.word_tokens import Words, count_word_losses, has_exact_words, split_with_events
from ie_cli.formats.conll_writer import OTHER_WHITESPACE, SPLIT_WORDS
from ie_cli.triples import typed_entities_of

T = TypeVar("T")
ENTITIES, RELATIONS, EVENTS = "entity_mentions", "relation_mentions", "event_mentions"
FORMAT_FIELDS = frozenset({"tokens", "text", "sentence", "sent_id", ENTITIES, RELATIONS, EVENTS})
IDS = ("sent_id", "wnd_id", "id", "doc_id")
INEXACT_EVENTS = "events without a trigger, or with whitespace at the end of a span, are lost"
HINT = (
    'write each record as {"tokens": ["Ann", "slept"], "entity_mentions": [{"id": "E0", "entity_type": "name", "start": 0, '
    '"end": 1}]}.'
)
_KNOWN = {
    ENTITIES: {"id", "text", "entity_type", "type", "start", "end"},
    RELATIONS: {"id", "relation_type", "type", "arguments"},
    EVENTS: {"id", "event_type", "type", "trigger", "arguments"},
}
_ROLES = ("Arg-1", "Arg-2")


def read(lines: Lines, path: str, reading: Reading) -> Iterator[Record]:
    """Yield an example for each record, and report the fields of mentions that are not kept."""
    dropped: Counter[str] = Counter()
    joining, objects = look_ahead(
        lines_or_array(lines, path),
        lambda found: tokens_in(found[2].get("tokens")) if isinstance(found[2], dict) else [],
        path,
        reading,
    )
    texts = RecordTexts(path, joining)

    def convert(fields: dict[str, Any], where: str) -> Document:
        tokens, text = texts.find(tokens_of(fields, "tokens"), fields)
        document = tokens.document(where, keep_columns=reading.keep_columns)
        name = next((one for one in IDS if fields.get(one) is not None), None)
        document.id = None if name is None else jsonl.id_of({"id": fields[name]})
        used = {"tokens", ENTITIES, RELATIONS, EVENTS, name, text}
        document.meta = {key: value for key, value in fields.items() if key not in used}
        if reading.annotation:
            _annotate(document, fields, tokens, dropped)
        return document

    yield from convert_objects(objects, convert, HINT)
    texts.report(reading)
    if dropped:
        listed = ", ".join(f"{name} {count:,}" for name, count in dropped.most_common(10))
        reading.report(f"{path}: fields of mentions that are not kept: {listed}")


def _annotate(document: Document, fields: dict[str, Any], tokens: TokenText, dropped: Counter[str]) -> None:
    """Add the mentions of a record to its document."""
    mentions = _Mentions(tokens)
    document.entities = _each(fields, ENTITIES, mentions.entity, dropped)
    document.relations = _each(fields, RELATIONS, mentions.relation, dropped)
    document.events = _each(fields, EVENTS, mentions.event, dropped)
    document.related = fields.get(RELATIONS) is not None


def _each(fields: dict[str, Any], name: str, read_one: Callable[[dict[str, Any]], T], dropped: Counter[str]) -> list[T]:
    """Return the mentions of a list without duplicates, and count the fields that are not kept."""
    found: dict[T, None] = {}
    for number, value in enumerate(objects_of(fields, name)):
        try:
            found.setdefault(read_one(value))
        except DataError as error:
            raise error_at(f"{name}[{number}]", error, HINT) from error
        dropped.update(f"{key} of {name}" for key in value if key not in _KNOWN[name])
    return list(found)


class _Mentions:
    """Reads the mentions of a record; those of entities have an id, to which the others refer."""

    def __init__(self, tokens: TokenText) -> None:
        self._tokens = tokens
        self._by_id: dict[Any, Entity] = {}

    def entity(self, value: dict[str, Any]) -> Entity:
        found = self._placed(value, _type(value, "entity_type"))
        if isinstance(value.get("id"), (str, int)):
            self._by_id[value["id"]] = found
        return found

    def relation(self, value: dict[str, Any]) -> Relation:
        predicate = _type(value, "relation_type")
        arguments = objects_of(value, "arguments")
        if len(arguments) != len(_ROLES):
            raise DataError(f"a relation must have two arguments, got {len(arguments)}")
        if {argument.get("role") for argument in arguments} == set(_ROLES):
            arguments = sorted(arguments, key=lambda argument: str(argument["role"]))
        subject, object_ = map(self._of_id, arguments)
        return Relation(subject, predicate, object_)

    def event(self, value: dict[str, Any]) -> Event:
        kind = _type(value, "event_type")
        trigger = value.get("trigger")
        if not isinstance(trigger, dict):
            raise DataError(f"'trigger' must be an object with start and end, got {short(trigger)}")
        placed = self._placed(trigger, kind)
        arguments = [
            Argument(name_of(argument, "role", "role"), self._of_id(argument))
            for argument in objects_of(value, "arguments")
        ]
        return Event(kind, (placed.start, placed.end), tuple(arguments))

    def _placed(self, value: dict[str, Any], label: str) -> Entity:
        """Return the entity of a mention, whose text must consist of the characters of its tokens."""
        first, last = token_span(value.get("start"), value.get("end"), len(self._tokens.tokens), "a mention")
        found = self._tokens.entity(first, last, label)
        text, covered = value.get("text"), self._tokens.text[found.start : found.end]
        if isinstance(text, str) and "".join(text.split()) != "".join(covered.split()):
            raise DataError(
                f"{label!r} covers tokens {first}-{last + 1}, which are {quoted(covered)}, but its text is {quoted(text)}",
                hint="count tokens from 0, the end exclusive.",
            )
        return found

    def _of_id(self, argument: dict[str, Any]) -> Entity:
        name = argument.get("entity_id")
        if not isinstance(name, (str, int)) or name not in self._by_id:
            raise DataError(f"'entity_id' of an argument must be the id of an entity mention, got {short(name)}")
        return self._by_id[name]


def _type(value: dict[str, Any], name: str) -> str:
    """Return the type of a mention, which may be named `type`."""
    return name_of(value, name if name in value or "type" not in value else "type", "type")


def write(document: Document) -> str:
    """Return one line; arguments of relations and events are written as entities too."""
    words = split_with_events(document)
    events = [event for event in document.events if has_exact_words(document, event, words)]
    arguments = [argument.entity for event in events for argument in event.arguments]
    mentions: dict[tuple[int, int, str], dict[str, Any]] = {}
    ids: dict[Entity, str] = {}
    for entity in dict.fromkeys([*typed_entities_of(document), *arguments]):
        if entity in words.spans:
            first, last = words.spans[entity]
            place = {"text": _mention(document, entity), "entity_type": entity.label, "start": first, "end": last + 1}
            found = mentions.setdefault((first, last, entity.label), {"id": f"E{len(mentions)}", **place})
            ids[entity] = found["id"]
    fields: dict[str, Any] = {} if document.id is None else {IDS[0]: document.id}
    fields |= {"sentence": document.text, "tokens": words.tokens, ENTITIES: list(mentions.values())}
    fields[RELATIONS] = [
        {
            "id": f"R{number}",
            "relation_type": relation.predicate,
            "arguments": [
                {"entity_id": ids[side], "text": _mention(document, side), "role": role}
                for side, role in zip((relation.subject, relation.object), _ROLES, strict=True)
            ],
        }
        for number, relation in enumerate(words.relations)
    ]
    fields[EVENTS] = [_event_fields(document, event, number, words, ids) for number, event in enumerate(events)]
    reserved = _reserved(document)
    return jsonl.dump(fields | {key: value for key, value in document.meta.items() if key not in reserved})


def _mention(document: Document, entity: Entity) -> str:
    return document.text[entity.start : entity.end].strip()


def _event_fields(
    document: Document, event: Event, number: int, words: Words, ids: Mapping[Entity, str]
) -> dict[str, Any]:
    trigger = event.entities[0]
    first, last = words.spans[trigger]
    return {
        "id": f"EV{number}",
        "event_type": event.type,
        "trigger": {"text": _mention(document, trigger), "start": first, "end": last + 1},
        "arguments": [
            {"entity_id": ids[entity], "text": _mention(document, entity), "role": role}
            for role, entity in ((argument.role, argument.entity) for argument in event.arguments)
        ],
    }


def _reserved(document: Document) -> frozenset[str]:
    """Return the names that other fields cannot have; without an id, those of other ids are among them."""
    return FORMAT_FIELDS if document.id is not None else FORMAT_FIELDS.union(IDS)


def count_losses(document: Document) -> Mapping[str, int]:
    """Count what `write` cannot store."""
    words = split_with_events(document)
    losses = count_word_losses(document, words)
    inexact = sum(not has_exact_words(document, event, words) for event in set(document.events))
    kept = {what: count for what, count in losses.items() if what not in (EVENTS_LOST, SPLIT_WORDS, OTHER_WHITESPACE)}
    return {
        **kept,
        **({INEXACT_EVENTS: inexact} if inexact else {}),
        **count_name_clashes(document, _reserved(document)),
    }
