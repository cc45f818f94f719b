"""Detection of the layout of columns from the first lines of a file: tokens, tags, and columns that count.

A column that counts tokens, lines or sentences holds no tokens. If no empty lines separate the sentences, a new number of the
sentence does, or a count that starts again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

from ie_cli.errors import DataError, counted
from ie_cli.formats.common.base import Reading, quoted
from ie_cli.formats.common.tag_layers import Layers, choose_layers
from ie_cli.formats.common.tag_schemes import PREFIXED, TagStyle, is_nearly_all, split_tag, style_of

Row = list[str]
Block = list[tuple[int, str]]
"""The numbered lines between two empty ones."""
Counts = Literal["tokens", "sentences"]

_NEARLY_ALL = 0.9
_HEADER = set(
    """
    token tokens word words form text char character tag tags label labels ner ner_tag ner_tags ne entity iob bio gold pred
    predicted prediction pos chunk lemma id index idx sentence sent sentence_id sent_id token_id 词 字 标签
    """.split()  # noqa: SIM905
) | {"sentence #"}


@dataclass(frozen=True, slots=True)
class Layout:
    """The layout of a file of columns.

    Attributes:
        tabs: whether tabs separate the columns, or spaces.
        width: the usual number of columns.
        text: the column of the tokens.
        labels: the columns of the tags.
        styles: how the tags of each of these columns are written.
        counts: the columns that start a sentence where no empty line does, and what they count.
        header: the number of the line with the names of the columns, or None.
        notes: what is unusual, for the report of the reader.
        signature: what distinguishes the documents from those of version 0.1.
    """

    tabs: bool
    width: int
    text: int
    labels: tuple[int, ...]
    styles: tuple[TagStyle, ...]
    counts: Mapping[int, Counts] = field(default_factory=dict)
    header: int | None = None
    notes: tuple[str, ...] = ()
    signature: tuple[str, ...] = ()

    def split(self, line: str) -> Row:
        """Split a line into its columns."""
        return line.split("\t") if self.tabs else split_whitespace(line)

    def is_comment(self, line: str, row: Row) -> bool:
        """Return whether a line is a comment: it starts with # and has no tags or, in data without tags, another width."""
        if not line.startswith("#"):
            return False
        if not self.labels:
            return len(row) != self.width
        if len(row) <= max(self.text, *self.labels):
            return True
        return any(style.standard(row[c]) is None for c, style in zip(self.labels, self.styles, strict=True))


class SentenceStarts:
    """Finds the rows that start a sentence by the columns that count."""

    def __init__(self, counts: Mapping[int, Counts]) -> None:
        self._counts, self._before = counts, dict[int, str]()

    def starts(self, row: Row) -> bool:
        """Return whether a row starts another sentence than the row before."""
        found = False
        for column, what in self._counts.items():
            value = row[column] if column < len(row) else ""
            before = self._before.get(column)
            if not value or (what == "tokens" and not _is_number(value)):
                continue
            if before is not None:
                found |= value != before if what == "sentences" else int(value) < 2 and int(value) <= int(before)
            self._before[column] = value
        return found


def split_whitespace(line: str) -> Row:
    """Split a line at spaces and tabs; other whitespace, such as U+3000, may be a token."""
    return [part for part in line.replace("\t", " ").split(" ") if part]


def _split(line: str, *, tabs: bool) -> Row:
    return line.split("\t") if tabs else split_whitespace(line)


@dataclass(frozen=True, slots=True)
class _Table:
    """The first rows of a file, without comments and header, block by block."""

    tabs: bool
    width: int
    header: int | None
    blocks: list[list[tuple[int, Row]]]

    @classmethod
    def of(cls, blocks: Sequence[Block]) -> _Table:
        lines = [line for block in blocks for _, line in block]
        tabs = sum("\t" in line for line in lines) * 2 > len(lines)
        rows = [[(number, _split(line, tabs=tabs)) for number, line in block] for block in blocks]
        header = None
        for block, kept in zip(blocks, rows, strict=True):
            kept[:] = [pair for pair, (_, line) in zip(kept, block, strict=True) if not _is_remark(line, pair[1])]
        rows = [block for block in rows if block]
        if rows and _is_header(rows[0][0][1]):
            header = rows[0].pop(0)[0]
            rows = [block for block in rows if block]
        widths = Counter(len(row) for block in rows for _, row in block)
        return cls(tabs, max(widths, key=widths.__getitem__) if widths else 1, header, rows)

    def column(self, number: int) -> list[list[str]]:
        """Return the values of a column, block by block, from rows of the usual width."""
        return [[row[number] for _, row in block if len(row) == self.width] for block in self.blocks]

    def values(self, number: int) -> list[str]:
        """Return all values of a column."""
        return [value for block in self.column(number) for value in block]

    def sentences(self, number: int, counts: Mapping[int, Counts]) -> list[list[str]]:
        """Return the values of a column by sentence."""
        found: list[list[str]] = []
        for block in self.blocks:
            starts = SentenceStarts(counts)
            found.append([])
            for _, row in block:
                if len(row) == self.width:
                    if starts.starts(row):
                        found.append([])
                    found[-1].append(row[number])
        return found


