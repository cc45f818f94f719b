"""The data model: readers yield it, writers take it, and gold annotations and predictions share it.

Offsets are 0-based code points of the unmodified text, end exclusive: ``text[e.start:e.end]`` is the mention.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field, replace
from functools import total_ordering
from operator import is_not
from typing import Any

from ie_cli.document.fields import document_fields, entity_fields, event_fields, relation_fields
from ie_cli.document.short_repr import of_document, of_entity, of_relation


@dataclass(frozen=True, slots=True, order=True, repr=False)
class Entity:
    """A labelled span of the text; equality ignores the score and the text.

    Attributes:
        document_text: the text that the offsets refer to; set when the entity becomes part of a `Document`.
    """

    start: int
    end: int
    label: str
    score: float | None = field(default=None, compare=False)
    _: KW_ONLY
    document_text: str | None = field(default=None, compare=False)

    @property
    def text(self) -> str:
        """The mention: the text between start and end.

        Raises:
            ValueError: the entity is not part of a document.
        """
        if self.document_text is None:
            raise ValueError(f"{self} is not part of a document, so its text is unknown: use document.mention(entity)")
        return self.document_text[self.start : self.end]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields that `ie predict` writes for an entity."""
        return entity_fields(self)

    def __repr__(self) -> str:
        return of_entity(self)


