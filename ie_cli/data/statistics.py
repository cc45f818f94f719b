"""Counts over documents, made in one pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from ie_cli.document import Document


@dataclass(slots=True)
class DatasetStatistics:
    """What one pass over the training data finds.

    Attributes:
        labels: of entities. arguments: of the relations' subjects and objects.
        pairs: (subject type, predicate, object type).
        slots: predicates ``P.slot`` of complex objects.
        guessed: some of the relations have no offsets of their own.
    """

    documents: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    arguments: Counter[str] = field(default_factory=Counter)
    pairs: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    slots: set[str] = field(default_factory=set)
    guessed: bool = False
    characters: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, documents: Iterable[Document], *, characters: bool = False) -> DatasetStatistics:
        """Count labels, triples and, if asked, characters."""
        statistics = cls()
        for document in documents:
            statistics.add(document, characters=characters)
        return statistics

    def add(self, document: Document, *, characters: bool = False) -> None:
        """Count one document."""
        self.documents += 1
        self.labels.update(entity.label for entity in document.entities)
        for relation in document.relations:
            self.arguments.update((relation.subject.label, relation.object.label))
            self.pairs[relation.subject.label, relation.predicate, relation.object.label] += 1
        for spo in document.spos or ():
            self.slots.update(f"{spo.predicate}.{slot}" for slot, _ in spo.slots)
        self.guessed |= document.spos is not None
        if characters:
            self.characters.update(document.text)
