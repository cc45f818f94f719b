"""Place mentions without offsets in their text: exactly, then folded, with the offsets of the unmodified text.

Folding ignores case, width (full and half), composition of accents, the kind of quotes and dashes, invisible characters, and
the amount of whitespace; if there is still no occurrence, all whitespace.

``Ann`` beside ``Ann Lee`` is not looked for inside the latter if both have the same label and ``Ann`` occurs elsewhere, too.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Literal

from ie_cli.document import Entity, Relation, Spo
from ie_cli.document.fields import NO_TYPE
from ie_cli.document.trimming import is_invisible, trim_text
from ie_cli.document.word_boundaries import begins_word, ends_word
from ie_cli.formats.common.answers import Answer, Link, Mention
from ie_cli.triples import Span, find_places, locate, occurrences

Occurrences = Literal["all", "first", "nearest"]
_ALIKE = str.maketrans("‘’‚‛′“”„‟″‐‑‒–—―−", "'" * 5 + '"' * 5 + "-" * 7)


@dataclass(slots=True)
class Placed:
    """The annotation of a text, and what became of the mentions.

    Attributes:
        absent: mentions that are not in the text, and triples with such an argument.
        folded: number of mentions that are only in the folded text.
        moved: number of mentions whose offsets did not cover them.
        repeated: mentions that are listed more often than they occur.
    """

    entities: list[Entity] = field(default_factory=list)
    relations: list[Relation] = field(default_factory=list)
    absent: list[Mention | Link] = field(default_factory=list)
    folded: int = 0
    moved: int = 0
    repeated: list[Mention] = field(default_factory=list)


class PlacedText:
    """A text in which mentions are looked up; folded forms are computed when the first mention needs them."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._forms: dict[bool, tuple[str, list[int]]] = {}
        self._found: dict[str, tuple[list[Span], bool]] = {}

    def find(self, mention: str) -> tuple[list[Span], bool]:
        """Return the occurrences of a mention, and whether they are only in the folded text; none inside a longer word."""
        if mention not in self._found:
            self._found[mention] = self._find(mention)
        return self._found[mention]

    def _find(self, mention: str) -> tuple[list[Span], bool]:
        wanted = trim_text(mention)
        if not wanted.strip():
            return [], False
        if exact := occurrences(self.text, wanted):
            return exact, False
        if found := find_places(self.text, wanted):  # other case
            return found, True
        for keep_spaces in (True, False):
            if found := self._find_folded(wanted, keep_spaces=keep_spaces):
                return found, True
        return [], False

    def covers(self, span: Span, mention: str) -> bool:
        """Return whether a span covers a mention, apart from what folding ignores."""
        start, end = span
        if not 0 <= start < end <= len(self.text):
            return False
        return not mention or self.text[start:end] == mention or folded(self.text[start:end])[0] == folded(mention)[0]

    def _find_folded(self, mention: str, *, keep_spaces: bool) -> list[Span]:
        if keep_spaces not in self._forms:
            self._forms[keep_spaces] = folded(self.text, keep_spaces=keep_spaces)
        text, places = self._forms[keep_spaces]
        wanted, _ = folded(mention, keep_spaces=keep_spaces)
        found: list[Span] = []
        at = text.find(wanted) if wanted else -1
        while at >= 0:
            last = at + len(wanted) - 1
            # Not in the middle of a character that folds to several, such as ㎏.
            whole = (not at or places[at] != places[at - 1]) and (
                last + 1 == len(text) or places[last] != places[last + 1]
            )
            start, end = places[at], places[last] + 1
            if whole and begins_word(self.text, start) and ends_word(self.text, end):
                found.append((start, end))
            at = text.find(wanted, at + 1)
        return list(dict.fromkeys(found))


def folded(text: str, *, keep_spaces: bool = True) -> tuple[str, list[int]]:
    """Return a text without what does not tell mentions apart, and the place of each of its characters in the original.

    >>> folded("Ａ  b")
    ('a b', [0, 1, 3])
    """
    characters: list[str] = []
    places: list[int] = []
    for place, character in enumerate(text):
        if character.isspace():
            if keep_spaces and characters and characters[-1] != " ":
                characters.append(" ")
                places.append(place)
            continue
        if is_invisible(character):
            continue
        for part in unicodedata.normalize("NFKD", character.translate(_ALIKE)).casefold().translate(_ALIKE):
            if not unicodedata.combining(part) or characters:
                characters.append(part)
                places.append(place)
    if characters and characters[-1] == " ":
        characters.pop()
        places.pop()
    return "".join(characters), places


