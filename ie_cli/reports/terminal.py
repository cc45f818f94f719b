"""Scores as tables on a terminal."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ie_cli.metrics.scores import ScoreTable
from ie_cli.reports.cells import all_rows, heading

# Texts and labels are shown, and belong to whoever wrote the data: none of their characters may drive the terminal.
_HARMLESS = {code: f"\\x{code:02x}" for code in [*range(0x20), *range(0x7F, 0xA0)] if chr(code) not in "\n\t"}


def harmless(text: str) -> str:
    """Control characters written out, e.g. ``\\x1b``; lines and tabs stay."""
    return text.translate(_HARMLESS)


def print_tables(console: Console, tables: Iterable[ScoreTable], title: str) -> None:
    """Print tables of scores, each with its notes below."""
    for table in tables:
        console.print(rich_table(table, title))
        for note in table.notes:
            console.print(harmless(note), markup=False)


def rich_table(table: ScoreTable, title: str) -> Table:
    """A table of scores; a narrow screen breaks names, and no numbers."""
    made = Table(title=Text(harmless(heading(title, table))), title_justify="left")
    for place, column in enumerate(table.columns):
        if place:
            made.add_column(Text(harmless(column)), justify="right", no_wrap=True)
        else:
            made.add_column(Text(harmless(column)), overflow="fold")
    below = False
    for summary, name, values in all_rows(table):
        if summary and not below:
            made.add_section()
        below = summary
        made.add_row(Text(harmless(name)), *values)
    return made
