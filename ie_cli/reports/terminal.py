"""Print score tables on a terminal."""

from __future__ import annotations

from collections.abc import Iterable
from io import StringIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ie_cli.metrics.scores import ScoreTable
from ie_cli.reports.cells import all_rows, heading

# Texts and labels come from untrusted data, so none of their characters may control the terminal.
_CONTROL_CHARACTERS = {code: f"\\x{code:02x}" for code in [*range(0x20), *range(0x7F, 0xA0)] if chr(code) not in "\n\t"}


def escape_controls(text: str) -> str:
    r"""Return a text with control characters escaped, e.g. ``\x1b``, except for newlines and tabs."""
    return text.translate(_CONTROL_CHARACTERS)


def print_tables(console: Console, tables: Iterable[ScoreTable], title: str) -> None:
    """Print score tables, each with its notes below."""
    for table in tables:
        console.print(rich_table(table, title))
        for note in table.notes:
            console.print(escape_controls(note), markup=False)


def rich_table(table: ScoreTable, title: str) -> Table:
    """Build a score table; on a narrow screen, names are wrapped, but numbers are not."""
    result = Table(title=Text(escape_controls(heading(title, table))), title_justify="left")
    for index, column in enumerate(table.columns):
        if index:
            result.add_column(Text(escape_controls(column)), justify="right", no_wrap=True)
        else:
            result.add_column(Text(escape_controls(column)), overflow="fold")
    in_summary = False
    for summary, name, values in all_rows(table):
        if summary and not in_summary:
            result.add_section()
        in_summary = summary
        result.add_row(Text(escape_controls(name)), *values)
    return result


def tables_text(tables: Iterable[ScoreTable], title: str, *, width: int) -> str:
    """Return score tables as plain text of a maximum width."""
    out = StringIO()
    print_tables(Console(file=out, width=width, highlight=False, emoji=False, color_system=None), tables, title)
    return out.getvalue()
