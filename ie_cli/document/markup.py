"""A document as HTML, its entities marked: an article of a page, or a fragment for a notebook.

What is in the tags of an article's text is the text, character by character; names of labels are in attributes, or in elements
of their own. Relations and events are listed below it. Characters that no page can contain are replaced by a picture, which
names their code point.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from ie_cli.document import Document, Entity, Event, Relation

COLOURS = ("#e6194b40", "#3cb44b40", "#ffe11940", "#4363d840", "#f5823140", "#911eb440", "#46f0f040", "#f032e640")
DEPTH = 8
"""Marks around one character at most: entities that cross would cut each other into ever more pieces. Others are listed."""

_MARKUP = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    '"': "&quot;",
    "'": "&#39;",
    "\r": "&#13;",
}  # a bare \r is read as \n
_SPECIAL = re.compile("[&<>\"'\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_SPECIAL_NAME = re.compile("[&<>\"'\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What makes the elements of an article look as they do.

    Attributes:
        article, header, text, items: attributes of these elements, each with a space before it.
        mark: attributes of a mark, by the number of its colour.
        label: of a name, the attributes of the last mark of an entity, and the element in it that shows the name.
    """

    article: str
    header: str
    text: str
    items: str
    mark: Callable[[int], str]
    label: Callable[[str], tuple[str, str]]


PAGE = Look(
    article="",
    header="",
    text=' class="text"',
    items="",
    mark=lambda colour: f' class="c{colour}"',
    label=lambda name: (f' data-label="{escape_name(name)}"', ""),
)
"""By the classes of a style sheet."""

_LABEL = "font-size:.65em;margin:0 .3em;opacity:.8;user-select:none"
INLINE = Look(
    article=' style="padding:.25rem 0"',
    header=' style="font-size:.8rem;opacity:.7"',
    text=' style="margin:0;line-height:2;white-space:pre-wrap;overflow-wrap:anywhere"',
    items=' style="margin:.5rem 0 0;padding-left:1.2rem;line-height:1.6;overflow-wrap:anywhere"',
    mark=lambda colour: f' style="color:inherit;background:{COLOURS[colour]};border-radius:.25em;padding:.15em .1em"',
    label=lambda name: ("", f'<small style="{_LABEL}"><bdi>{escape(name)}</bdi></small>'),
)
"""By attributes alone, so that nothing else on the page changes its looks."""


def article(document: Document, look: Look = PAGE) -> str:
    """The document in one element, without scripts and without references to anything else."""
    marked, deep = mark(document.text, _mentions(document), look)
    header = "".join(
        [
            "" if document.id is None else f"<bdi>{escape(str(document.id))}</bdi> ",
            "" if document.where is None else f"<small><bdi>{escape(document.where)}</bdi></small>",
            "" if document.label is None else f" <b><bdi>{escape(document.label)}</bdi></b>",
            "" if document.score is None else f"<small>{_score(document.score)}</small>",
        ]
    )
    items = [
        *(f"<b><bdi>{escape(entity.label)}</bdi></b> {_mention(document.text, entity)}" for entity in deep),
        *(_relation(document.text, relation) for relation in sorted(document.relations)),
        *_placeless(document),
        *(_event(document.text, event) for event in sorted(document.events)),
    ]
    second = "" if document.text_pair is None else f'<p{look.text} dir="auto">{escape(document.text_pair)}</p>\n'
    return "".join(
        [
            f"<article{look.article}>\n",
            f"<header{look.header}>{header}</header>\n" if header else "",
            f'<p{look.text} dir="auto">{marked}</p>\n',
            second,
            f"<ul{look.items}>\n{''.join(f'<li>{item}</li>' + chr(10) for item in items)}</ul>\n" if items else "",
            "</article>\n",
        ]
    )


