"""Count suspicious spans of entities: overlaps, ends inside a word, and offsets in other units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ie_cli.doctor.offset_units import UnitsGuess, within_word
from ie_cli.doctor.overlaps import overlap
from ie_cli.document import Document, Entity


@dataclass(slots=True)
class SpanCounts:
    """Counts over the entities of a split.

    Attributes:
        spans: number of distinct entities.
        repeated: number of entities annotated more than once.
        cut_words: number of entities that end inside a word.
        overlapping: number of examples in which two entities share a character.
    """

    spans: int = 0
    repeated: int = 0
    cut_words: int = 0
    overlapping: int = 0
    units: UnitsGuess = field(default_factory=UnitsGuess)

    def add(self, document: Document, spans: Sequence[Entity]) -> None:
        """Add a document with the entities that its task uses."""
        self.spans += len(spans)
        self.repeated += len(document.entities) - len(set(document.entities))
        self.cut_words += sum(within_word(document.text, span.end) for span in spans)
        self.overlapping += overlap(spans)
        self.units.add(document.text, [(span.start, span.end) for span in spans], document.where or "")