@dataclass(frozen=True, slots=True, order=True, repr=False)
class Relation:
    """A triple between two spans of the text; equality ignores the score."""

    subject: Entity
    predicate: str
    object: Entity
    score: float | None = field(default=None, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields that `ie predict` writes for a relation."""
        return relation_fields(self)

    def __repr__(self) -> str:
        return of_relation(self)


@dataclass(frozen=True, slots=True, order=True)
class Spo:
    """A triple given by its texts alone, as in the data of DuIE and CasRel; equality ignores the types.

    Attributes:
        object: the object; for a complex object, its ``@value``.
        slots: further values of a complex object as sorted (slot, text) pairs.
        subject_type, object_type, slot_types: types of subject, object and slots; empty if the data give none.
    """

    subject: str
    predicate: str
    object: str
    slots: tuple[tuple[str, str], ...] = ()
    subject_type: str = field(default="", compare=False)
    object_type: str = field(default="", compare=False)
    slot_types: tuple[tuple[str, str], ...] = field(default=(), compare=False)

    @property
    def triples(self) -> tuple[tuple[str, str, str], ...]:
        """The triples that it is made of: its own, and one for each slot."""
        slots = ((self.object, f"{self.predicate}.{slot}", value) for slot, value in self.slots)
        return ((self.subject, self.predicate, self.object), *slots)


@dataclass(frozen=True, slots=True, order=True)
class Argument:
    """An entity that plays a role in an event; the entity's score is the confidence in the argument."""

    role: str
    entity: Entity


@total_ordering
@dataclass(frozen=True, slots=True)
class Event:
    """An event: its type, its trigger and its arguments; equality ignores the score.

    The trigger is a span, not an `Entity`, whose label could only repeat the type. Arguments are sorted and deduplicated,
    in whatever order they were given. Events can therefore be members of sets, and every score is a set operation: on the
    events themselves, on ``(type, trigger)`` or on ``(type, role, entity)``.

    Attributes:
        trigger: start and end; None if the data mark no trigger, as in document-level event extraction.
    """

    type: str
    trigger: tuple[int, int] | None = None
    arguments: tuple[Argument, ...] = ()
    score: float | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "arguments", tuple(sorted(dict.fromkeys(self.arguments))))

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, Event):
            return NotImplemented
        # None and a span have no order; () comes before every span.
        return (self.type, self.trigger or (), self.arguments) < (other.type, other.trigger or (), other.arguments)

    @property
    def entities(self) -> tuple[Entity, ...]:
        """The trigger, labelled with the event type, and the arguments."""
        arguments = tuple(argument.entity for argument in self.arguments)
        if self.trigger is None:
            return arguments
        return (Entity(*self.trigger, self.type, self.score, document_text=self.document_text), *arguments)

    @property
    def document_text(self) -> str | None:
        """The text that the offsets refer to, if the event has arguments and is part of a `Document`."""
        return self.arguments[0].entity.document_text if self.arguments else None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields that `ie predict` writes for an event."""
        return event_fields(self)


DOCUMENT_MARK = "-DOCSTART-"
"""The token that marks the start of a document in columns; its line is not part of the text."""


@dataclass(frozen=True, slots=True)
class ColumnRows:
    """The lines of a file of columns that a document was read from, one for each token.

    Attributes:
        spans: start and end of each token in the text.
        rows: the columns of each token's line, as they are in the file.
        text_column: the column of the tokens.
        label_columns: the columns of the tags.
        separator: what separates the columns, a tab or a space.
        before: lines without a token before the first one: comments, a header, and marks of the start of a document.
    """

    spans: tuple[tuple[int, int], ...]
    rows: tuple[tuple[str, ...], ...]
    text_column: int
    label_columns: tuple[int, ...]
    separator: str
    before: tuple[str, ...] = ()

    def without_header(self) -> ColumnRows:
        """Return the same lines for output after those of another file: a second header would be read as a token."""
        return replace(self, before=tuple(line for line in self.before if line.startswith(("#", DOCUMENT_MARK))))

    def without_tags(self) -> ColumnRows:
        """Return the same lines as those of a document that was not read with its tags."""
        return replace(self, label_columns=())


@dataclass(slots=True, repr=False)
class Document:
    """A document or a pair of texts, with its gold or predicted annotation. Offsets refer to `text`.

    Attributes:
        spos: the triples by their texts, if the data give no offsets: `relations` then holds positions guessed from them.
            None if the offsets are part of the data.
        id: the id given in the input, or None.
        meta: input fields outside the data model, kept so that they can be written again.
        where: the ``file:line`` it was read from, for messages; ignored by equality.
        text_pair: the second text of a pair.
        label: the class of a pair.
        columns: the lines that it was read from, if `Reading.keep_columns` asks for them; ignored by equality.
        fields: the native JSON object that it was read from, if `Reading.keep_fields` asks for it; ignored by equality.
        score: the grade of a pair, such as 0 to 5 in STS-B. It is a gold value or a prediction, not a confidence: unlike the
            scores of entities, relations and events, it is part of equality.
        related: whether relations are annotated even if there are none, so that native JSON has an empty list; ignored by
            equality.
    """

    text: str
    entities: list[Entity] = field(default_factory=list)
    relations: list[Relation] = field(default_factory=list)
    id: str | int | None = None
    meta: dict[str, Any] = field(default_factory=dict)
    where: str | None = field(default=None, compare=False)
    spos: list[Spo] | None = None
    _: KW_ONLY
    events: list[Event] = field(default_factory=list)
    text_pair: str | None = None
    label: str | None = None
    score: float | None = None
    related: bool = field(default=False, compare=False, repr=False)
    columns: ColumnRows | None = field(default=None, compare=False, repr=False)
    fields: dict[str, Any] | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        self.attach_text()

    def attach_text(self) -> None:
        """Give the entities their text, for `Entity.text`; call this after a change of the lists.

        Entities that belong to another text are replaced by copies.
        """
        text = self.text
        for name, bind in _BOUND.items():
            items = getattr(self, name)
            if not items:
                continue
            bound = [bind(item, text) for item in items]
            if any(map(is_not, bound, items)):
                setattr(self, name, bound)

    def mention(self, span: Entity | tuple[int, int]) -> str:
        """Return the text of an entity, or of a start and an end such as the trigger of an event."""
        start, end = (span.start, span.end) if isinstance(span, Entity) else span
        return self.text[start:end]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields of the JSON object that `ie predict` writes for the document, with plain values."""
        return document_fields(self)

    def __repr__(self) -> str:
        return of_document(self)

    def _repr_html_(self) -> str:
        """Return the text with its annotation highlighted, for notebooks."""
        from ie_cli.document.markup import INLINE, NOTEBOOK, article

        return article(self, INLINE, NOTEBOOK)


def _bound(entity: Entity, text: str) -> Entity:
    """Return the entity, or a copy if it belongs to another text."""
    known = entity.document_text
    if known is text:
        return entity
    if known is None:
        object.__setattr__(entity, "document_text", text)  # no part of its value: equality and hash ignore it
        return entity
    return entity if known == text else replace(entity, document_text=text)


def _bound_relation(relation: Relation, text: str) -> Relation:
    subject, object_ = _bound(relation.subject, text), _bound(relation.object, text)
    if subject is relation.subject and object_ is relation.object:
        return relation
    return replace(relation, subject=subject, object=object_)


def _bound_event(event: Event, text: str) -> Event:
    entities = [_bound(argument.entity, text) for argument in event.arguments]
    if all(new is argument.entity for new, argument in zip(entities, event.arguments, strict=True)):
        return event
    pairs = zip(event.arguments, entities, strict=True)
    return replace(event, arguments=tuple(replace(argument, entity=entity) for argument, entity in pairs))


_BOUND: dict[str, Callable[[Any, str], Any]] = {
    "entities": _bound,
    "relations": _bound_relation,
    "events": _bound_event,
}