def mark(text: str, entities: Iterable[Entity], look: Look = PAGE) -> tuple[str, list[Entity]]:
    """A text with its entities marked, and the entities that too many others lie around.

    Marks nest. Of two entities that cross, the one that begins later is cut where the other ends; the last piece of an entity
    bears its label.
    """
    begins: dict[int, list[Entity]] = {}
    deep: list[Entity] = []
    for entity in sorted(entities, key=lambda e: (e.start, -e.end, e.label)):
        begins.setdefault(entity.start, []).append(entity)
    boundaries = sorted({0, len(text), *begins, *(entity.end for some in begins.values() for entity in some)})
    pieces: list[str] = []
    stack: list[tuple[Entity, int]] = []  # entity, and which piece its mark's tag is
    for boundary, following in pairwise([*boundaries, len(text)]):
        opening: list[Entity] = []
        ends = [place for place, (entity, _) in enumerate(stack) if entity.end == boundary]
        if ends:
            closed = stack[ends[0] :]
            del stack[ends[0] :]
            for entity, piece in reversed(closed):
                attributes, shown = look.label(entity.label) if entity.end == boundary else ("", "")
                pieces[piece] = _tag(entity, look, attributes)
                pieces.append(f"{shown}</mark>")
            opening = [entity for entity, _ in closed if entity.end != boundary]
        opening += begins.get(boundary, [])
        room = DEPTH - len(stack)
        deep += opening[room:]
        for entity in sorted(opening[:room], key=lambda e: -e.end):
            stack.append((entity, len(pieces)))
            pieces.append("")  # its tag, when it is known whether this piece is the last
        pieces.append(escape(text[boundary:following]))
    return "".join(pieces), deep


def escape(text: str) -> str:
    """Text between tags, of the same characters; one that no page can hold is a picture that names it."""
    return _SPECIAL.sub(lambda match: _MARKUP.get(match[0]) or _picture(match[0]), text)


def escape_name(text: str) -> str:
    """The value of an attribute in double quotes; what is not seen, or turns the line round, is written out."""
    return _SPECIAL_NAME.sub(
        lambda match: f"\\u{ord(match[0]):04x}" if match[0] < " " else _MARKUP.get(match[0], f"\\u{ord(match[0]):04x}"),
        text,
    )


def _picture(char: str) -> str:
    """One of Unicode's pictures of control characters, or its replacement character."""
    code = ord(char)
    shown = chr(0x2400 + code) if code < 0x20 else "\u2421" if code == 0x7F else "\ufffd"
    return f'<i title="U+{code:04X}">{shown}</i>'


def _tag(entity: Entity, look: Look, attributes: str) -> str:
    colour = zlib.crc32(entity.label.encode("utf-8", "surrogatepass")) % len(COLOURS)
    return f'<mark{look.mark(colour)}{attributes} title="{_facts(entity)}">'


_LISTED = 100
"""Characters of a mention in a list; the text has it whole."""


def _facts(entity: Entity) -> str:
    """Label, place and score, for an attribute."""
    return f"{escape_name(entity.label)} {entity.start}-{entity.end}{_score(entity.score)}"


def _score(score: float | None) -> str:
    return "" if score is None else f" {round(score, 6)}"


def _mention(text: str, entity: Entity) -> str:
    shown = text[entity.start : min(entity.end, entity.start + _LISTED)] + "…" * (entity.end - entity.start > _LISTED)
    return f'<bdi title="{_facts(entity)}">{escape(shown)}</bdi>'


def _relation(text: str, relation: Relation) -> str:
    return (
        f"{_mention(text, relation.subject)} <b><bdi>{escape(relation.predicate)}</bdi></b> "
        f"{_mention(text, relation.object)}<small>{_score(relation.score)}</small>"
    )


def _event(text: str, event: Event) -> str:
    trigger = "" if event.trigger is None else " " + _mention(text, Entity(*event.trigger, event.type))
    arguments = [f"<small><bdi>{escape(a.role)}</bdi></small> {_mention(text, a.entity)}" for a in event.arguments]
    parts = "; ".join([f"<b><bdi>{escape(event.type)}</bdi></b>{trigger}", *arguments])
    return f"{parts}<small>{_score(event.score)}</small>"


def _mentions(document: Document) -> Iterable[Entity]:
    """The entities, and the arguments of relations and the parts of events that are not among them."""
    arguments = (side for relation in document.relations for side in (relation.subject, relation.object))
    return dict.fromkeys([*document.entities, *arguments, *(e for event in document.events for e in event.entities)])


def _placeless(document: Document) -> Iterator[str]:
    """The triples that have no place in the text."""
    text = document.text
    placed = {
        (text[r.subject.start : r.subject.end], r.predicate, text[r.object.start : r.object.end])
        for r in document.relations
    }
    for triple in sorted({triple for spo in document.spos or () for triple in spo.triples} - placed):
        subject, predicate, object_ = (f"<bdi>{escape(part)}</bdi>" for part in triple)
        yield f"{subject} <b>{predicate}</b> {object_} <small>(not in the text)</small>"
