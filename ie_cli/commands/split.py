"""`ie split`: divide data into train, dev and test."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ie_cli.commands.annotated import AnnotatedFiles, require_outputs
from ie_cli.commands.console import console, say
from ie_cli.commands.inputs import Input
from ie_cli.commands.progress import counting
from ie_cli.commands.records import (
    Output,
    RecordWriter,
    Tally,
    open_target,
    output_format_of,
    report_omissions,
    report_setup,
)
from ie_cli.errors import DataError, counted
from ie_cli.formats import FORMATS, Format
from ie_cli.formats.suffixes import suffix_of
from ie_cli.metrics.scores import ScoreTable
from ie_cli.reports.terminal import print_tables
from ie_cli.system.atomic import storing
from ie_cli.system.streams import is_replaceable
from ie_cli.system.urls import is_url

if TYPE_CHECKING:
    from ie_cli.data.split_plan import SplitOptions, SplitPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitOutput:
    """Where the parts are written.

    Attributes:
        directory: the directory of the files.
        format: the name of the format; None for that of the input.
        force: whether existing files are replaced.
    """

    directory: str
    format: str | None = None
    force: bool = False


def run_split(given: Sequence[Input], output: SplitOutput, options: SplitOptions, *, skip: bool, quiet: bool) -> None:
    """Read the data twice: to decide the part of each record, and to write it there."""
    from ie_cli.data.split_plan import PARTS, plan_split

    asked = None if output.format is None else output_format_of(output.format, "-")
    files = AnnotatedFiles.find(given, skip=skip, quiet=quiet)
    files.require_rereadable()
    columns = options.by == "document" and options.document_field is None
    with counting("reading", quiet=quiet, size=files.sources.size()) as count:
        plan = plan_split(files.documents(count, keep_columns=columns), options)
    target = asked or _same_format(files)
    names = {part: name for part, name in enumerate(PARTS) if options.shares[part]}
    for part, name in names.items():
        if not plan.records[part]:
            raise DataError(
                f"{files.sources.describe()}: {name} would be empty: {counted(len(plan.parts), 'record')} in "
                f"{counted(len(set(plan.digests)), 'text')}",
                hint="use a larger share, or more data.",
            )
    suffix = _suffix_for(target, files.sources.paths[0], same=target.name in files.detected)
    paths = {part: str(Path(output.directory, f"{name}{suffix}")) for part, name in names.items()}
    with storing(output.directory):
        Path(output.directory).mkdir(parents=True, exist_ok=True)
    require_outputs([*paths.values()], target, files.sources)
    _require_new([*paths.values()], force=output.force)
    tally = _write(files, plan, paths, target, quiet=quiet)
    if not quiet:
        _report(plan, paths, target)
        report_setup(tally, target)
    files.warn()
    report_omissions(tally, Output(output.directory, on_error="stop"))


def _write(files: AnnotatedFiles, plan: SplitPlan, paths: dict[int, str], target: Format, *, quiet: bool) -> Tally:
    """Write the parts; none gets its name before all are complete."""
    tallies = {part: Tally() for part in paths}
    with ExitStack() as stack, counting("writing", quiet=quiet, size=files.sources.size()) as count:
        writers = {
            part: RecordWriter(target, "stop", stack.enter_context(open_target(target, path)), None, tallies[part])
            for part, path in paths.items()
        }
        for writer in writers.values():
            writer.begin()
        header: tuple[str, ...] = ()
        for part, document in plan.follow(files.documents(count, again=True, keep_columns=target.name == "conll")):
            if (columns := document.columns) is not None:  # a header is needed by each part
                rest = columns.without_header()
                header = header or columns.before[: len(columns.before) - len(rest.before)]
                first = not tallies[part].written
                document.columns = replace(rest, before=(*header, *rest.before)) if first else rest
            writers[part].add(document)
        for writer in writers.values():
            writer.end()
    total = Tally()
    for tally in tallies.values():
        total.lost.update(tally.lost)
        total.labels |= tally.labels
        total.predicates |= tally.predicates
    return total


def _report(plan: SplitPlan, paths: dict[int, str], target: Format) -> None:
    total = len(plan.parts)
    shares = (f"{counted(plan.records[part], 'record')} ({plan.records[part] / total:.1%})" for part in paths)
    for path, share in zip(paths.values(), shares, strict=True):
        say(f"{path}: {share}")
    number, records = plan.duplicates
    if number:
        say(f"near duplicates are kept together: {counted(records, 'record')} in {counted(number, 'group')}")
    if plan.documents is not None:
        say(f"documents are kept together: {counted(plan.documents, 'document')}")
    if plan.items:
        print_tables(console, [_table(plan, paths)], target.name)


def _table(plan: SplitPlan, paths: dict[int, str]) -> ScoreTable:
    """Return a table with the number of items of each label in each part."""
    several = len({kind for kind, _ in plan.items}) > 1
    ordered = sorted(plan.items.items(), key=lambda item: (item[0][0], -sum(item[1]), item[0][1]))
    missing = [label for (_, label), counts in ordered if not all(counts[part] for part in paths)]
    return ScoreTable(
        "items",
        ("label", *(Path(path).name.partition(".")[0] for path in paths.values()), "all"),
        tuple(
            (f"{kind} {label}" if several else label, (*(counts[part] for part in paths), sum(counts)))
            for (kind, label), counts in ordered
        ),
        notes=(f"not in every part: {', '.join(missing)}",) if missing else (),
    )


def _same_format(files: AnnotatedFiles) -> Format:
    """Return the format in which the files were found, for output in the same format.

    Raises:
        DataError: there are several, or it cannot be written.
    """
    names = list(files.detected) or ["jsonl"]  # the data sets of the Hub have no format
    if len(names) > 1:
        raise DataError(
            f"{files.sources.describe()}: the files have several formats: {', '.join(names)}",
            hint="name the format of the output with --to.",
        )
    target = FORMATS[names[0]]
    if not target.writable:
        raise DataError(
            f"{files.sources.paths[0]}: format '{target.name}' cannot be written", hint="name another one with --to."
        )
    return target


def _require_new(paths: Sequence[str], *, force: bool) -> None:
    """Check that no output replaces a file.

    Raises:
        DataError: a file of this name exists, and `force` is false.
    """
    for path in paths:
        if not force and is_replaceable(path) and os.path.exists(path):
            raise DataError(f"{path}: this file exists", hint="replace it with --force, or choose another place.")


def _suffix_for(target: Format, path: str, *, same: bool) -> str:
    """Return the suffix of outputs in a format.

    Args:
        target: the format.
        path: an input.
        same: whether the input has the same format, so that its suffix, with that of its compression, fits.

    >>> _suffix_for(FORMATS["conll"], "a/train.txt.gz", same=True), _suffix_for(FORMATS["conll"], "a/train.txt", same=False)
    ('.txt.gz', '.conll')
    >>> _suffix_for(FORMATS["brat"], "corpus.v2", same=True), _suffix_for(FORMATS["tsv"], "a.csv", same=False)
    ('', '.tsv')
    """
    if target.container is not None and target.container.directories:
        return ""
    if same and (suffix := suffix_of(path)) and not is_url(path):
        return path[path.lower().rindex(suffix) :]
    if target.suffixes:
        return target.suffixes[0]
    if "\t" in target.frame[0]:  # the names of columns
        return ".tsv"
    return ".json" if target.by_line or target.frame[0] else ".txt"
