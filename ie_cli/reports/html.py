"""The result of an evaluation as a self-contained web page: score tables, examples of errors, and the environment.

The page contains no scripts, and its policy forbids them; all data are escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise

from ie_cli.document.markup import escape, escape_name, style_of
from ie_cli.evaluation.result import EvaluationResult
from ie_cli.formats.html import PAGE_END, STYLE, page_head
from ie_cli.metrics.scores import ErrorRecord, ScoreTable
from ie_cli.reports.cells import all_rows

PAGE_STYLE = (
    STYLE
    + """
h1, h2 { line-height: 1.3; }
table { border-collapse: collapse; line-height: 1.6; }
th, td { padding: .1rem .6rem; text-align: right; font-variant-numeric: tabular-nums; border-bottom: 1px solid #8883; }
th, td { overflow-wrap: normal; }
th:first-child { text-align: left; }
th:first-child, td:only-of-type { overflow-wrap: anywhere; }
tbody th { font-weight: normal; }
tbody + tbody { border-top: 2px solid #8888; }
"""
    + "".join(f"mark.{side} {{ {style_of(number)}; }}\n" for number, side in enumerate(("gold", "predicted", "both")))
)


def html_page(result: EvaluationResult) -> str:
    """Return the web page for a result."""
    return "".join(_parts(result))


def _parts(result: EvaluationResult) -> Iterator[str]:
    yield page_head(PAGE_STYLE, escape_name(result.title))
    yield f"<h1><bdi>{escape(result.title)}</bdi></h1>\n"
    for table in result.scores.tables():
        yield score_table(table)
    if (context := result.context_line()) is not None:
        yield f"<h2>Neighbours</h2>\n<p>{escape(context)}</p>\n"
    yield f"<h2>Errors</h2>\n<p>{escape(result.errors.line())}</p>\n"
    if result.errors.cases:
        yield (
            '<p>Examples: <mark class="gold">gold</mark>, <mark class="predicted">predicted</mark>, '
            '<mark class="both">both</mark>.</p>\n'
        )
    for kind, words in result.errors.kinds.items():
        yield from (_case(words, case) for case in result.errors.cases if case.kind == kind)
    facts = {"task": result.task, **result.environment}
    yield f"<h2>Environment</h2>\n<table>\n<tbody>\n{''.join(_fact(*fact) for fact in facts.items())}</tbody>\n</table>\n"
    yield PAGE_END


def score_table(table: ScoreTable) -> str:
    """Return a table of scores with its title and its notes."""
    head = "".join(f'<th scope="col">{escape(column)}</th>' for column in table.columns)
    rows: dict[bool, str] = {False: "", True: ""}
    for summary, name, values in all_rows(table):
        values_html = "".join(f"<td>{escape(value)}</td>" for value in values)
        rows[summary] += f'<tr><th scope="row"><bdi>{escape(name)}</bdi></th>{values_html}</tr>\n'
    title = f"<h2><bdi>{escape(table.title)}</bdi></h2>\n" if table.title else ""
    body = "".join(f"<tbody>\n{part}</tbody>\n" for part in rows.values() if part)
    notes = "".join(f"<p>{escape(note)}</p>\n" for note in table.notes)
    return f"{title}<table>\n<thead>\n<tr>{head}</tr>\n</thead>\n{body}</table>\n{notes}"


def _case(words: str, case: ErrorRecord) -> str:
    sides = "; ".join(
        f"{name} <bdi>{escape(side)}</bdi>" if side is not None else f"{name} nothing"
        for name, side in (("gold", case.gold), ("predicted", case.predicted))
    )
    return (
        f"<article>\n<header><b>{escape(words)}</b> <small><bdi>{escape(case.where)}</bdi></small></header>\n"
        f'<p class="text" dir="auto">{marked_sides(case.text, case.marks)}</p>\n<small>{sides}</small>\n</article>\n'
    )


def marked_sides(text: str, marks: Iterable[tuple[int, int, str]]) -> str:
    """Split a text at the boundaries of its marks, and mark each piece by the sides that it belongs to."""
    marks = list(marks)
    boundaries = sorted({0, len(text), *(boundary for start, end, _ in marks for boundary in (start, end))})
    pieces = []
    for start, end in pairwise(boundaries):
        sides = {side for first, last, side in marks if first <= start and end <= last}
        piece = escape(text[start:end])
        kind = "both" if len(sides) > 1 else next(iter(sides), None)
        pieces.append(piece if kind is None else f'<mark class="{escape_name(kind)}">{piece}</mark>')
    return "".join(pieces)


def _fact(name: str, value: str) -> str:
    return f'<tr><th scope="row">{escape(name)}</th><td><bdi>{escape(value)}</bdi></td></tr>\n'
