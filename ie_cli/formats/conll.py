"""CoNLL columns: one token per line and an empty line between sentences; the text is joined from the tokens.

Tabs or spaces, any column and any tag scheme are supported, also `PER-B`, labels without prefixes, and prefixes without labels.
Several tag columns hold nested entities if those of one are inside or around those of the other, as in GermEval. The reader
detects the columns from the first 2,000 sentences and reports them. A header and columns that count tokens or sentences are
not part of the text. Tokens that are single characters are joined with nothing, words with spaces. spaCy's `.iob`, one sentence
per line with tokens such as `Ann|NNP|B-PER`, is read, too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, compress, islice

from ie_cli.document import DOCUMENT_MARK, ColumnRows, Document, Entity
from ie_cli.errors import DataError, counted
from ie_cli.formats.common.base import BadLine, Lines, Reading, Record, TokenFile, quoted
from ie_cli.formats.common.columns import Block, Layout, Row, SentenceStarts, find_layout
from ie_cli.formats.common.joining import Joining, find_joining, join_tokens
from ie_cli.formats.common.piped_tokens import PipedTokens
from ie_cli.formats.common.tag_schemes import scheme_of, spans_of

INVALID_TAGS = (
    "{path}: {count} without a preceding tag of the same entity; each starts an entity, as in conlleval and seqeval"
)
"""The report of invalid tag sequences."""
_LOOK_AHEAD, _LOOK_AHEAD_LINES = 2000, 100_000
_NO_BEGINNING = {"IOB1", "IO"}
"""The schemes in which I may start an entity, which is not an error."""
_PROBLEM_HINTS = {
    True: "check the columns, and data.text_column and data.label_columns in the recipe.",
    False: "check the columns, and data.text_column in the recipe.",
}
_ZERO_HINT = "write the letter O, not the digit 0, for tokens outside entities."


@dataclass(slots=True)
class _Sentence:
    number: int
    lines: list[tuple[int, str]] = field(default_factory=list)


class _Marks:
    """The lines that belong to no sentence, if they are kept: a header, marks of the start of a document, single comments."""

    def __init__(self, *, keep: bool) -> None:
        self._keep = keep
        self._lines: deque[tuple[int, str]] = deque()

    def without(self, lines: Lines) -> Iterator[tuple[int, str]]:
        """Yield the other lines."""
        for number, line in lines:
            if not line.startswith(DOCUMENT_MARK):
                yield number, line
            elif self._keep:
                self._lines.append((number, line))

    def add_header(self, head: list[tuple[int, str]], header: int | None) -> None:
        """Add the header, which comes first, if there is one."""
        if self._keep:
            self._lines.extendleft((number, line) for number, line in head if number == header)

    def add_comments(self, comments: list[tuple[int, str]]) -> None:
        """Add comments without a sentence; other lines may have been read ahead."""
        if self._keep and comments:
            self._lines = deque(sorted([*self._lines, *comments]))

    def before(self, number: int) -> Iterator[tuple[int, str]]:
        """Yield the lines before the one with this number, and forget them."""
        while self._lines and self._lines[0][0] < number:
            yield self._lines.popleft()


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads the sentences of a file whose layout is known."""

    path: str
    layout: Layout
    joining: Joining
    annotation: bool
    keep_columns: bool
    marks: _Marks

    def record(self, sentence: _Sentence) -> tuple[Record | None, int]:
        """Return the record of a sentence, None if it has no tokens, and the number of its invalid tags."""
        layout, where = self.layout, f"{self.path}:{sentence.number}"
        lines = sentence.lines
        rows: list[Row] = [layout.split(line) for _, line in lines]
        comments: list[tuple[int, str]] = []
        if any(line.startswith("#") for _, line in lines):
            kept = [not layout.is_comment(line, row) for (_, line), row in zip(lines, rows, strict=True)]
            comments = [pair for pair, keep in zip(lines, kept, strict=True) if not keep]
            lines, rows = list(compress(lines, kept)), list(compress(rows, kept))
        if not self._are_valid(rows):
            number, line, problem = next(
                (*pair, found) for pair, row in zip(lines, rows, strict=True) if (found := self._problem(row))
            )
            hint = _ZERO_HINT if problem.endswith("'0'") else _PROBLEM_HINTS[self.annotation]
            error = DataError(f"{self.path}:{number}: {problem}: {quoted(line)}", hint=hint)
            return BadLine(where, "\n".join(line for _, line in sentence.lines), error), 0
        if not rows:
            self.marks.add_comments(comments)
            return None, 0
        tokens = self.joining.tokens_of([row[layout.text] for row in rows])
        text, starts = join_tokens(tokens, self.joining.joiner)
        ends = [start + len(token) for start, token in zip(starts, tokens, strict=True)]
        entities: set[Entity] = set()
        repaired = 0
        for tags in _standard_tags(layout, rows) if self.annotation else ():
            spans, broken = spans_of(tags)
            repaired += broken
            entities.update(Entity(starts[first], ends[last], label) for first, last, label in spans)
        document = Document(text, sorted(entities), where=where)
        if self.keep_columns:
            spans_of_tokens = tuple(zip(starts, ends, strict=True))
            separator = "\t" if layout.tabs else " "
            before = tuple(line for _, line in sorted([*self.marks.before(lines[0][0]), *comments]))
            document.columns = ColumnRows(
                spans_of_tokens, tuple(map(tuple, rows)), layout.text, layout.labels, separator, before
            )
        return document, repaired

    def _are_valid(self, rows: list[Row]) -> bool:
        """Return whether `_problem` finds nothing in any of the rows, without a call for each."""
        layout = self.layout
        shortest, text = min(map(len, rows), default=0), layout.text
        if rows and (shortest <= text or not all([row[text] for row in rows])):
            return False
        for column, style in zip(layout.labels, layout.styles, strict=True) if self.annotation and rows else ():
            if shortest <= column or None in map(style.standard, {row[column] for row in rows}):
                return False
        return True

    def _problem(self, row: Row) -> str | None:
        """Return what is wrong with the columns of a line, or None; tags count only if they are read."""
        layout = self.layout
        need = max((layout.text, *(layout.labels if self.annotation else ()))) + 1
        if len(row) < need:
            return f"expected at least {counted(need, 'column')}, got {len(row)}"
        if not row[layout.text]:
            return "the token is empty"
        for column, style in zip(layout.labels, layout.styles, strict=True) if self.annotation else ():
            if style.standard(row[column]) is None:
                return f"expected a tag such as O or {style.example}, got {quoted(row[column])}"
        return None


