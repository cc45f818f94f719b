"""CoNLL columns: one token per line and an empty line between sentences; the text is joined from the tokens.

Tabs or spaces, any column and any tag scheme are supported; two tag columns hold nested entities, as in GermEval. The reader
detects the columns from the first 2,000 sentences and reports them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from ie_cli.document import Document, Entity
from ie_cli.errors import DataError, counted
from ie_cli.formats.common.base import BadLine, Lines, Reading, Record, quoted
from ie_cli.formats.common.joining import join_tokens
from ie_cli.formats.common.tag_schemes import scheme_of, spans_of, split_tag

DOCUMENT = "-DOCSTART-"
"""The token that marks the start of a document; its line is not part of the text."""
INVALID_TAGS = (
    "{path}: {count} without a preceding tag of the same entity; each starts an entity, as in conlleval and seqeval"
)
"""The report of invalid tag sequences."""
_LOOK_AHEAD = 2000
_PROBLEM_HINTS = {
    True: "check the columns, and data.text_column and data.label_columns in the recipe.",
    False: "check the columns, and data.text_column in the recipe.",
}


@dataclass(slots=True)
class _Sentence:
    number: int
    lines: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Layout:
    tabs: bool
    width: int
    text: int
    labels: tuple[int, ...]
    joiner: str | None
    annotation: bool

    @property
    def need(self) -> int:
        """The minimum number of columns; tag columns count only if they are read."""
        return max((self.text, *(self.labels if self.annotation else ()))) + 1

    def problem(self, row: Sequence[str]) -> str | None:
        """Return what is wrong with the columns of a line, or None."""
        if len(row) < self.need:
            return f"expected at least {counted(self.need, 'column')}, got {len(row)}"
        if not row[self.text]:
            return "the token is empty"
        if self.annotation and (wrong := [row[c] for c in self.labels if split_tag(row[c]) is None]):
            return f"expected a tag such as O or B-PER, got {quoted(wrong[0])}"
        return None

    def is_comment(self, line: str, row: Sequence[str]) -> bool:
        """Return whether a line is a comment: it starts with # and has no tags or, in data without tags, another width."""
        if not line.startswith("#"):
            return False
        if not self.labels:
            return len(row) != self.width
        return len(row) <= max(self.text, *self.labels) or any(split_tag(row[c]) is None for c in self.labels)

    def split(self, line: str) -> list[str]:
        return line.split("\t") if self.tabs else split_whitespace(line)


def split_whitespace(line: str) -> list[str]:
    """Split a line at spaces and tabs; other whitespace, such as U+3000, may be a token."""
    return [part for part in line.replace("\t", " ").split(" ") if part]


def read(lines: Lines, path: str, reading: Reading) -> Iterator[Record]:
    """Yield an example for each sentence."""
    sentences = _sentences(lines)
    head = list(islice(sentences, _LOOK_AHEAD))
    layout = _layout(head, path, reading)
    rows = [[layout.split(line) for line in sentence.lines] for sentence in head]
    schemes = {
        scheme_of([[row[column] for row in sentence if len(row) > column] for sentence in rows])
        for column in layout.labels
    }
    columns = ", ".join(str(column) for column in layout.labels) or "none"
    reading.report(
        f"{path}: columns separated by {'tabs' if layout.tabs else 'spaces'}, tokens in column {layout.text}, "
        f"tags in column {columns} (counted from 0){', ' + '/'.join(sorted(schemes)) if schemes else ''}"
    )
    del rows
    repaired = 0
    for sentence in _chain(head, sentences):
        record, broken = _record(sentence, layout, path)
        # In IOB1 an entity may start with I, which is not an error.
        repaired += broken if schemes != {"IOB1"} else 0
        if record is not None:
            yield record
    if repaired:
        reading.report(INVALID_TAGS.format(path=path, count=counted(repaired, "tag")))


def _chain(head: list[_Sentence], rest: Iterator[_Sentence]) -> Iterator[_Sentence]:
    while head:
        yield head.pop(0)
    yield from rest


