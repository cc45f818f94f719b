"""The agreement of two annotations as a self-contained web page: score tables and disagreements, all data escaped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ie_cli.document.markup import escape, escape_name
from ie_cli.evaluation.agreement import KINDS, Disagreement
from ie_cli.evaluation.agreement_scores import AgreementScores
from ie_cli.formats.html import PAGE_END, page_head
from ie_cli.reports.html import PAGE_STYLE, marked_sides, score_table


def agreement_page(
    scores: AgreementScores, disagreements: Sequence[Disagreement], names: tuple[str, str], summary: Sequence[str]
) -> str:
    """Return the web page.

    Args:
        scores: the scores.
        disagreements: the disagreements to list.
        names: the files.
        summary: sentences on what was compared.
    """
    return "".join(_parts(scores, disagreements, names, summary))


def _parts(
    scores: AgreementScores, disagreements: Sequence[Disagreement], names: tuple[str, str], summary: Sequence[str]
) -> Iterator[str]:
    title = f"A: {names[0]}, B: {names[1]}"
    yield page_head(PAGE_STYLE, escape_name(title))
    yield f"<h1>Agreement</h1>\n<p><bdi>{escape(title)}</bdi></p>\n"
    yield from (f"<p>{escape(line)}</p>\n" for line in summary)
    yield from map(score_table, scores.tables())
    yield "<h2>Disagreements</h2>\n"
    yield '<p><mark class="gold">A</mark>, <mark class="predicted">B</mark>, <mark class="both">both</mark></p>\n'
    yield from map(_article, disagreements)
    yield PAGE_END


def _article(case: Disagreement) -> str:
    shown = case.record
    where = " and ".join(dict.fromkeys(case.where))
    sides = "; ".join(
        f"{name} <bdi>{escape(side)}</bdi>" if side is not None else f"{name} nothing"
        for name, side in (("A", shown.gold), ("B", shown.predicted))
    )
    return (
        f"<article>\n<header><b>{escape(KINDS[case.kind])}</b> <small><bdi>{escape(where)}</bdi></small></header>\n"
        f'<p class="text" dir="auto">{marked_sides(shown.text, shown.marks)}</p>\n<small>{sides}</small>\n</article>\n'
    )
