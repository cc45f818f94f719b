"""`ie view`: show annotated records in the terminal, or as a web page."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

import click

from ie_cli.commands.annotated import AnnotatedFiles, require_outputs
from ie_cli.commands.console import say
from ie_cli.commands.inputs import Input
from ie_cli.commands.records import RecordWriter, Tally
from ie_cli.data.label_items import label_items
from ie_cli.document import Document
from ie_cli.errors import counted
from ie_cli.formats import FORMATS
from ie_cli.system.streams import open_output


@dataclass(slots=True, kw_only=True)
class ViewOptions:
    """Which records to show, and how.

    Attributes:
        grep: a text that a record must contain, whatever its case.
        labels: labels, predicates, event types or classes, one of which a record must have.
        limit: the number of records to show; None for all.
        html: a file for a web page instead.
        colour: whether to use colours; None: on a terminal, unless the variable NO_COLOR is set.
        pager: whether to show the records page by page on a terminal.
        read: the number of records that were read.
        shown: the number of records that were shown.
    """

    grep: str | None = None
    labels: Sequence[str] = ()
    limit: int | None = None
    html: str | None = None
    colour: bool | None = None
    pager: bool = True
    read: int = field(default=0, init=False)
    shown: int = field(default=0, init=False)

    def select(self, documents: Iterator[Document]) -> Iterator[Document]:
        """Yield the records to show; no more are read than needed."""
        yield from islice(self._matching(documents), self.limit)

    def _matching(self, documents: Iterator[Document]) -> Iterator[Document]:
        wanted = None if self.grep is None else self.grep.casefold()
        for document in documents:
            self.read += 1
            texts = (document.text, document.text_pair or "")
            if wanted is not None and not any(wanted in text.casefold() for text in texts):
                continue
            if self.labels and not any(label in self.labels for _, label in label_items(document)):
                continue
            self.shown += 1
            yield document


def run_view(given: Sequence[Input], options: ViewOptions, *, skip: bool, quiet: bool) -> None:
    """Show the records of some files."""
    files = AnnotatedFiles.find(given, skip=skip, quiet=quiet)
    documents = options.select(files.documents())
    if options.html is not None:
        _write_page(files, documents, options.html)
    else:
        _print(files, documents, options)
    if not quiet:
        place = "" if options.html is None else f" in {options.html}"
        say(f"{counted(options.shown, 'record')} shown{place}, {options.read:,} read")
    files.warn()


def _write_page(files: AnnotatedFiles, documents: Iterator[Document], path: str) -> None:
    target = FORMATS["html"]
    require_outputs([path], target, files.sources)
    with open_output(path) as out:
        writer = RecordWriter(target, "stop", out, None, Tally())
        writer.begin()
        for document in documents:
            writer.add(document)
        writer.end()


def _print(files: AnnotatedFiles, documents: Iterator[Document], options: ViewOptions) -> None:
    from ie_cli.reports.document_text import DocumentText

    terminal = _is_terminal()
    colour = options.colour
    if colour is None:
        colour = terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    text = DocumentText(colour=colour)
    if terminal and options.pager:
        click.echo_via_pager((text.render(document) for document in documents), color=colour)
        return
    with open_output("-") as out:
        for document in documents:
            out.write(text.render(document))
            if files.sources.are_live:
                out.flush()


def _is_terminal() -> bool:
    return sys.stdout.isatty()
