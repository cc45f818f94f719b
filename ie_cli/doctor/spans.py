"""Count suspicious spans of entities: overlaps, ends inside a word, and offsets in other units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ie_cli.doctor.offset_units import UnitsGuess, within_word
from ie_cli.doctor.overlaps import overlap
from ie_cli.document import Document, Entity
from ie_cli.formats.common.joining import is_cjk


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
        self.cut_words += sum(_cuts_word(document.text, span.end) for span in spans)
        self.overlapping += overlap(spans)
        self.units.add(document.text, [(span.start, span.end) for span in spans], document.where or "")


def _cuts_word(text: str, end: int) -> bool:
    """Return whether an entity ends inside a word, or one character before the end of a number or code such as ``E1042``.

    An entity may rightly end between letters and digits, as ``5`` in ``5mg``: so of words with digits only the last
    character counts, which is what an inclusive end cuts off.
    """
    if within_word(text, end):
        return True
    around, after = text[end - 1 : end + 1], text[end + 1 : end + 2]
    return len(around) == 2 and around.isalnum() and not after.isalnum() and not any(map(is_cjk, around))