def _is_remark(line: str, row: Row) -> bool:
    return line.startswith("#") and not any(split_tag(value) for value in row[1:])


def _is_header(row: Row) -> bool:
    """Return whether a row contains the names of columns instead of a token and its tags."""
    return sum(value.strip().lower() in _HEADER for value in row) >= 2 and not any(map(split_tag, row))


def looks_like_columns(lines: Sequence[str]) -> bool:
    """Return whether nearly all lines are rows of the same width with a column of tags."""
    table = _Table.of([list(enumerate(lines))])
    rows = [row for block in table.blocks for _, row in block]
    tagged = sum(len(row) > 1 and any(split_tag(value) for value in row[1:]) for row in rows)
    if rows and tagged > _NEARLY_ALL * len(rows):
        return True
    full = sum(len(row) == table.width for row in rows)
    return table.width > 1 and is_nearly_all(full, len(rows)) and bool(_tag_columns(table, range(table.width)))


def find_layout(blocks: Sequence[Block], path: str, reading: Reading) -> Layout:
    """Find the layout of a file from its first lines.

    Raises:
        DataError: a column that the options of reading name does not exist, or it is unclear which columns hold tags.
    """
    table = _Table.of(blocks)
    width, given = table.width, reading.text_column
    if not -width <= given < width:
        raise DataError(
            f"{path}: there is no column {given} (text_column): the lines have {counted(width, 'column')}",
            hint="change data.text_column in the recipe; columns are counted from 0.",
        )
    named = _named_columns(width, path, reading)
    fixed = given % width if given else None
    others = {column % width for column in reading.other_columns}
    tagged = _tag_columns(table, [c for c in range(width) if c != fixed and c not in others])
    if named is not None:
        tagged = {column: style_of(table.values(column)) or PREFIXED for column in named}
    counts = {c: what for c in range(width) if c not in (fixed, *tagged) and (what := _counts(table.column(c)))}
    text = fixed
    if text is None:
        text = next((c for c in range(width) if c not in tagged and c not in counts and c not in others), 0)
        counts.pop(text, None)
        if named is None:
            tagged.pop(text, None)
    groups = counts if len(table.blocks) == 1 else {}
    layers = Layers(named) if named is not None else _layers(table, tagged, groups, path, reading)
    styles = tuple(tagged[column] for column in layers.columns)
    notes = [f"column {column} counts {what}" for column, what in counts.items() if column < text or groups]
    notes += [f"line {table.header} is a header"] if table.header is not None else []
    notes += [layers.note] if layers.note else []
    notes += dict.fromkeys(style.note for style in styles if style.note)
    signature = (
        *((f"text {text}",) if text != given % width else ()),
        *((f"labels {layers.columns}",) if not layers.as_before else ()),
        *(("grouped",) if groups else ()),
        *(("header",) if table.header is not None else ()),
        *(style.example for style in styles if style is not PREFIXED),
    )
    return Layout(table.tabs, width, text, layers.columns, styles, groups, table.header, tuple(notes), signature)


def _named_columns(width: int, path: str, reading: Reading) -> tuple[int, ...] | None:
    if reading.label_columns is None:
        return None
    if wrong := [column for column in reading.label_columns if not -width <= column < width]:
        raise DataError(
            f"{path}: there is no column {wrong[0]} (label_columns): the lines have {counted(width, 'column')}",
            hint="change data.label_columns in the recipe; columns are counted from 0.",
        )
    return tuple(column % width for column in reading.label_columns)