def place(text: str, answer: Answer, choice: Occurrences | None = None) -> Placed:
    """Place the mentions and triples of an answer in its text.

    Args:
        text: the text.
        answer: the mentions and triples.
        choice: which of several occurrences are meant; None for all of a mention, and the nearest pair of a triple.
    """
    inside = PlacedText(text)
    placing = _Placing(inside, choice or "all", _Longer.of(answer.mentions, inside))
    entities: dict[Entity, None] = {}
    for mention in answer.mentions:
        for span in placing.spans(mention):
            entities.setdefault(Entity(*span, mention.label, mention.score))
    placing.placed.entities = sorted(entities)
    placing.add_links(answer.links, choice or "nearest")
    return placing.placed


@dataclass(slots=True)
class _Longer:
    """The occurrences of all mentions by label, as sorted starts and the greatest end up to each of them."""

    spans: dict[str, tuple[list[int], list[int]]]

    @classmethod
    def of(cls, mentions: Iterable[Mention], inside: PlacedText) -> _Longer:
        """Look up the mentions of an answer."""
        found: defaultdict[str, set[Span]] = defaultdict(set)
        for mention in mentions:
            found[mention.label].update(inside.find(mention.text)[0])
        spans: dict[str, tuple[list[int], list[int]]] = {}
        for label, places in found.items():
            ordered = sorted(places)
            spans[label] = [start for start, _ in ordered], list(accumulate((end for _, end in ordered), max))
        return cls(spans)

    def outside(self, label: str, spans: Sequence[Span]) -> Sequence[Span]:
        """Return the spans that are no part of a longer mention with the label, or all if each of them is one."""
        starts, ends = self.spans.get(label, ([], []))
        free = []
        for start, end in spans:
            before, until = bisect_left(starts, start), bisect_right(starts, start)
            if not (before and ends[before - 1] >= end) and not (until and ends[until - 1] > end):
                free.append((start, end))
        return free or spans


@dataclass(slots=True)
class _Placing:
    """The state of placing: the spans that are taken by earlier mentions, and the end of the latest one."""

    inside: PlacedText
    choice: Occurrences
    longer: _Longer
    placed: Placed = field(default_factory=Placed)
    taken: set[tuple[str, str, Span]] = field(default_factory=set)
    after: int = 0

    def spans(self, mention: Mention) -> Sequence[Span]:
        """Return the spans of a mention; offsets that cover it are used whatever the choice is."""
        if mention.span is not None and self.inside.covers(mention.span, mention.text):
            return [mention.span]
        found, is_folded = self.inside.find(mention.text)
        if not found:
            self.placed.absent.append(mention)
            return []
        self.placed.moved += mention.span is not None
        self.placed.folded += is_folded
        outside = self.longer.outside(mention.label, found)
        if self.choice == "all":
            return outside
        free = self._free(mention, outside) or self._free(mention, found)
        if not free:
            self.placed.repeated.append(mention)
            return []
        near = 0 if self.choice == "first" else self.after if mention.span is None else mention.span[0]
        chosen = min(free, key=lambda span: (abs(span[0] - near), span))
        self.taken.add((mention.text, mention.label, chosen))
        self.after = chosen[1]
        return [chosen]

    def _free(self, mention: Mention, spans: Sequence[Span]) -> list[Span]:
        """Return the spans that no equal mention has taken."""
        return [span for span in spans if (mention.text, mention.label, span) not in self.taken]

    def add_links(self, links: Iterable[Link], choice: Occurrences) -> None:
        """Locate triples by the form in which their arguments occur in the text."""
        text, placed = self.inside.text, self.placed
        labels: dict[str, str] = {}
        for entity in placed.entities:
            labels.setdefault(text[entity.start : entity.end], entity.label)
        scores: dict[tuple[str, str, str], float | None] = {}
        spos: list[Spo] = []
        for link in links:
            found = [self.inside.find(side) for side in (link.subject, link.object)]
            if not all(spans for spans, _ in found):
                placed.absent.append(link)
                continue
            placed.folded += sum(is_folded for _, is_folded in found)
            subject, object_ = (text[slice(*spans[0])] for spans, _ in found)
            types = (link.subject_type or labels.get(subject), link.object_type or labels.get(object_))
            spos.append(Spo(subject, link.predicate, object_, (), types[0] or NO_TYPE, types[1] or NO_TYPE))
            scores.setdefault((subject, link.predicate, object_), link.score)
        for relation in locate(text, spos, choice).relations:
            subject, object_ = (text[side.start : side.end] for side in (relation.subject, relation.object))
            placed.relations.append(replace(relation, score=scores.get((subject, relation.predicate, object_))))
