"""A document as HTML with its entities highlighted: an article of a page, or a fragment for a notebook.

The text content of an article is exactly the text; label names are stored in attributes or in separate elements. Relations and
events are listed below the text. Characters that HTML cannot contain are replaced by a symbol that shows their code point.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from ie_cli.document import Document, Entity, Event, Relation
from ie_cli.document.discontinuous import DiscontinuousSpan, discontinuous_spans

# The light scheme of Paul Tol, "Colour schemes" (SRON, 2021): made for black text, and for colour-blind readers.
_BACKGROUNDS = ("#77aadd", "#ee8866", "#eedd88", "#ffaabb", "#99ddff", "#44bb99", "#bbcc33", "#aaaa00")
_LINES = ("solid", "dotted", "dashed", "double")
STYLES = len(_BACKGROUNDS) * len(_LINES)
"""Number of different styles of marks; further labels repeat them."""
DEPTH = 8
"""Limit on nested marks: crossing entities would split each other into more and more pieces. The others are listed."""

NO_BREAK = "\u2060"
"""The word joiner: a line does not break between a mention and the name of its label."""
_MARKUP = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    '"': "&quot;",
    "'": "&#39;",
    "\r": "&#13;",
}  # HTML parsers read a bare \r as \n
_SPECIAL = re.compile("[&<>\"'\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_SPECIAL_NAME = re.compile("[&<>\"'\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def style_of(number: int) -> str:
    """Return the CSS of the style of that number: a background and a line, so that marks differ without colours, too.

    The background is opaque and the text black, so that the contrast does not depend on the page, nor on nested marks.
    """
    line = _LINES[(number + number // len(_BACKGROUNDS)) % len(_LINES)]
    return f"color:#000;background:{_BACKGROUNDS[number % len(_BACKGROUNDS)]};border-bottom:3px {line} #0009"


class LabelStyles:
    """The styles of labels: each label gets the next one, in the order of the labels of a model, or as they appear.

    Args:
        labels: the labels that are known from the beginning.
    """

    def __init__(self, labels: Iterable[str] = ()) -> None:
        self._order = {label: number for number, label in enumerate(dict.fromkeys(labels))}

    def number(self, label: str) -> int:
        """Return the number of the style of a label."""
        return self._order.setdefault(label, len(self._order)) % STYLES


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """The appearance of the elements of an article.

    Attributes:
        article, header, text, items: HTML attributes of these elements, each with a leading space.
        mark: the attributes of a mark for the number of its style.
        label: for a label name, the attributes of the last mark of an entity, and the element inside it that shows the name.
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
    mark=lambda number: f' class="c{number}"',
    label=lambda name: (f' data-label="{escape_name(name)}"', ""),
)
"""Appearance by the classes of a style sheet."""

_LABEL = "font-size:.65em;margin:0 .3em;white-space:nowrap;user-select:none"
INLINE = Look(
    article=' style="padding:.25rem 0"',
    header=' style="font-size:.8rem;opacity:.7"',
    text=' style="margin:0;line-height:2;white-space:pre-wrap;overflow-wrap:anywhere"',
    items=' style="margin:.5rem 0 0;padding-left:1.2rem;line-height:1.6;overflow-wrap:anywhere"',
    mark=lambda number: f' style="{style_of(number)};border-radius:.25em;padding:.15em .1em"',
    label=lambda name: ("", f'<small style="{_LABEL}">{NO_BREAK}<bdi>{escape(name)}</bdi></small>'),
)
"""Appearance by inline styles only, which affect nothing else on the page."""
NOTEBOOK = LabelStyles()
"""The styles of the fragments of this process, so that a label looks the same in all cells of a notebook."""


def article(document: Document, look: Look = PAGE, styles: LabelStyles | None = None) -> str:
    """Return the document as one element, without scripts and references to other resources.

    Args:
        document: the document.
        look: the appearance of the elements.
        styles: the styles of the labels, if several articles share them.
    """
    marked, deep = mark(document.text, mentions_of(document), look, styles)
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
        *_unlocated(document),
        *(_event(document.text, event) for event in sorted(document.events)),
        *(_discontinuous(document.text, span) for span in discontinuous_spans(document)),
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


