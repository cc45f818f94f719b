"""Remove whitespace and invisible characters from the ends of spans: no token begins or ends with them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from ie_cli.document import Argument, Document, Entity, Event, Relation, Spo

Span = tuple[int, int]

_INVISIBLE = frozenset(
    map(
        chr,
        [
            *range(0x20),
            *range(0x7F, 0xA0),
            *(0xAD, 0x180E, 0xFEFF),  # soft hyphen, Mongolian vowel separator, byte-order mark
            *range(0x200B, 0x2010),  # zero-width characters and marks of direction
            *range(0x202A, 0x202F),
            *range(0x2060, 0x2065),
            *range(0x2066, 0x2070),
        ],
    )
)


def is_invisible(char: str) -> bool:
    """Return whether a character is whitespace, a control character or a zero-width character."""
    return char.isspace() or char in _INVISIBLE


def trim_span(text: str, start: int, end: int) -> Span:
    """Return a span without whitespace and invisible characters at its ends; an empty span if it has no others.

    >>> trim_span(" Ann ", 0, 5), trim_span("Ann  met", 3, 5)
    ((1, 4), (5, 5))
    """
    while start < end and is_invisible(text[start]):
        start += 1
    while start < end and is_invisible(text[end - 1]):
        end -= 1
    return start, end


def trim_text(mention: str) -> str:
    """Return a mention without whitespace and invisible characters at its ends, or unchanged if it has no others."""
    start, end = trim_span(mention, 0, len(mention))
    return mention[start:end] or mention


@dataclass(slots=True)
class TrimCounts:
    """The number of spans and mentions that were trimmed, and of spans that were removed because nothing was left."""

    trimmed: int = 0
    removed: int = 0

    def describe(self) -> str:
        """Return the counts for a message, or an empty string if all are 0."""
        trimmed = f"spans with whitespace or invisible characters at the ends, which were trimmed: {self.trimmed:,}"
        removed = f"spans without any other character, which were removed: {self.removed:,}"
        return "; ".join([trimmed] * bool(self.trimmed) + [removed] * bool(self.removed))


def trim_document(document: Document, counts: TrimCounts) -> Document:
    """Return a document whose spans and mentions are trimmed, and add to the counts.

    An entity, a relation or an argument whose span has no visible character is removed, and a trigger becomes None.
    """
    text = document.text
    if not text:  # a record of a submission, whose offsets refer to a text that it does not contain
        return document
    places = {span: trim_span(text, *span) for span in _spans(document)}
    changed = {span: new for span, new in places.items() if new != span}
    spos = None if document.spos is None else [_trim_spo(spo, counts) for spo in document.spos]
    if not changed:
        return document if spos == document.spos else replace(document, spos=spos)
    counts.removed += (removed := sum(start == end for start, end in changed.values()))
    counts.trimmed += (
        len(changed) - removed if spos is None else 0
    )  # the mentions of triples are counted by their texts
    return replace(
        document,
        entities=list(dict.fromkeys(filter(None, (_trim_entity(entity, places) for entity in document.entities)))),
        relations=list(dict.fromkeys(filter(None, (_trim_relation(one, places) for one in document.relations)))),
        events=[_trim_event(event, places) for event in document.events],
        spos=spos,
    )


def _spans(document: Document) -> Iterator[Span]:
    for entity in document.entities:
        yield entity.start, entity.end
    for relation in document.relations:
        for side in (relation.subject, relation.object):
            yield side.start, side.end
    for event in document.events:
        for entity in event.entities:
            yield entity.start, entity.end


def _trim_entity(entity: Entity, places: dict[Span, Span]) -> Entity | None:
    start, end = places[entity.start, entity.end]
    return replace(entity, start=start, end=end) if start < end else None


def _trim_relation(relation: Relation, places: dict[Span, Span]) -> Relation | None:
    subject, object_ = _trim_entity(relation.subject, places), _trim_entity(relation.object, places)
    return None if subject is None or object_ is None else replace(relation, subject=subject, object=object_)


def _trim_event(event: Event, places: dict[Span, Span]) -> Event:
    trigger = event.trigger and places[event.trigger]
    arguments = (
        Argument(argument.role, entity)
        for argument in event.arguments
        if (entity := _trim_entity(argument.entity, places)) is not None
    )
    return replace(event, trigger=trigger if trigger and trigger[0] < trigger[1] else None, arguments=tuple(arguments))


def _trim_spo(spo: Spo, counts: TrimCounts) -> Spo:
    slots = tuple((slot, trim_text(value)) for slot, value in spo.slots)
    trimmed = replace(spo, subject=trim_text(spo.subject), object=trim_text(spo.object), slots=slots)
    counts.trimmed += sum(old != new for old, new in zip(_mentions(spo), _mentions(trimmed), strict=True))
    return trimmed


def _mentions(spo: Spo) -> tuple[str, ...]:
    return spo.subject, spo.object, *(value for _, value in spo.slots)
