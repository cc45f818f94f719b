"""Output as a self-contained HTML page: one article per record, with its entities highlighted. It cannot be read back.

The text content of an article is exactly the text; label names are stored in attributes and displayed by the style sheet.
Relations and events are listed below the text. Characters that HTML cannot contain are replaced by a symbol that shows their
code point.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise

from ie_cli.document import Document, Entity, Event, Relation
from ie_cli.errors import DataError
from ie_cli.formats.common.base import Lines, Reading, Record
from ie_cli.triples import text_triples, triples_of

COLOURS = 8
DEPTH = 8
"""Limit on nested marks: crossing entities would split each other into more and more pieces. The others are listed."""

STYLE = """
:root { color-scheme: light dark; }
body { font: 1rem/2 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
article { border-top: 1px solid #8886; padding: .75rem 0; }
article header, article small { font-size: .8rem; opacity: .7; }
article .text { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; }
article ul { margin: .5rem 0 0; padding-left: 1.2rem; line-height: 1.6; overflow-wrap: anywhere; }
article i { font-style: normal; opacity: .6; }
mark { color: inherit; border-radius: .25em; padding: .15em .1em; background: #8883; }
mark[data-label]::after { content: attr(data-label); unicode-bidi: isolate; font-size: .65em; margin: 0 .3em; opacity: .8; }
.c0 { background: #e6194b40; } .c1 { background: #3cb44b40; } .c2 { background: #ffe11940; } .c3 { background: #4363d840; }
.c4 { background: #f5823140; } .c5 { background: #911eb440; } .c6 { background: #46f0f040; } .c7 { background: #f032e640; }
"""


def page_head(style: str, title: str) -> str:
    """Return the head of a page, whose policy forbids scripts, requests and any other style.

    Args:
        style: the CSS of the page.
        title: the title, already escaped.
    """
    digest = b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return (
        '<!doctype html>\n<html>\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width">\n<meta name="referrer" content="no-referrer">\n'
        f"<title>{title}</title>\n<style>{style}</style>\n</head>\n<body>\n"
    )


PAGE_END = "</body>\n</html>\n"
FRAME = (page_head(STYLE, "ie"), "", PAGE_END)

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


def read(lines: Lines, path: str, reading: Reading) -> Iterator[Record]:
    """Reject reading this format.

    Raises:
        DataError: always.
    """
    raise DataError(f"{path}: format 'html' cannot be read", hint="read the data from which the page was created.")


def write(document: Document) -> str:
    """Return one article."""
    marked, too_deep = mark(document.text, _mentions(document))
    header = "".join(
        [
            "" if document.id is None else f"<bdi>{escape(str(document.id))}</bdi> ",
            "" if document.where is None else f"<small><bdi>{escape(document.where)}</bdi></small>",
            "" if document.label is None else f" <b><bdi>{escape(document.label)}</bdi></b>",
            "" if document.score is None else f"<small>{_score(document.score)}</small>",
        ]
    )
    items = [
        *(f"<b><bdi>{escape(entity.label)}</bdi></b> {_mention(document.text, entity)}" for entity in too_deep),
        *(_relation(document.text, relation) for relation in sorted(document.relations)),
        *_unlocated(document),
        *(_event(document.text, event) for event in sorted(document.events)),
    ]
    return "".join(
        [
            "<article>\n",
            f"<header>{header}</header>\n" if header else "",
            f'<p class="text" dir="auto">{marked}</p>\n',
            "" if document.text_pair is None else f'<p class="text" dir="auto">{escape(document.text_pair)}</p>\n',
            f"<ul>\n{''.join(f'<li>{item}</li>' + chr(10) for item in items)}</ul>\n" if items else "",
            "</article>\n",
        ]
    )


def count_losses(document: Document) -> Mapping[str, int]:
    """Count what `write` cannot store."""
    return {"other fields of the records cannot be shown on the page": len(document.meta)}


def mark(text: str, entities: Iterable[Entity]) -> tuple[str, list[Entity]]:
    """Highlight the entities of a text, and return those that are nested too deeply to be highlighted.

    Marks are nested. Of two crossing entities, the one that starts later is split where the other ends; the last piece of an
    entity carries its label.
    """
    begins: dict[int, list[Entity]] = {}
    too_deep: list[Entity] = []
    for entity in sorted(entities, key=lambda e: (e.start, -e.end, e.label)):
        begins.setdefault(entity.start, []).append(entity)
    boundaries = sorted({0, len(text), *begins, *(entity.end for some in begins.values() for entity in some)})
    pieces: list[str] = []
    stack: list[tuple[Entity, int]] = []  # an entity, and the index of the piece that opens its mark
    for boundary, following in pairwise([*boundaries, len(text)]):
        opening: list[Entity] = []
        ends = [place for place, (entity, _) in enumerate(stack) if entity.end == boundary]
        if ends:
            closed = stack[ends[0] :]
            del stack[ends[0] :]
            pieces.append("</mark>" * len(closed))
            for entity, piece in closed:
                if entity.end == boundary:
                    pieces[piece] = _tag(entity, text, last=True)
                else:
                    opening.append(entity)
        opening += begins.get(boundary, [])
        available = DEPTH - len(stack)
        too_deep += opening[available:]
        for entity in sorted(opening[:available], key=lambda e: -e.end):
            stack.append((entity, len(pieces)))
            pieces.append(_tag(entity, text, last=False))
        pieces.append(escape(text[boundary:following]))
    return "".join(pieces), too_deep


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


def _tag(entity: Entity, text: str, *, last: bool) -> str:
    colour = zlib.crc32(entity.label.encode("utf-8", "surrogatepass")) % COLOURS
    label = f' data-label="{escape_name(entity.label)}"' if last else ""
    return f'<mark class="c{colour}"{label} title="{_facts(entity)}">'


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


def _mentions(document: Document) -> Iterable[Entity]:
    """Return the entities, with arguments of relations and parts of events that are not among them."""
    arguments = (side for relation in document.relations for side in (relation.subject, relation.object))
    return dict.fromkeys([*document.entities, *arguments, *(e for event in document.events for e in event.entities)])


def _unlocated(document: Document) -> Iterator[str]:
    """Yield the triples that cannot be located in the text."""
    if document.spos is not None:
        for triple in sorted(triples_of(document) - text_triples(document.text, document.relations)):
            subject, predicate, object_ = (f"<bdi>{escape(part)}</bdi>" for part in triple)
            yield f"{subject} <b>{predicate}</b> {object_} <small>(not in the text)</small>"
