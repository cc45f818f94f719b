"""A document as text for a terminal: entities in brackets with their labels, and relations as arrows below.

``[Ann|person] lives in [[Porto|city] Alegre|city]``: the label of an entity is before the bracket that closes it. With colours,
each label has one, on which its mentions are printed.
"""

from __future__ import annotations

from collections.abc import Iterator

import click

from ie_cli.document import Document, Entity, Event
from ie_cli.document.discontinuous import discontinuous_spans
from ie_cli.document.markup import LabelStyles, mentions_of, unlocated_triples
from ie_cli.reports.terminal import escape_controls

COLOURS = (
    *("cyan", "yellow", "green", "magenta", "blue", "red"),
    *("bright_cyan", "bright_yellow", "bright_green", "bright_magenta", "bright_blue", "bright_red"),
)
"""Backgrounds of mentions, in the order in which labels appear; further labels repeat them."""
_MAX_LISTED = 60
"""Limit on the characters of a mention in a list; the text shows it in full."""


class DocumentText:
    """Renders documents, in which a label has one colour.

    Args:
        colour: whether to use colours, as ANSI escape sequences.
    """

    def __init__(self, *, colour: bool) -> None:
        self._colour, self._styles = colour, LabelStyles()

    def render(self, document: Document) -> str:
        """Return the document as lines, with an empty line after it."""
        return "".join(f"{line}\n" for line in (*self._lines(document), ""))

    def _lines(self, document: Document) -> Iterator[str]:
        facts = [str(fact) for fact in (document.id, document.where) if fact is not None]
        if facts:
            yield self._styled("  ".join(map(escape_controls, facts)), dim=True)
        yield self._marked(document)
        if document.text_pair is not None:
            yield escape_controls(document.text_pair)
        if document.label is not None or document.score is not None:
            grade = "" if document.score is None else f" {document.score:g}"
            yield escape_controls(f"  = {document.label or ''}{grade}")
        for relation in sorted(document.relations):
            sides = (self._listed(document, side) for side in (relation.subject, relation.object))
            yield f"  {self._arrow(relation.predicate).join(sides)}{_score(relation.score)}"
        for subject, predicate, object_ in unlocated_triples(document):
            yield f"  {escape_controls(subject)}{self._arrow(predicate)}{escape_controls(object_)} (not in the text)"
        yield from (self._event(document, event) for event in sorted(document.events))
        for span in discontinuous_spans(document):
            yield escape_controls(f"  {span.mention(document.text)} ({span.label}), discontinuous")

    def _marked(self, document: Document) -> str:
        """Return the text with its entities in brackets."""
        text, begins, ends = document.text, dict[int, list[Entity]](), dict[int, list[Entity]]()
        for entity in sorted(mentions_of(document), key=lambda e: (e.start, -e.end, e.label)):
            begins.setdefault(entity.start, []).append(entity)
            ends.setdefault(entity.end, []).append(entity)
            self._styles.number(entity.label)  # in the order of the text
        places = sorted({0, len(text), *begins, *ends})
        pieces: list[str] = []
        around: list[Entity] = []
        for start, end in zip(places, [*places[1:], len(text)], strict=True):
            for entity in reversed(ends.get(start, ())):  # the one that starts last is closed first
                around.remove(entity)
                name = f"|{entity.label}" if entity.label else ""
                pieces.append(self._bracket(f"{name}{_score(entity.score)}]", entity.label))
            for entity in begins.get(start, ()):
                around.append(entity)
                pieces.append(self._bracket("[", entity.label))
            piece = escape_controls(text[start:end])
            inner = min(around, key=lambda e: (e.end - e.start, -e.start)) if around else None
            pieces.append(piece if inner is None or not piece else self._styled(piece, label=inner.label))
        return "".join(pieces)

    def _listed(self, document: Document, entity: Entity) -> str:
        shown = document.mention(entity).replace("\n", "⏎")
        shown = shown if len(shown) <= _MAX_LISTED else f"{shown[:_MAX_LISTED]}…"
        return escape_controls(f"{shown} ({entity.label})" if entity.label else shown)

    def _event(self, document: Document, event: Event) -> str:
        trigger = "" if event.trigger is None else f" {document.mention(event.trigger)!r}"
        arguments = (f"{argument.role} {self._listed(document, argument.entity)}" for argument in event.arguments)
        return escape_controls(f"  {event.type}{trigger}: {'; '.join(arguments)}{_score(event.score)}")

    def _arrow(self, predicate: str) -> str:
        return f" ──{self._styled(escape_controls(predicate), bold=True)}──▶ "

    def _bracket(self, text: str, label: str) -> str:
        colour = COLOURS[self._styles.number(label) % len(COLOURS)]
        return click.style(escape_controls(text), fg=colour, bold=True) if self._colour else escape_controls(text)

    def _styled(self, text: str, *, label: str | None = None, dim: bool = False, bold: bool = False) -> str:
        """Return a text in the style of a label, dim or bold; unchanged without colours."""
        if not self._colour:
            return text
        if label is None:
            return click.style(text, dim=dim or None, bold=bold or None)
        return click.style(text, fg="black", bg=COLOURS[self._styles.number(label) % len(COLOURS)])


def _score(score: float | None) -> str:
    return "" if score is None else f" {score:.3g}"
