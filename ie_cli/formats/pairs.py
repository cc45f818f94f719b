"""Pairs of texts in columns: LCQMC, BQ, ATEC, PAWS-X, AFQMC, GLUE, and STS-B with tabs or as CSV.

The columns are text, text and label, also with an id before them, those that a header names (``pairs-json`` lists the names), or
those of the original STS benchmark. Tabs separate them, and quotes are part of the text; without tabs, the file is read as CSV,
whose texts may contain commas and line breaks in quotes. ``data.text_column`` names the column of the first text, which the
second one follows, and ``data.label_columns`` that of the label. The reader reports the columns.

A label is a class or, if it is a number with a decimal point, a grade, as in ``pairs-json``. Further columns with a name are user
fields. Output has tabs and a header; tabs and line breaks in a text become spaces.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import chain, islice

from ie_cli.document import Document
from ie_cli.errors import DataError, counted
from ie_cli.formats.common.base import (
    ENTITIES_LOST,
    EVENTS_LOST,
    RELATIONS_LOST,
    SCORES_LOST,
    BadLine,
    Lines,
    Reading,
    Record,
    count_id_and_fields,
    error_at,
    quoted,
)
from ie_cli.formats.common.pair_columns import (
    COLUMN_HINT,
    PairColumns,
    TextRow,
    are_commas,
    find_pair_columns,
    read_rows,
)
from ie_cli.formats.common.pair_fields import LOOK_AHEAD, PairLabels
from ie_cli.triples import triples_of

FRAME = ("sentence1\tsentence2\tlabel\n", "", "")
_BREAK = re.compile(r"[\t\n\r]")
_ROW_HINT = "write a row as text, tab, text, tab, label; or as CSV, with a text that contains commas in quotes."


def read(lines: Lines, path: str, reading: Reading) -> Iterator[Record]:
    """Yield a pair for each row."""
    stream = iter(lines)
    start = list(islice(stream, LOOK_AHEAD if reading.annotation else 2))
    commas = are_commas(line for _, line in start)
    rows = read_rows(chain(start, stream), commas=commas)
    head = list(islice(rows, LOOK_AHEAD if reading.annotation else 2))
    columns = find_pair_columns(head, path, reading, commas=commas)
    values = [_label(row, columns) for row in head if row.number != columns.header and _problem(row, columns) is None]
    labels = PairLabels.of(values, reading, graded=columns.graded)
    reading.report(f"{path}: {_about(columns, labels, reading, commas=commas)}")
    for row in chain(head, rows):
        if row.number == columns.header:
            continue
        where = f"{path}:{row.number}"
        try:
            if (problem := _problem(row, columns)) is not None:
                raise DataError(f"{problem}: {quoted(row.raw)}", hint=_ROW_HINT)
            yield _document(row, where, columns, labels if reading.annotation else None)
        except DataError as error:
            yield BadLine(where, row.raw, error_at(where, error, COLUMN_HINT))
    labels.report(path, reading)


def _about(columns: PairColumns, labels: PairLabels, reading: Reading, *, commas: bool) -> str:
    parts = [
        f"columns separated by {'commas' if commas else 'tabs'}, texts in columns {columns.text} and {columns.pair}"
    ]
    if reading.annotation:
        parts.append("no labels" if columns.label is None else f"{labels.describe()} in column {columns.label}")
    parts += [f"ids in column {columns.id}"] if columns.id is not None else []
    header = "" if columns.header is None else f"; line {columns.header} is a header"
    return f"{', '.join(parts)} (counted from 0){header}"


def _problem(row: TextRow, columns: PairColumns) -> str | None:
    """Return what is wrong with a row, or None."""
    if row.problem:
        return row.problem
    got = len(row.columns)
    if got == columns.width or (columns.more and got > columns.width):
        return None
    return f"expected {counted(columns.width, 'column')}, got {got}"


def _label(row: TextRow, columns: PairColumns) -> str:
    return "" if columns.label is None else row.columns[columns.label].strip()


def _document(row: TextRow, where: str, columns: PairColumns, labels: PairLabels | None) -> Document:
    """Return the pair of a row; without `labels`, its label is not read."""
    label, score = labels.parse(_label(row, columns)) if labels is not None else (None, None)
    return Document(
        row.columns[columns.text],
        id=row.columns[columns.id] if columns.id is not None else None,
        meta={name: row.columns[column] for column, name in columns.others.items()},
        where=where,
        text_pair=row.columns[columns.pair],
        label=label,
        score=score,
    )


def write(document: Document) -> str:
    """Return the row of a pair; its label is its class, or else its grade."""
    label = document.label if document.label is not None else "" if document.score is None else repr(document.score)
    return "\t".join(_BREAK.sub(" ", part) for part in (document.text, document.text_pair or "", label)) + "\n"


def count_losses(document: Document) -> Mapping[str, int]:
    """Count what `write` cannot store."""
    label, score = document.label, document.score
    scores = [entity.score for entity in document.entities] + [relation.score for relation in document.relations]
    rare = {
        "second texts, which these records lack, are written as empty texts": int(document.text_pair is None),
        "second texts in which tabs and line breaks become spaces": int(bool(_BREAK.search(document.text_pair or ""))),
        "texts in which tabs and line breaks become spaces": int(bool(_BREAK.search(document.text))),
        "second texts whose label is not read as it is written": int(label is not None and not _is_kept(label)),
        "second texts with a class lose their grade": int(label is not None and score is not None),
        ENTITIES_LOST: len(set(document.entities)),
        RELATIONS_LOST: len(set(document.relations) if document.spos is None else triples_of(document)),
        EVENTS_LOST: len(set(document.events)),
        SCORES_LOST: sum(value is not None for value in scores),
    }
    return {what: count for what, count in rare.items() if count} | count_id_and_fields(document)


def _is_kept(label: str) -> bool:
    """Return whether a class is read again as it is; a number with a decimal point would be a grade."""
    try:
        is_number = not label.strip("+-").isdecimal() and float(label) is not None
    except ValueError:
        is_number = False
    return label == label.strip() and label not in ("", "-") and not is_number and not _BREAK.search(label)