def _tag_columns(table: _Table, columns: Sequence[int]) -> dict[int, TagStyle]:
    """Return the columns of tags with their style; columns in a rarer style do not count beside others."""
    found = {column: style for column in columns if (style := style_of(table.values(column))) is not None}
    # Words may be O; tags before the tokens are recognised only if they look like nothing else.
    found = {column: style for column, style in found.items() if column or style.rank < 2}
    best = min((style.rank for style in found.values()), default=0)
    return {column: style for column, style in found.items() if style.rank == best}


def _layers(
    table: _Table, tagged: Mapping[int, TagStyle], groups: Mapping[int, Counts], path: str, reading: Reading
) -> Layers:
    if not tagged:
        if table.width == 1 or not reading.annotation:
            return Layers(())
        raise _without_tags(table, path, reading)
    if not reading.annotation or len(tagged) == 1:
        return Layers((max(tagged),))
    tags = {
        column: [[style.standard(value) or value for value in sentence] for sentence in table.sentences(column, groups)]
        for column, style in tagged.items()
    }
    found = choose_layers(tags, width=table.width, nested=reading.nested)
    if found is None:
        names = ", ".join(map(str, tagged))
        raise DataError(
            f"{path}: the columns {names} contain tags, and it is unclear which to read: they are not layers of nested "
            "entities",
            hint="choose one with data.label_columns in the recipe, or list several to unite their entities.",
        )
    return found


def _without_tags(table: _Table, path: str, reading: Reading) -> DataError:
    """Return the error for data without tags; it shows the lines that prevent a column from being one of tags."""
    message = f"{path}: none of the {table.width} columns contains tags such as O and B-PER"
    rows = [(number, row) for block in table.blocks for number, row in block if len(row) == table.width]
    wrong = {c: [(n, row[c]) for n, row in rows if split_tag(row[c]) is None] for c in range(table.width)}
    if reading.text_column is not None and not wrong[text := reading.text_column % table.width]:
        return DataError(
            f"{path}: column {text} is named as the column of the tokens (text_column), but contains tags",
            hint="change data.text_column in the recipe; columns are counted from 0.",
        )
    column = min(wrong, key=lambda c: len(wrong[c]))
    if wrong[column] and 2 * len(wrong[column]) <= len(rows):
        number, value = wrong[column][0]
        message += (
            f" in nearly all lines; column {column} does not in {counted(len(wrong[column]), 'line')} of {len(rows)}, "
            f"first in line {number}: {quoted(value)}"
        )
    return DataError(message, hint="name the columns with data.label_columns in the recipe.")


def _counts(blocks: Sequence[Sequence[str]]) -> Counts | None:
    """Return what a column counts, or None if it does not count."""
    if _counts_tokens(blocks):
        return "tokens"
    return "sentences" if _counts_sentences([value for block in blocks for value in block]) else None


def _counts_tokens(blocks: Sequence[Sequence[str]]) -> bool:
    """Return whether a column counts the tokens of each sentence, or all lines; other values, as for ranges, are rare."""
    numbers = [[int(value) for value in block if _is_number(value)] for block in blocks]
    total, known = sum(map(len, blocks)), sum(map(len, numbers))
    steps = [second - first for block in numbers for first, second in pairwise(block)]
    if not steps or known < _NEARLY_ALL * total:
        return False
    ups = sum(step == 1 for step in steps)
    if len(blocks) > 1:
        return ups >= _NEARLY_ALL * len(steps)
    [only] = numbers
    restarts = sum(second == only[0] for first, second in pairwise(only) if second != first + 1)
    if ups + restarts < _NEARLY_ALL * len(steps) or 2 * ups < len(steps):
        return False
    # Otherwise a column of flags would count: 0 1 0 1.
    return only[0] < 2 and max(only) > only[0] + 1 if restarts else only[0] < 2 or len(only) > 2


def _counts_sentences(values: Sequence[str]) -> bool:
    """Return whether a column numbers the sentences: equal values are neighbours, or only the first one is given."""
    runs = [value for number, value in enumerate(values) if value and (not number or value != values[number - 1])]
    if not runs or 2 * len(runs) > len(values) or not all(any(map(str.isdigit, run)) for run in runs):
        return False
    if len(set(runs)) == len(runs):
        return True
    numbers = [int(run) for run in runs if _is_number(run)]
    return len(numbers) == len(runs) and all(b == a + 1 or b < 2 for a, b in pairwise(numbers))


def _is_number(value: str) -> bool:
    return value.isascii() and value.isdecimal() and len(value) < 10