def mark(
    text: str, entities: Iterable[Entity], look: Look = PAGE, styles: LabelStyles | None = None
) -> tuple[str, list[Entity]]:
    """Highlight the entities of a text, and return those that are nested too deeply to be highlighted.

    Marks are nested. Of two crossing entities, the one that starts later is split where the other ends; the last piece of an
    entity carries its label.
    """
    styles = LabelStyles() if styles is None else styles
    begins: dict[int, list[Entity]] = {}
    deep: list[Entity] = []
    for entity in sorted(entities, key=lambda e: (e.start, -e.end, e.label)):
        begins.setdefault(entity.start, []).append(entity)
        styles.number(entity.label)  # in the order of the text
    boundaries = sorted({0, len(text), *begins, *(entity.end for some in begins.values() for entity in some)})
    pieces: list[str] = []
    stack: list[tuple[Entity, int]] = []  # an entity, and the index of the piece that opens its mark
    for boundary, following in pairwise([*boundaries, len(text)]):
        opening: list[Entity] = []
        ends = [place for place, (entity, _) in enumerate(stack) if entity.end == boundary]
        if ends:
            closed = stack[ends[0] :]
            del stack[ends[0] :]
            for entity, piece in reversed(closed):
                attributes, shown = look.label(entity.label) if entity.end == boundary else ("", "")
                pieces[piece] = _tag(entity, look.mark(styles.number(entity.label)), attributes)
                pieces.append(f"{shown}</mark>")
            opening = [entity for entity, _ in closed if entity.end != boundary]
        opening += begins.get(boundary, [])
        room = DEPTH - len(stack)
        deep += opening[room:]
        for entity in sorted(opening[:room], key=lambda e: -e.end):
            stack.append((entity, len(pieces)))
            pieces.append("")  # filled in as soon as it is known whether this piece is the last
        pieces.append(escape(text[boundary:following]))
    return "".join(pieces), deep


def escape(text: str) -> str:
    """Escape text between tags; a character that HTML cannot contain becomes a symbol that names it."""
    return _SPECIAL.sub(lambda match: _MARKUP.get(match[0]) or _picture(match[0]), text)


def escape_name(text: str) -> str:
    """Escape an attribute value in double quotes; invisible and bidirectional control characters become escapes."""
    return _SPECIAL_NAME.sub(
        lambda match: f"\\u{ord(match[0]):04x}" if match[0] < " " else _MARKUP.get(match[0], f"\\u{ord(match[0]):04x}"),
        text,
    )


def _picture(char: str) -> str:
    """Return Unicode's symbol for a control character, or the replacement character."""
    code = ord(char)
    shown = chr(0x2400 + code) if code < 0x20 else "\u2421" if code == 0x7F else "\ufffd"
    return f'<i title="U+{code:04X}">{shown}</i>'


def _tag(entity: Entity, appearance: str, attributes: str) -> str:
    return f'<mark{appearance}{attributes} title="{_facts(entity)}">'


_MAX_LISTED = 100
"""Limit on the characters of a mention in a list; the text shows it in full."""


def _facts(entity: Entity) -> str:
    """Format label, offsets and score for an attribute."""
    return f"{escape_name(entity.label)} {entity.start}-{entity.end}{_score(entity.score)}"


def _score(score: float | None) -> str:
    return "" if score is None else f" {round(score, 6)}"


def _mention(text: str, entity: Entity) -> str:
    shown = text[entity.start : min(entity.end, entity.start + _MAX_LISTED)] + "…" * (
        entity.end - entity.start > _MAX_LISTED
    )
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


def _discontinuous(text: str, span: DiscontinuousSpan) -> str:
    mention = f"<bdi>{escape(span.mention(text))}</bdi>"
    return f"<b><bdi>{escape(span.label)}</bdi></b> {mention} <small>(discontinuous)</small>"


def mentions_of(document: Document) -> Iterable[Entity]:
    """Return the entities, with arguments of relations and parts of events that are not among them."""
    arguments = (side for relation in document.relations for side in (relation.subject, relation.object))
    return dict.fromkeys([*document.entities, *arguments, *(e for event in document.events for e in event.entities)])


def unlocated_triples(document: Document) -> list[tuple[str, str, str]]:
    """Return the triples that cannot be located in the text, sorted."""
    text = document.text
    placed = {
        (text[r.subject.start : r.subject.end], r.predicate, text[r.object.start : r.object.end])
        for r in document.relations
    }
    return sorted({triple for spo in document.spos or () for triple in spo.triples} - placed)


def _unlocated(document: Document) -> Iterator[str]:
    for triple in unlocated_triples(document):
        subject, predicate, object_ = (f"<bdi>{escape(part)}</bdi>" for part in triple)
        yield f"{subject} <b>{predicate}</b> {object_} <small>(not in the text)</small>"
