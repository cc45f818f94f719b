"""The data model: readers yield it, writers take it, and gold annotations and predictions share it.

Offsets are 0-based code points of the unmodified text, end exclusive: ``text[e.start:e.end]`` is the mention.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field
from functools import total_ordering
from typing import Any


@dataclass(frozen=True, slots=True, order=True)
class Entity:
    """A labelled span of the text; equality ignores the score."""

    start: int
    end: int
    label: str
    score: float | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, order=True)
class Relation:
    """A triple between two spans of the text; equality ignores the score."""

    subject: Entity
    predicate: str
    object: Entity
    score: float | None = field(default=None, compare=False)


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
        return arguments if self.trigger is None else (Entity(*self.trigger, self.type, self.score), *arguments)


@dataclass(slots=True)
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
        score: the grade of a pair, such as 0 to 5 in STS-B. It is a gold value or a prediction, not a confidence: unlike the
            scores of entities, relations and events, it is part of equality.
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

    def _repr_html_(self) -> str:
        """Return the text with its annotation highlighted, for notebooks."""
        from ie_cli.document.markup import INLINE, NOTEBOOK, article

        return article(self, INLINE, NOTEBOOK)
