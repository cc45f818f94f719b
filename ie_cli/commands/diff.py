"""`ie diff`: compare two annotations of the same texts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ie_cli.commands.annotated import AnnotatedFiles, report_width
from ie_cli.commands.console import say, warn
from ie_cli.commands.evaluate import Report
from ie_cli.commands.inputs import Input
from ie_cli.commands.progress import counting
from ie_cli.errors import DataError, counted
from ie_cli.system.streams import open_output

if TYPE_CHECKING:
    from ie_cli.evaluation.agreement import Agreement
    from ie_cli.evaluation.matching import Key, Matching

_LISTED = 20
"""The default number of disagreements on the terminal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffOptions:
    """How to compare two annotations, and how to report it.

    Attributes:
        by: what makes two records partners.
        as_json: whether one JSON object is printed.
        save: files for the result, as JSON or as a web page by their suffix.
        limit: the number of disagreements to list; None for all of them in JSON and on pages, and a few on the terminal.
        skip: whether bad lines are skipped.
    """

    by: Key = "auto"
    as_json: bool = False
    save: tuple[str, ...] = ()
    limit: int | None = None
    skip: bool = False
    quiet: bool = False

    @property
    def keep(self) -> int | None:
        """The number of disagreements to keep; None for all."""
        return self.limit if self.limit is not None or self.as_json or self.save else _LISTED


def run_diff(a: Input, b: Input, options: DiffOptions) -> None:
    """Print how far two annotations agree, and where they do not.

    Raises:
        DataError: no record has a partner.
    """
    from ie_cli.evaluation.agreement import Agreement
    from ie_cli.evaluation.matching import Matching

    Report(save=options.save).validate_save_path(a.path, b.path)
    one, other = (AnnotatedFiles.find([side], skip=options.skip, quiet=options.quiet) for side in (a, b))
    matching, agreement = Matching(options.by), Agreement(keep=options.keep)
    with counting("comparing", quiet=options.quiet, size=one.sources.size()) as count:
        for first, second in matching.pairs(one.documents(count, texts=False), other.documents(texts=False)):
            agreement.add(first, second)
    if not matching.matched:
        raise DataError(
            f"{a.path} and {b.path}: no record of one has a partner of the same {matching.by} in the other",
            hint=f"match by --by {'text' if matching.by == 'id' else 'id'}, or compare other files.",
        )
    names = _name(a.path), _name(b.path)
    _report(agreement, matching, (a.path, b.path), options)
    for files in (one, other):
        files.warn()
    for message in matching.describe_alone(names):
        warn(message)
    if agreement.truncated:
        warn(
            f"{counted(agreement.truncated, 'record')} with too many overlapping disagreements: only those of equal spans are "
            "paired there, all others are listed as only in A or only in B"
        )


def _report(agreement: Agreement, matching: Matching, paths: tuple[str, str], options: DiffOptions) -> None:
    names = _name(paths[0]), _name(paths[1])
    fields = _fields(agreement, matching, [None if path == "-" else path for path in paths])
    for path in options.save:
        with open_output(path) as out:
            out.write(_page(agreement, matching, names) if path.endswith(".html") else _json(fields))
        if not options.quiet:
            say(f"result: {path}")
    with open_output("-") as out:
        for part in [_json(fields)] if options.as_json else _text(agreement, matching, names, options):
            out.write(part)


def _name(path: str) -> str:
    return "standard input" if path == "-" else path


def _json(fields: dict[str, Any]) -> str:
    return json.dumps(fields, ensure_ascii=False) + "\n"


def _fields(agreement: Agreement, matching: Matching, paths: Sequence[str | None]) -> dict[str, Any]:
    return {
        "a": paths[0],
        "b": paths[1],
        "matched_by": matching.by,
        "only_a": matching.alone[0],
        "only_b": matching.alone[1],
        **agreement.scores().to_dict(),
        "disagreements": [case.to_dict() for case in agreement.disagreements],
    }


def _page(agreement: Agreement, matching: Matching, names: tuple[str, str]) -> str:
    from ie_cli.reports.agreement_page import agreement_page

    return agreement_page(
        agreement.scores(), agreement.disagreements, names, list(_summary(agreement, matching, names))
    )


def _text(agreement: Agreement, matching: Matching, names: tuple[str, str], options: DiffOptions) -> Iterator[str]:
    from ie_cli.reports.terminal import escape_controls, tables_text

    yield escape_controls(f"A: {names[0]}\nB: {names[1]}\n")
    yield tables_text(agreement.scores().tables(), "agreement", width=report_width())
    yield "".join(f"{escape_controls(line)}\n" for line in _summary(agreement, matching, names))
    shown = agreement.disagreements if options.limit is not None else agreement.disagreements[:_LISTED]
    for case in shown:
        yield f"  {escape_controls(case.line())}\n"
    if (rest := agreement.counts.total() - len(shown)) > 0 and options.limit != 0:
        yield f"  … and {rest:,} more: list more with --limit, or save all with --save FILE\n"


def _summary(agreement: Agreement, matching: Matching, names: tuple[str, str]) -> Iterator[str]:
    """Yield what was compared, and the number of disagreements by kind."""
    from ie_cli.evaluation.agreement import KINDS

    scores = agreement.scores()
    yield f"{counted(scores.documents, 'record')} matched by {matching.by}, {scores.equal:,} with the same annotation"
    kinds: dict[str, list[str]] = {}
    for (item, kind), count in scores.counts.items():
        kinds.setdefault(item, []).append(f"{KINDS[kind]} {count:,}")
    for item, parts in kinds.items():
        yield f"disagreements, {item}: {', '.join(parts)}"
    if not kinds:
        yield "no disagreements"
