"""`ie stats`: count what annotated data contain."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from ie_cli.commands.annotated import AnnotatedFiles, report_width
from ie_cli.commands.inputs import Input
from ie_cli.commands.progress import counting
from ie_cli.data.annotation_statistics import (
    PERCENTILES,
    AnnotationStatistics,
    Distribution,
    LabelCounts,
    by_number,
    sum_of,
)
from ie_cli.errors import DataError, counted
from ie_cli.metrics.scores import Row, ScoreTable
from ie_cli.system.streams import open_output

_SHOWN_TYPES = 3
_LENGTHS = ("min", *(f"{percent} %" for percent in PERCENTILES), "max")


def run_stats(given: Sequence[Input], *, as_json: bool, skip: bool, quiet: bool) -> None:
    """Print the counts of all files together to stdout.

    Raises:
        DataError: there is no record.
    """
    from ie_cli.reports.terminal import escape_controls, tables_text

    files = AnnotatedFiles.find(given, skip=skip, quiet=quiet)
    statistics = AnnotationStatistics()
    with counting("counting", quiet=quiet, size=files.sources.size()) as count:
        for document in files.documents(count):
            statistics.add(document)
    if not statistics.documents:
        raise DataError(f"{files.sources.describe()}: contains no record", hint="give a file with annotated texts.")
    with open_output("-") as out:
        if as_json:
            out.write(json.dumps({"files": _names(files), **statistics.to_dict()}, ensure_ascii=False) + "\n")
        else:
            out.write("".join(f"{escape_controls(line)}\n" for line in _lines(statistics)))
            out.write(tables_text(_tables(statistics), files.sources.describe(), width=report_width()))
    files.warn()


def _names(files: AnnotatedFiles) -> list[str | None]:
    """Return the names of the files; None for standard input, which has none."""
    return [None if path == "-" else path for path in files.sources.paths]


def _lines(found: AnnotationStatistics) -> Iterator[str]:
    """Yield the counts that are no table."""
    yield (
        f"{counted(found.documents, 'document')}, {found.empty:,} without annotation; "
        f"{counted(sum_of(found.characters), 'character')}, {counted(sum_of(found.tokens), 'token')}"
    )
    if entities := sum_of(found.entities_each):
        deep = f" (at most {found.depth} levels)" if found.nested else ""
        yield (
            f"{counted(entities, 'entity', 'entities')}: {found.nested:,} inside another one{deep}, {found.crossing:,} crossing "
            f"another one; {counted(found.several, 'span')} with several labels"
            f"{'; where the triples have no offsets, positions are guessed from their texts' if found.unlocated else ''}"
        )
    if relations := sum_of(found.relations_each):
        guessed = f", {found.unlocated:,} of them without offsets" if found.unlocated else ""
        yield f"{counted(relations, 'relation')}{guessed}"
    if found.events:
        yield counted(found.events.total(), "event")
    if found.pairs:
        scores = "" if found.scores is None else f", scores from {found.scores[0]:g} to {found.scores[1]:g}"
        yield f"{counted(found.pairs, 'pair of texts', 'pairs of texts')}{scores}"


def _tables(found: AnnotationStatistics) -> Iterator[ScoreTable]:
    lengths = {
        "characters of a document": found.characters,
        "tokens of a document": found.tokens,
        "entities of a document": found.entities_each if sum_of(found.entities_each) else Distribution(),
        "tokens of an entity": found.mention_tokens,
        "relations of a document": found.relations_each if sum_of(found.relations_each) else Distribution(),
        "characters of a relation": found.reach,
    }
    rows = tuple((name, (values.mean(), *_ends(values))) for name, values in lengths.items() if values)
    yield ScoreTable("lengths", ("", "mean", *_LENGTHS), rows)
    if found.labels:
        labels = tuple(_label_row(label, counts) for label, counts in by_number(found.labels))
        yield ScoreTable("characters of the entities", ("label", "entities", "documents", *_LENGTHS), labels)
    if found.predicates:
        predicates = tuple(_label_row(name, counts) for name, counts in by_number(found.predicates))
        columns = ("predicate", "relations", "documents", *_LENGTHS)
        yield ScoreTable("characters between subject and object", columns, predicates, notes=tuple(_types(found)))
    if found.events:
        roles = ((f"{name}: {role}", count) for (name, role), count in sorted(found.roles.items()))
        events = tuple((name, (count,)) for name, count in [*found.events.most_common(), *roles])
        yield ScoreTable("events and their arguments", ("type", "number"), events)
    if found.classes:
        classes = tuple((name, (count,)) for name, count in found.classes.most_common())
        yield ScoreTable("pairs", ("class", "number"), classes)


def _ends(values: Distribution) -> tuple[int | None, ...]:
    shares = (values.percentile(percent) for percent in PERCENTILES)
    return (min(values, default=None), *shares, max(values, default=None))


def _label_row(name: str, counts: LabelCounts) -> Row:
    return name, (counts.items, counts.documents, *_ends(counts.lengths))


def _types(found: AnnotationStatistics) -> Iterator[str]:
    """Yield the pairs of types that each predicate joins."""
    for name, counts in by_number(found.predicates):
        pairs = counts.types.most_common()
        if any(any(types) for types, _ in pairs):
            shown = ", ".join(f"{a or '?'} → {b or '?'} {count:,}" for (a, b), count in pairs[:_SHOWN_TYPES])
            yield f"{name}: {shown}{f', and {len(pairs) - _SHOWN_TYPES} more' if len(pairs) > _SHOWN_TYPES else ''}"
