"""Format numbers in the same way for all reports."""

from __future__ import annotations

from collections.abc import Iterator

from ie_cli.metrics.scores import Row, ScoreTable


def number(value: float | None) -> str:
    """Return a score with four digits, or a dash if there is none."""
    return "–" if value is None else f"{value:.4f}"


def cells(row: Row) -> tuple[str, ...]:
    """Return the values of a row as text; missing values are dashes, or empty if the row has no counts."""
    _, values = row
    counted = any(isinstance(value, int) for value in values)
    return tuple(
        str(value) if isinstance(value, int) else number(value) if counted or value is not None else ""
        for value in values
    )


def all_rows(table: ScoreTable) -> Iterator[tuple[bool, str, tuple[str, ...]]]:
    """Yield, for each row of a table from top to bottom, whether it belongs to the summary, its name, and its cells."""
    for rows, summary in ((table.rows, False), (table.summary, True)):
        for row in rows:
            yield summary, row[0], cells(row)


def heading(title: str, table: ScoreTable) -> str:
    """Return the heading of a table among those with a common title."""
    return f"{title}: {table.title}" if table.title else title
