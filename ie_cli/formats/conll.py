"""CoNLL columns: one token per line and an empty line between sentences; the text is joined from the tokens.

Tabs or spaces, any column and any tag scheme are supported; two tag columns hold nested entities, as in GermEval. The reader
detects the columns from the first 2,000 sentences and reports them.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from ie_cli.document import Document, Entity
from ie_cli.errors import DataError, counted
from ie_cli.formats.common.base import (
    RELATIONS_LOST,
    BadLine,
    Lines,
    Reading,
    Record,
    count_id_and_fields,
    count_native_only,
    count_unlocated,
    quoted,
)
from ie_cli.formats.common.tag_schemes import bio_tags, count_broken_labels, scheme_of, spans_of, split_tag

DOCUMENT = "-DOCSTART-"
"""The token that marks the start of a document; its line is not part of the text."""
OVERLAPS = "entities that overlap longer ones cannot be stored in one tag column"
WHITESPACE_LOST = "entities that consist of whitespace are in no token"
EDGE_WHITESPACE_LOST = "entities that start or end with whitespace lose it, because it is in no token"
SPLIT_WORDS = (
    "words with an entity boundary inside are split and read back with a space there; the format jsonl keeps them"
)
INVALID_TAGS = (
    "{path}: {count} without a preceding tag of the same entity; each starts an entity, as in conlleval and seqeval"
)
"""The report of invalid tag sequences."""
OTHER_WHITESPACE = "texts whose whitespace differs from that between tokens are changed; the format jsonl keeps it"
"""Descriptions of what is lost when texts become tokens."""
_LOOK_AHEAD = 2000
_PROBLEM_HINTS = {
    True: "check the columns, and data.text_column and data.label_columns in the recipe.",
    False: "check the columns, and data.text_column in the recipe.",
}
_RANGES = r"\u2e80-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff"
_CJK = re.compile(f"[{_RANGES}]")
_TOKEN = re.compile(f"[{_RANGES}]|[^\\s{_RANGES}]+")


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


def is_cjk(char: str) -> bool:
    """Return whether a character is written without spaces: Chinese, Japanese and their punctuation."""
    return _CJK.match(char) is not None


def join_tokens(tokens: Sequence[str], joiner: str | None) -> tuple[str, list[int]]:
    """Join tokens to a text, and return it with their offsets; by default, no space is put next to CJK characters."""
    parts: list[str] = []
    starts: list[int] = []
    at = 0
    for number, token in enumerate(tokens):
        if number:
            adjacent = joiner is None and (is_cjk(tokens[number - 1][-1]) or is_cjk(token[0]))
            gap = "" if adjacent else " " if joiner is None else joiner
            parts.append(gap)
            at += len(gap)
        starts.append(at)
        parts.append(token)
        at += len(token)
    return "".join(parts), starts


def write(document: Document) -> str:
    """Return lines of token, tab and BIO tag; tokens are words and single CJK characters, split at entity boundaries.

    One column cannot hold overlapping entities: the longer one is written.
    """
    entities = _written(document)
    tokens = [piece for word in split_at_boundaries(document.text, entities) for piece in word]
    starts, ends = [start for start, _ in tokens], [end for _, end in tokens]
    spans = []
    for entity in entities:
        first, last = bisect_left(starts, entity.start), bisect_right(ends, entity.end) - 1
        if first <= last:
            spans.append((first, last, entity.label))
    tags = bio_tags(len(tokens), spans)
    lines = [f"{document.text[start:end]}\t{tag}\n" for (start, end), tag in zip(tokens, tags, strict=True)]
    return "".join(lines) + "\n"


def split_at_boundaries(text: str, entities: Sequence[Entity]) -> Iterator[list[tuple[int, int]]]:
    """Yield the words of a text, each split at the entity boundaries inside it."""
    cuts = sorted({boundary for entity in entities for boundary in (entity.start, entity.end)})
    for match in _TOKEN.finditer(text):
        inner = cuts[bisect_right(cuts, match.start()) : bisect_left(cuts, match.end())]
        boundaries = [match.start(), *inner, match.end()]
        yield list(zip(boundaries, boundaries[1:], strict=False))


def _written(document: Document) -> list[Entity]:
    return longest_non_overlapping([entity for entity in document.entities if not is_whitespace(document.text, entity)])


def is_whitespace(text: str, entity: Entity) -> bool:
    """Return whether an entity contains no character of any token."""
    return _TOKEN.search(text, entity.start, entity.end) is None


def has_edge_whitespace(text: str, entity: Entity) -> bool:
    """Return whether an entity starts or ends with whitespace, which is in no token."""
    return _TOKEN.match(text, entity.start) is None or _TOKEN.match(text, entity.end - 1) is None


def count_losses(document: Document) -> Mapping[str, int]:
    """Count what `write` cannot store."""
    text, entities = document.text, _written(document)
    words = list(split_at_boundaries(text, entities))
    pieces = [piece for word in words for piece in word]
    broken = sum(len(word) > 1 for word in words)
    whitespace = sum(is_whitespace(text, entity) for entity in set(document.entities))
    read_back = join_tokens([text[start:end] for start, end in pieces], None)[0] if pieces else text
    rare = {
        WHITESPACE_LOST: whitespace,
        EDGE_WHITESPACE_LOST: sum(has_edge_whitespace(text, entity) for entity in entities),
        OTHER_WHITESPACE: int(not broken and read_back != text),
        **_count_document_markers(text, pieces, entities),
    }
    return {
        f"{OVERLAPS}; the format jsonl keeps them": len(set(document.entities)) - whitespace - len(entities),
        SPLIT_WORDS: broken,
        "texts without tokens leave no sentence": int(not pieces),
        RELATIONS_LOST: len(set(document.relations)) + count_unlocated(document),
        **count_broken_labels(entity.label for entity in entities),
        **{what: count for what, count in rare.items() if count},
        **count_id_and_fields(document),
        **count_native_only(document),
    }


def _count_document_markers(text: str, pieces: Sequence[tuple[int, int]], entities: Sequence[Entity]) -> dict[str, int]:
    """Count what is lost with lines that are read as the start of a document."""
    starts = [start for start, _ in pieces if text.startswith(DOCUMENT, start)]
    return {
        f"words that start with {DOCUMENT} are read as the start of a document": len(starts),
        f"entities lose a word that starts with {DOCUMENT}": sum(
            bisect_left(starts, entity.start) < bisect_left(starts, entity.end) for entity in entities
        ),
    }


def longest_non_overlapping(entities: Sequence[Entity]) -> list[Entity]:
    """Select non-overlapping entities in text order, preferring longer ones. No entity may be empty."""
    chosen: list[Entity] = []
    occupied = bytearray(max((entity.end for entity in entities), default=0))
    for entity in sorted(set(entities), key=lambda e: (e.start - e.end, e.start, e.label)):
        # Chosen entities are at least as long, so an overlap covers the first or the last character.
        if not occupied[entity.start] and not occupied[entity.end - 1]:
            occupied[entity.start : entity.end] = b"\1" * (entity.end - entity.start)
            chosen.append(entity)
    return sorted(chosen)
