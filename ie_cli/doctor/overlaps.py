"""Detect entities that share a character, among those that a task uses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ie_cli.document import Document, Entity
from ie_cli.tasks import Task


def first_overlap(entities: Iterable[Entity]) -> tuple[Entity, Entity] | None:
    """Return the first two entities that share a character, or None."""
    last: Entity | None = None
    for entity in sorted(set(entities)):
        if last is not None and entity.start < last.end:
            return last, entity
        last = entity
    return None


def overlap(entities: Iterable[Entity]) -> bool:
    """Return whether two entities share a character."""
    return first_overlap(entities) is not None


@dataclass(slots=True)
class Overlaps:
    """A part of `DatasetStatistics` that counts examples in which two entities share a character.

    Attributes:
        tasks: the tasks; those of relations use the arguments of the relations, too.
        documents: number of examples by the name of the task.
    """

    tasks: Sequence[Task]
    documents: Counter[str] = field(default_factory=Counter)

    def add(self, document: Document) -> None:
        """Count a document."""
        for task in self.tasks:
            annotation = task.annotation(document)
            spans = [item for kind in task.kinds if kind.spans for item in annotation[kind.items]]
            self.documents[task.name] += overlap(spans)
