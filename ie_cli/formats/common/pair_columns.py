"""Rows of texts in columns, separated by tabs or commas, and the detection of the columns of the texts and labels of pairs."""

from __future__ import annotations

import csv
import re
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import dropwhile

from ie_cli.errors import DataError, counted
from ie_cli.formats.common.base import Lines, Reading
from ie_cli.formats.common.joining import CJK_RANGES
from ie_cli.formats.common.pair_fields import PairNames, is_whole, looks_like_label
from ie_cli.formats.common.tag_schemes import is_nearly_all

COLUMN_HINT = (
    "add a first line with the names of the columns, such as sentence1, sentence2 and label; or name the column of the first "
    "text, which the second one must follow, with data.text_column in the recipe, and that of the label with "
    "data.label_columns in the recipe."
)
_MOST_LINES = 30
"""Number of lines of a row in quotes, beyond which its quote is taken for one that is never closed."""
_BENCHMARK = ("genre", "file", "year", "index", "score", "sentence1", "sentence2")
"""The columns of the original files of the STS benchmark, which have no header; up to two sources may follow."""
_GENRE = re.compile(r"main-[a-z]+")
# Scripts without spaces between words; in others, a text has at least two words.
_TEXT = re.compile(
    rf"\S\s+\S|(?:[{CJK_RANGES}\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\uac00-\ud7af].*?){{4}}", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class TextRow:
    """A row of a file: the number of its first line, its lines, and its columns or the reason why it has none."""

    number: int
    raw: str
    columns: tuple[str, ...] = ()
    problem: str = ""


def read_rows(lines: Lines, *, commas: bool) -> Iterator[TextRow]:
    """Yield the rows of a file, without empty lines; a row in quotes may have several lines."""
    if commas:
        yield from _rows_in_quotes(lines)
        return
    for number, line in lines:
        if "\t" in line or line.strip():
            yield TextRow(number, line, tuple(line.split("\t")))


def _rows_in_quotes(lines: Lines) -> Iterator[TextRow]:
    """Yield the rows of comma-separated values, as RFC 4180 describes them."""
    stream = iter(lines)
    waiting: deque[tuple[int, str]] = deque()
    while True:
        first = waiting.popleft() if waiting else next(stream, None)
        if first is None:
            return
        number, line = first
        if not line.strip():
            continue
        others: list[tuple[int, str]] = []
        row = _parse_row(number, [line])
        while row.problem and '"' in line and len(others) < _MOST_LINES:
            following = waiting.popleft() if waiting else next(stream, None)
            if following is None:
                break
            others.append(following)
            if not (longer := _parse_row(number, [line, *(text for _, text in others)])).problem:
                row = longer
                break
        if row.problem:  # the other lines may be rows of their own
            waiting.extendleft(reversed(others))
        yield row


def _parse_row(number: int, lines: Sequence[str]) -> TextRow:
    raw = "\n".join(lines)
    try:
        rows = list(csv.reader([f"{line}\n" for line in lines], strict=True))
    except csv.Error as error:
        return TextRow(number, raw, problem=f"not a row of comma-separated values: {str(error).partition(' - ')[0]}")
    if len(rows) > 1:  # a quote that a line closes, and further rows
        return TextRow(number, raw, problem="not a row of comma-separated values: a quote is not closed in its line")
    return TextRow(number, raw, tuple(rows[0]))


@dataclass(frozen=True, slots=True)
class PairColumns:
    """The columns of a file.

    Attributes:
        width: the number of columns.
        text, pair: the columns of the texts.
        label: the column of the label, None if there is none.
        graded: whether its name says that it holds grades.
        id: the column of the id.
        others: the names of the other columns that are kept.
        header: the number of the line with the names.
        more: whether rows may have more columns.
    """

    width: int
    text: int
    pair: int
    label: int | None
    graded: bool = False
    id: int | None = None
    others: Mapping[int, str] = field(default_factory=dict)
    header: int | None = None
    more: bool = False


def are_commas(lines: Iterable[str]) -> bool:
    """Return whether commas separate the columns, not tabs."""
    some = [line for line in lines if line.strip()]
    return sum("\t" in line for line in some) * 2 <= len(some)


def find_pair_columns(rows: Sequence[TextRow], path: str, reading: Reading, *, commas: bool) -> PairColumns:
    """Find the columns from the first rows, or take them from the options of reading.

    Raises:
        DataError: it is unclear what the columns are, or there is no column that the options name.
    """
    whole = [row for row in rows if not row.problem]
    if not whole:
        raise DataError(f"{path}: the file contains no rows of texts", hint=COLUMN_HINT)
    named = _named(whole[0])
    table = [row.columns for row in (whole[1:] if named is not None else whole)]
    widths = Counter(map(len, table))
    width = named.width if named is not None else max(widths, key=widths.__getitem__)
    if reading.text_column or reading.label_columns is not None:
        return _given(width, named, path, reading)
    found = named or _detected([row for row in table if len(row) == width], width)
    if found is None:
        kind = "commas" if commas else "tabs"
        raise DataError(
            f"{path}: it is unclear which of the {counted(width, 'column')}, separated by {kind}, hold the two texts and the "
            "label of a pair",
            hint=COLUMN_HINT,
        )
    return found


def _named(row: TextRow) -> PairColumns | None:
    """Return the columns by their names, or None if the first row is no header."""
    names = PairNames.of(row.columns)
    if names is None:
        return None
    place = {name: number for number, name in reversed(list(enumerate(row.columns)))}
    number = None if names.id is None else place[names.id]
    used = {place[names.text], place[names.pair], number, None if names.label is None else place[names.label]}
    others = {column: name.strip() for name, column in place.items() if column not in used and name.strip()}
    label = None if names.label is None else place[names.label]
    return PairColumns(
        len(row.columns), place[names.text], place[names.pair], label, names.graded, number, others, row.number
    )


def _given(width: int, named: PairColumns | None, path: str, reading: Reading) -> PairColumns:
    """Return the columns that the options of reading name.

    Raises:
        DataError: they name one that does not exist, or several of labels, or the same for two purposes.
    """
    columns = [reading.text_column, *(reading.label_columns or ())]
    if wrong := [column for column in columns if not -width <= column < width]:
        raise DataError(
            f"{path}: there is no column {wrong[0]}: the lines have {counted(width, 'column')}",
            hint="change data.text_column or data.label_columns in the recipe; columns are counted from 0.",
        )
    text, *labels = (column % width for column in columns)
    if len(labels) > 1 or text + 1 >= width or {text, text + 1} & set(labels):
        raise DataError(
            f"{path}: a pair has its first text in column {text} (text_column), its second text in column {text + 1}, and its "
            f"label in one other column, got label_columns {labels} in {counted(width, 'column')}",
            hint=COLUMN_HINT,
        )
    rest = [column for column in range(text + 2, width)]
    label = labels[0] if labels else next(iter(rest), None)
    header = None if named is None else named.header
    graded = named is not None and named.graded and named.label == label
    return PairColumns(width, text, text + 1, label, graded, header=header)


def _detected(rows: Sequence[Sequence[str]], width: int) -> PairColumns | None:
    """Return the columns by their contents: text, text, label; an id before them; or those of the STS benchmark."""
    columns = list(zip(*rows, strict=True))
    if width == 2:
        return PairColumns(2, 0, 1, None)
    if width >= len(_BENCHMARK) and all(_GENRE.fullmatch(value) for value in columns[0]):
        others = {column: name for column, name in enumerate(_BENCHMARK[:4])}
        return PairColumns(len(_BENCHMARK), 5, 6, 4, graded=True, others=others, more=True)
    counts = all(map(is_whole, columns[0]))
    texts = _are_texts(columns[-1])
    if width == 3 and not texts:
        labels = all(looks_like_label(value.strip()) for value in columns[2])
        return PairColumns(3, 0, 1, 2) if labels or not counts else None  # numbers before short texts may be ids
    if width == (3 if texts else 4) and counts and len(set(columns[0])) == len(columns[0]):
        return PairColumns(width, 1, 2, None if texts else 3, id=0)
    return None


def _are_texts(values: Sequence[str]) -> bool:
    """Return whether at least half of the values are texts, not single words."""
    return 2 * sum(_TEXT.search(value) is not None for value in values) >= len(values) > 0


def looks_like_pairs(lines: Sequence[tuple[int, str]]) -> bool:
    """Return whether the first lines of a file are clearly rows of pairs: a header names them, or texts precede their labels.

    Rows of tokens are none: an empty line follows each of their sentences, and they have a token where a pair has a text.
    """
    given = list(dropwhile(lambda numbered: not numbered[1].strip(), lines))
    while given and not given[-1][1].strip():
        given.pop()
    commas = are_commas(line for _, line in given)
    rows = [row for row in read_rows(given, commas=commas) if not row.problem]
    if not commas and len(rows) < len(given):
        return False  # empty lines separate something
    named = _named(rows[0]) if rows else None
    table = [row.columns for row in (rows[1:] if named is not None else rows)]
    widths = Counter(map(len, table))
    width = named.width if named is not None else max(widths, key=widths.__getitem__, default=0)
    if not is_nearly_all(widths[width], len(table)):
        return bool(named is not None and not table)
    if named is not None:
        return True
    same = [row for row in table if len(row) == width]
    found = _detected(same, width)
    if found is None or found.label is None:
        return False
    columns = list(zip(*same, strict=True))
    labels = sum(map(looks_like_label, map(str.strip, columns[found.label])))
    return is_nearly_all(labels, len(same)) and _are_texts(columns[found.text]) and _are_texts(columns[found.pair])
