"""The data model: what every reader yields, every writer takes, and both gold and prediction are made of.

Offsets are 0-based code points of the untouched text, end exclusive: ``text[e.start:e.end]`` is the mention.
"""

from __future__ import annotations

from dataclasses import dataclass, field
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
    """A triple by its texts alone, as DuIE and CasRel's data have it; equality ignores the types.

    Attributes:
        object: the object; of a complex object its ``@value``.
        slots: further values of a complex object: (slot, text), sorted.
        subject_type, object_type, slot_types: types of the three, empty where the data give none.
    """

    subject: str
    predicate: str
    object: str
    slots: tuple[tuple[str, str], ...] = ()
    subject_type: str = field(default="", compare=False)
    object_type: str = field(default="", compare=False)
    slot_types: tuple[tuple[str, str], ...] = field(default=(), compare=False)


@dataclass(slots=True)
class Document:
    """One document with its annotation, gold or predicted.

    Attributes:
        spos: the triples by their texts, where the data give no offsets: `relations` then holds places guessed from them.
            None: offsets are the data's own.
        id: as given in the input, None where it has none.
        meta: input fields that are not ours, kept so that they come out again.
        where: ``file:line`` it was read from, for messages; takes no part in equality.
    """

    text: str
    entities: list[Entity] = field(default_factory=list)
    relations: list[Relation] = field(default_factory=list)
    id: str | int | None = None
    meta: dict[str, Any] = field(default_factory=dict)
    where: str | None = field(default=None, compare=False)
    spos: list[Spo] | None = None
