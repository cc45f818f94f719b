"""Numbers as all reports show them."""

from __future__ import annotations

from collections.abc import Iterator

from ie_cli.metrics.scores import Row, ScoreTable


def number(value: float | None) -> str:
    """A score with four digits, a dash where there is none."""
    return "–" if value is None else f"{value:.4f}"


def cells(row: Row) -> tuple[str, ...]:
    """The values of a row; where a row has no counts at all, what it lacks is left empty."""
    _, values = row
    counted = any(isinstance(value, int) for value in values)
    return tuple(
        str(value) if isinstance(value, int) else number(value) if counted or value is not None else ""
        for value in values
    )


def all_rows(table: ScoreTable) -> Iterator[tuple[bool, str, tuple[str, ...]]]:
    """Whether a row belongs to the summary, its name, and its cells; from the top to the bottom of a table."""
    for rows, summary in ((table.rows, False), (table.summary, True)):
        for row in rows:
            yield summary, row[0], cells(row)


def heading(title: str, table: ScoreTable) -> str:
    """What stands above one of several tables of `title`."""
    return f"{title}: {table.title}" if table.title else title