def _sentences(lines: Lines) -> Iterator[_Sentence]:
    sentence: _Sentence | None = None
    for number, line in lines:
        if not line.strip():
            if sentence is not None:
                yield sentence
            sentence = None
        elif line.startswith(DOCUMENT):
            continue
        else:
            sentence = sentence or _Sentence(number)
            sentence.lines.append(line)
    if sentence is not None:
        yield sentence


def _layout(head: Sequence[_Sentence], path: str, reading: Reading) -> _Layout:
    lines = [line for sentence in head for line in sentence.lines]
    tabs = sum("\t" in line for line in lines) * 2 > len(lines)
    rows = [line.split("\t") if tabs else split_whitespace(line) for line in lines]
    rows = [row for row, line in zip(rows, lines, strict=True) if not (line.startswith("#") and _no_tags(row))]
    widths = Counter(len(row) for row in rows)
    width = max(set(widths), key=widths.__getitem__) if widths else 1
    text = reading.text_column % width if -width <= reading.text_column < width else None
    if text is None:
        raise DataError(
            f"{path}: there is no column {reading.text_column} (text_column): the lines have {counted(width, 'column')}",
            hint="change data.text_column in the recipe; columns are counted from 0.",
        )
    labels = _label_columns(rows, width, text, path, reading)
    return _Layout(tabs, width, text, labels, reading.joiner, reading.annotation)


def _label_columns(rows: Sequence[list[str]], width: int, text: int, path: str, reading: Reading) -> tuple[int, ...]:
    if reading.label_columns is not None:
        if wrong := [column for column in reading.label_columns if not -width <= column < width]:
            raise DataError(
                f"{path}: there is no column {wrong[0]} (label_columns): the lines have {counted(width, 'column')}",
                hint="change data.label_columns in the recipe; columns are counted from 0.",
            )
        return tuple(column % width for column in reading.label_columns)
    full = [row for row in rows if len(row) == width]
    tagged = [column for column in range(width) if column != text and _mostly_tags([row[column] for row in full])]
    if not tagged:
        if width == 1 or not reading.annotation:
            return ()
        raise DataError(
            f"{path}: none of the {width} columns contains tags such as O and B-PER",
            hint="name the columns with data.label_columns in the recipe.",
        )
    if len(tagged) == 2 and width <= 4:
        first, second = ({p[1] for row in full if (p := split_tag(row[c])) and p[1]} for c in tagged)
        # Two layers of nested entities share labels; chunk tags next to entity tags do not.
        if first & second or not second:
            return tuple(tagged)
    return (tagged[-1],)


def _no_tags(row: Sequence[str]) -> bool:
    return not any(split_tag(value) for value in row[1:])


def _mostly_tags(values: Sequence[str]) -> bool:
    return sum(split_tag(value) is not None for value in values) > 0.98 * len(values)


def _record(sentence: _Sentence, layout: _Layout, path: str) -> tuple[Record | None, int]:
    where = f"{path}:{sentence.number}"
    tokens: list[str] = []
    tags: list[list[str]] = [[] for _ in layout.labels]
    for number, line in enumerate(sentence.lines, sentence.number):
        row = layout.split(line)
        if layout.is_comment(line, row):
            continue
        if problem := layout.problem(row):
            error = DataError(f"{path}:{number}: {problem}: {quoted(line)}", hint=_PROBLEM_HINTS[layout.annotation])
            return BadLine(where, "\n".join(sentence.lines), error), 0
        tokens.append(row[layout.text])
        if layout.annotation:
            for column, sequence in zip(layout.labels, tags, strict=True):
                sequence.append(row[column])
    if not tokens:
        return None, 0
    text, starts = join_tokens(tokens, layout.joiner)
    entities: set[Entity] = set()
    repaired = 0
    for sequence in tags:
        spans, broken = spans_of(sequence)
        repaired += broken
        entities.update(Entity(starts[a], starts[b] + len(tokens[b]), label) for a, b, label in spans)
    return Document(text, sorted(entities), where=where), repaired