def read(lines: Lines, path: str, reading: Reading) -> Iterator[Record]:
    """Yield an example for each sentence."""
    piped = PipedTokens()
    yield from piped.restored(_read_columns(piped.columns(lines), path, reading))


def _read_columns(lines: Lines, path: str, reading: Reading) -> Iterator[Record]:
    marks = _Marks(keep=reading.keep_columns)
    rest = marks.without(lines)
    head = list(_first_lines(rest))
    layout = find_layout(_blocks(head), path, reading)
    marks.add_header(head, layout.header)
    first = list(_rows(head, layout))
    joining = find_joining(([row[layout.text] for row in rows] for rows in first), reading)
    schemes = _schemes(layout, first)
    del first
    columns = ", ".join(map(str, layout.labels)) or "none"
    about = (
        f"columns separated by {'tabs' if layout.tabs else 'spaces'}, tokens in column {layout.text}, "
        f"tags in column {columns} (counted from 0){', ' + '/'.join(sorted(schemes)) if schemes else ''}"
    )
    reading.report(f"{path}: " + "; ".join(filter(None, (about, *layout.notes, joining.note))))
    reading.decided(TokenFile(joining.tokens, (*layout.signature, *joining.signature)))
    reader = _Reader(path, layout, joining, reading.annotation, reading.keep_columns, marks)
    repaired = 0
    for sentence in _sentences(chain(_emptying(head), rest), layout):
        record, broken = reader.record(sentence)
        repaired += broken if not schemes <= _NO_BEGINNING else 0
        if record is not None:
            yield record
    if repaired:
        reading.report(INVALID_TAGS.format(path=path, count=counted(repaired, "tag")))


def _first_lines(lines: Iterator[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Yield the lines of the first sentences."""
    sentences, inside = 0, False
    for number, line in islice(lines, _LOOK_AHEAD_LINES):
        yield number, line
        sentences += inside and not line.strip()
        inside = bool(line.strip())
        if sentences == _LOOK_AHEAD:
            return


def _emptying(head: list[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Yield lines and free their memory."""
    head.reverse()
    while head:
        yield head.pop()


def _blocks(lines: Iterable[tuple[int, str]]) -> list[Block]:
    """Return the lines between empty lines."""
    blocks: list[Block] = [[]]
    for number, line in lines:
        if line.strip():
            blocks[-1].append((number, line))
        elif blocks[-1]:
            blocks.append([])
    return [block for block in blocks if block]


def _sentences(lines: Iterable[tuple[int, str]], layout: Layout) -> Iterator[_Sentence]:
    """Yield the sentences, which an empty line separates, or a column that counts."""
    sentence: _Sentence | None = None
    starts = SentenceStarts(layout.counts)
    for number, line in lines:
        if number == layout.header:
            continue
        if line.isspace() or not line:
            if sentence is not None:
                yield sentence
                sentence = None
            continue
        if layout.counts:
            row = layout.split(line)
            if not layout.is_comment(line, row) and starts.starts(row) and sentence is not None:
                yield sentence
                sentence = None
        if sentence is None:
            sentence = _Sentence(number)
        sentence.lines.append((number, line))
    if sentence is not None:
        yield sentence


def _rows(lines: Iterable[tuple[int, str]], layout: Layout) -> Iterator[list[Row]]:
    """Yield the rows of each sentence that have a token."""
    for sentence in _sentences(lines, layout):
        rows = [(line, layout.split(line)) for _, line in sentence.lines]
        tokens = [row for line, row in rows if not layout.is_comment(line, row) and len(row) > layout.text]
        yield [row for row in tokens if row[layout.text]]


def _standard_tags(layout: Layout, rows: list[Row]) -> Iterator[list[str]]:
    """Yield the tags of each column in the form B-PER; other values are kept."""
    for column, style in zip(layout.labels, layout.styles, strict=True):
        tags = [row[column] for row in rows if column < len(row)]
        standard = {tag: style.standard(tag) or tag for tag in set(tags)}
        yield [standard[tag] for tag in tags]


def _schemes(layout: Layout, sentences: list[list[Row]]) -> set[str]:
    """Return the names of the tag schemes of all columns."""
    columns = zip(*(list(_standard_tags(layout, rows)) for rows in sentences), strict=True)
    names = [scheme_of(sequences) for sequences in columns]
    return {"IO" if style.example == "PER" else name for name, style in zip(names, layout.styles, strict=False)}
