"""Count suspicious spans of entities: overlaps, boundaries inside words, odd contents, and offsets that count something else."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from ie_cli.doctor.boundary_habits import BoundaryHabits
from ie_cli.doctor.consistency import UnmarkedMentions
from ie_cli.doctor.label_conflicts import LabelCounts
from ie_cli.doctor.offsets import OffsetEvidence
from ie_cli.doctor.overlaps import first_overlap
from ie_cli.doctor.word_boundaries import cuts_end, cuts_start
from ie_cli.document import Document, Entity
from ie_cli.document.trimming import is_invisible, trim_text
from ie_cli.formats.common.base import quoted

_SHOWN = 3
_SENTENCE_END = re.compile("[。\n\r]")  # titles contain ！ and ？, abbreviations a full stop


@dataclass(slots=True)
class Oddity:
    """Spans with one property: their number, and the first ones."""

    count: int = 0
    shown: list[str] = field(default_factory=list)

    def add(self, document: Document, span: Entity) -> None:
        """Count a span."""
        self.count += 1
        if len(self.shown) < _SHOWN:
            mention, around = (
                document.text[span.start : span.end],
                document.text[max(0, span.start - 5) : span.end + 5],
            )
            self.shown.append(f"{document.where}: {span.label} {quoted(mention)} in {quoted(around)}")


CUT = "start or end inside a word"
INVISIBLE = "start or end with whitespace or an invisible character"
SENTENCES = "contain a line break or the end of a sentence"
PUNCTUATION = "consist of punctuation alone"
_SINGULAR = {
    CUT: "starts or ends inside a word",
    INVISIBLE: "starts or ends with whitespace or an invisible character",
    SENTENCES: "contains a line break or the end of a sentence",
    PUNCTUATION: "consists of punctuation alone",
}


def _is_cut(text: str, start: int, end: int) -> bool:
    return cuts_start(text, start) or cuts_end(text, end)


def _has_invisible_end(text: str, start: int, end: int) -> bool:
    return is_invisible(text[start]) or is_invisible(text[end - 1])


def _crosses_sentence(text: str, start: int, end: int) -> bool:
    return _SENTENCE_END.search(trim_text(text[start:end])[:-1]) is not None


def _is_punctuation(text: str, start: int, end: int) -> bool:
    return all(unicodedata.category(char)[0] == "P" or is_invisible(char) for char in text[start:end])


_TESTS: dict[str, Callable[[str, int, int], bool]] = {
    CUT: _is_cut,
    INVISIBLE: _has_invisible_end,
    SENTENCES: _crosses_sentence,
    PUNCTUATION: _is_punctuation,
}


@dataclass(slots=True)
class SpanCounts:
    """Counts over the entities of a split.

    Attributes:
        spans: number of distinct entities.
        repeated: number of entities annotated more than once.
        repeated_relations: number of relations annotated more than once.
        overlapping: number of examples in which two entities share a character.
        overlapping_shown: the first ones.
        odd: suspicious spans by their property.
    """

    spans: int = 0
    repeated: int = 0
    repeated_relations: int = 0
    overlapping: int = 0
    overlapping_shown: list[str] = field(default_factory=list)
    odd: dict[str, Oddity] = field(default_factory=lambda: {name: Oddity() for name in _TESTS})
    offsets: OffsetEvidence = field(default_factory=OffsetEvidence)
    unmarked: UnmarkedMentions = field(default_factory=UnmarkedMentions)
    labels: LabelCounts = field(default_factory=LabelCounts)
    habits: BoundaryHabits = field(default_factory=BoundaryHabits)

    def add(self, document: Document, spans: Sequence[Entity]) -> None:
        """Add a document with the entities that its task uses."""
        self.spans += len(spans)
        self.repeated += len(document.entities) - len(set(document.entities))
        self.repeated_relations += len(document.relations) - len(set(document.relations))
        if (pair := first_overlap(spans)) is not None:
            self.overlapping += 1
            if len(self.overlapping_shown) < _SHOWN:
                shown = " and ".join(f"{span.label} {quoted(document.text[span.start : span.end])}" for span in pair)
                self.overlapping_shown.append(f"{document.where}: {shown}")
        self.unmarked.add(document, spans)
        self.labels.add(document, spans)
        self.habits.add(document, spans)
        self.offsets.add(document.text, [(span.start, span.end) for span in spans], document.where or "")
        for span in spans:
            for name, test in _TESTS.items():
                if test(document.text, span.start, span.end):
                    self.odd[name].add(document, span)

    def describe_odd(self, *, left_out: Sequence[str] = ()) -> Iterator[tuple[float, str]]:
        """Yield the suspicious spans as their share and a description with examples, but for some properties."""
        for name, found in self.odd.items():
            if found.count and name not in left_out:
                listed = "".join(f"\n  {line}" for line in found.shown)
                shown = _SINGULAR[name] if found.count == 1 else name
                yield found.count / self.spans, f"{found.count:,} of {self.spans:,} entities {shown}:{listed}"
