"""Detect entities that share a character."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ie_cli.document import Document, Entity


def overlap(entities: Iterable[Entity]) -> bool:
    """Return whether two entities share a character."""
    end = 0
    for entity in sorted(set(entities)):
        if entity.start < end:
            return True
        end = max(end, entity.end)
    return False


@dataclass(slots=True)
class Overlaps:
    """A part of `DatasetStatistics` that counts examples in which two entities share a character."""

    documents: int = 0

    def add(self, document: Document) -> None:
        """Count a document."""
        self.documents += overlap(document.entities)
