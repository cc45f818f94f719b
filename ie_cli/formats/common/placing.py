"""Place mentions without offsets in their text: exactly, then folded, with the offsets of the unmodified text.

Folding ignores case, width (full and half), composition of accents, the kind of quotes and dashes, invisible characters, and
the amount of whitespace; if there is still no occurrence, all whitespace.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
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
    placing = _Placing(PlacedText(text), choice or "all")
    entities: dict[Entity, None] = {}
    for mention in answer.mentions:
        for span in placing.spans(mention):
            entities.setdefault(Entity(*span, mention.label, mention.score))
    placing.placed.entities = sorted(entities)
    placing.add_links(answer.links, choice or "nearest")
    return placing.placed


@dataclass(slots=True)
class _Placing:
    """The state of placing: the spans that are taken by earlier mentions, and the end of the latest one."""

    inside: PlacedText
    choice: Occurrences
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
        if self.choice == "all":
            return found
        free = [span for span in found if (mention.text, mention.label, span) not in self.taken]
        if not free:
            self.placed.repeated.append(mention)
            return []
        near = 0 if self.choice == "first" else self.after if mention.span is None else mention.span[0]
        chosen = min(free, key=lambda span: (abs(span[0] - near), span))
        self.taken.add((mention.text, mention.label, chosen))
        self.after = chosen[1]
        return [chosen]

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
