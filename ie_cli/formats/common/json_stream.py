"""Streaming of JSON objects in any layout: one per line, in an array on one or many lines, indented, or concatenated.

Records are found by their brackets. Every line is scanned once and only the current record is kept in memory, so that arrays
of any length can be streamed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Literal

from ie_cli.document import Document
from ie_cli.errors import DataError
from ie_cli.formats.common.base import BadLine, Lines, Record, error_at, require_storable, short
from ie_cli.formats.common.json_object import parse_object

FoundObject = tuple[str, str, "dict[str, Any] | DataError"]
Converter = Callable[[dict[str, Any], str], "Document | None"]

ARRAY = ("[\n", ",\n", "\n]\n")
"""The frame of a format that is written as an array, one record per line."""

_HINT = "write each record as one JSON object: one per line, in an array, or indented over several lines."
_BROKEN_HINT = "fix its brackets and quotes; reading resumes at the next record that starts on a new line."

# A string never spans lines; group 1 is empty if it is not closed.
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*("?)|[\[\]{}:,]|[^\s\[\]{}:,"]+', re.S)
_ARRAY = re.compile(r"[\ufeff\s]*\[\s*(?:\{|$)")
_BLANK = re.compile(r"\s*")
_NON_RECORD = re.compile(r'(?:"[^"\\]*(?:\\.[^"\\]*)*"?|[^\[\]{},"])+', re.S)
_AFTER = {False: re.compile(r"[\s,\[]*"), True: re.compile(r"[\s,\[\]]*")}  # outside and inside an array
_BEGIN = re.compile(r"(\s*)(?:[}\],][}\],\s]*)?(?=\{)")


def read_objects(
    lines: Lines, path: str, parse: Callable[[str], dict[str, Any]] = parse_object
) -> Iterator[FoundObject]:
    """Yield the place, the text and the fields of each record, or an error (without the place) instead of the fields.

    The place is ``path:LINE`` of its first line, with ``(record N)`` if several records start on that line.

    Args:
        lines: the numbered lines.
        path: the name of the file.
        parse: converts the text of a record to its fields.
    """
    splitter = RecordSplitter(path, parse)
    for number, line in lines:
        yield from splitter.feed(number, line)
    yield from splitter.end()


def read_records(lines: Lines, path: str, convert: Converter, hint: str | None = None) -> Iterator[Record]:
    """Yield the result of `convert` for each record; its errors become bad lines.

    Args:
        lines: the numbered lines.
        path: the name of the file.
        convert: converts the fields and the place of a record; None skips it.
        hint: a hint that shows the form of a record.
    """
    return convert_objects(read_objects(lines, path), convert, hint)


def convert_objects(objects: Iterable[FoundObject], convert: Converter, hint: str | None) -> Iterator[Record]:
    """Yield the result of `convert` for each object, unless it is None; its errors become bad lines."""
    for where, raw, found in objects:
        try:
            if isinstance(found, DataError):
                raise found
            document = convert(found, where)
        except DataError as error:
            yield BadLine(where, raw, error_at(where, error, hint))
            continue
        if document is not None:
            yield document


def read_lines_or_array(lines: Lines, path: str, convert: Converter, hint: str | None = None) -> Iterator[Record]:
    """Yield the result of `convert` for each record of a file with one record per line, or of an array or indented records.

    The first lines determine the layout. In lines, each line that cannot be read is a bad line of its own.
    """
    return convert_objects(lines_or_array(lines, path), convert, hint)


def lines_or_array(lines: Lines, path: str) -> Iterator[FoundObject]:
    """Yield the objects that `read_lines_or_array` converts, or errors."""
    stream = iter(lines)
    head = read_head(stream)
    if spans_lines(head):
        yield from read_objects(chain(head, stream), path)
        return
    for number, line in chain(head, stream):
        if not line.strip():
            continue
        try:
            yield f"{path}:{number}", line, parse_object(line)
        except DataError as error:
            yield f"{path}:{number}", line, error


def read_head(stream: Iterator[tuple[int, str]]) -> list[tuple[int, str]]:
    """Read the lines that `spans_lines` needs: up to the first line that is not empty, or the one after it."""
    head: list[tuple[int, str]] = []
    contents = 0
    for number, line in stream:
        head.append((number, line))
        contents += bool(line.strip())
        if contents == 2 or (contents and (not line.lstrip().startswith("{") or _is_complete(line))):
            break
    return head


def spans_lines(head: Iterable[tuple[int, str]]) -> bool:
    """Return whether the first lines of a file start an array of records, or a record that continues on the next line.

    A first line that is damaged is no such record if the next line is a complete one.
    """
    first, second = ([line for _, line in head if line.strip()] + ["", ""])[:2]
    if not first.lstrip("\ufeff \t").startswith("{"):
        return _ARRAY.match(first) is not None
    splitter = RecordSplitter("")
    for _ in splitter.feed(1, first):
        pass
    return bool(splitter.stack) and not (second.startswith("{") and _is_complete(second))


def _is_complete(line: str) -> bool:
    try:
        parse_object(line)
    except DataError:
        return False
    return True


def objects_of(fields: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """Return a field that is a list of objects, or an empty list if it is missing.

    Raises:
        DataError: the field is anything else.
    """
    values = fields.get(name)
    if values is None:
        return []
    if not isinstance(values, list):
        raise DataError(f"'{name}' must be a list, got {short(values)}")
    for value in values:
        if not isinstance(value, dict):
            raise DataError(f"'{name}' must contain objects, got {short(value)}")
    return values


def string_of(fields: dict[str, Any], name: str) -> str:
    """Return a field that must be a non-empty string.

    Raises:
        DataError: the field is missing or anything else.
    """
    if name not in fields:
        raise DataError(f"no field '{name}': {short(fields)}")
    value = fields[name]
    if not isinstance(value, str) or not value:
        raise DataError(f"'{name}' must be a non-empty string, got {short(value)}")
    return value


def name_of(fields: dict[str, Any], name: str, what: str) -> str:
    """Return a field that must be a name, such as a predicate or a type.

    Raises:
        DataError: the field is missing, not a non-empty string, or contains a lone surrogate.
    """
    value = string_of(fields, name)
    require_storable(value, what)
    return value


@dataclass(slots=True)
class RecordSplitter:
    """Splits the lines of a file into records.

    Attributes:
        path: the name of the file.
        parse: converts the text of a record to its fields.
        array: line number of the open array, 0 if none is open.
        damaged: whether a record was broken.
        skip: after a broken record, the indentation of the line at which the next record starts.
        stack: the open brackets of the current record.
        before: the first character of the previous token.
        pieces: the lines of the current record.
        start: the number of its first line.
        column: its position in that line.
        indent: the indentation of that line.
        ordinal: its number among the records that start on that line.
    """

    path: str
    parse: Callable[[str], dict[str, Any]] = parse_object
    array: int = 0
    damaged: bool = False
    skip: str | None = None
    stack: list[str] = field(default_factory=list)
    before: str = ""
    pieces: list[str] = field(default_factory=list)
    start: int = 0
    column: int = 0
    indent: str = ""
    ordinal: int = 0

    def feed(self, number: int, line: str) -> Iterator[FoundObject]:
        """Process a line, and yield the records that end in it."""
        place = 0
        if self.skip is not None:
            begin = _BEGIN.match(line)
            if begin is None or begin[1] != self.skip:
                return
            place, self.skip = begin.end(), None
        if not self.stack and (fields := _parse_line(line[place:])) is not None:
            yield f"{self.path}:{number}", *fields
            return
        while True:
            if not self.stack:
                place = self._skip_between(number, line, place)
                if place == len(line):
                    return
                self._open(number, line, place)
                if line[place] not in "[{":
                    end = self._end_of_non_record(line, place)
                    self.pieces.append(line[place:end])
                    yield self._close(line, end)
                    place = end
                    continue
            state, end = self._scan(line, place)
            if state == "open":
                self.pieces.append(line[place:])
                return
            if state == "closed":
                self.pieces.append(line[place:end])
                yield self._close(line, end)
            else:
                begin = _BEGIN.match(line) if number > self.start else None
                if begin is None or begin[1] != self.indent or begin.end() != end:
                    self.skip, end = self.indent, len(line)
                self.pieces.append(line[place:end])
                yield self._close(line, len(line), _BROKEN_HINT)
                self.damaged = True
                if self.skip is not None:
                    return
            place = end

    def end(self) -> Iterator[FoundObject]:
        """Yield errors for a record or an array that is still open at the end of the file."""
        if self.stack:
            yield self._close("", 0, "check whether the file is truncated: it ends within this record.")
        elif self.array and not self.damaged:
            error = DataError("the array that starts here does not end", hint="check whether the file is truncated.")
            yield f"{self.path}:{self.array}", "[", error

    def _skip_between(self, number: int, line: str, place: int) -> int:
        """Skip the text between records, and return the position of the next one or the end of the line."""
        while place < len(line):
            char = line[place]
            if char == "[" and not self.array:
                self.array = number
            elif char == "]" and self.array:
                self.array = 0
            elif char != "," and not char.isspace():
                break
            place += 1
        return place

    def _open(self, number: int, line: str, place: int) -> None:
        if number != self.start:
            self.indent = _BLANK.match(line)[0]  # type: ignore[index]
        self.ordinal = self.ordinal + 1 if number == self.start else 1
        self.start, self.column, self.pieces = number, place, []

    def _end_of_non_record(self, line: str, place: int) -> int:
        """Return the end of text that is not a record: the next bracket or comma in an array, else the end of the line."""
        match = _NON_RECORD.match(line, place) if self.array else None
        if self.array:
            return match.end() if match else place + 1
        return len(line)

    def _scan(self, line: str, place: int) -> tuple[Literal["open", "closed", "broken"], int]:
        """Scan the brackets of the current record; return its state and the position where it ends or breaks."""
        for token in _TOKEN.finditer(line, place):
            char = line[token.start()]
            if char in "[{":
                if self.stack and self.before not in (":" if self.stack[-1] == "{" else "[,"):
                    return "broken", token.start()
                self.stack.append(char)
            elif char in "]}":
                if self.stack.pop() != ("[" if char == "]" else "{"):
                    return "broken", token.start()
                if not self.stack:
                    return "closed", token.end()
            elif char == '"' and not token[1]:
                return "broken", token.start()
            self.before = char
        return "open", len(line)

    def _close(self, line: str, end: int, hint: str = _HINT) -> FoundObject:
        """Return the current record, which ends or breaks at a position, and reset the state."""
        raw = "\n".join(self.pieces).rstrip()
        several = self.ordinal > 1 or (len(self.pieces) == 1 and _AFTER[self.array > 0].fullmatch(line, end) is None)
        where = f"{self.path}:{self.start}{f' (record {self.ordinal})' if several else ''}"
        self.stack, self.pieces = [], []
        return where, raw, self._parsed(raw, hint)

    def _parsed(self, raw: str, hint: str) -> dict[str, Any] | DataError:
        try:
            return self.parse(raw)
        except DataError as error:
            cause = error.__cause__
            if not isinstance(cause, json.JSONDecodeError):
                return DataError(error.message, hint=hint)
            column = cause.colno + (self.column if cause.lineno == 1 else 0)
            place = f"line {self.start + cause.lineno - 1}, column {column}"
            return DataError(f"not valid JSON: {cause.msg} ({place})", hint=hint)


def _parse_line(line: str) -> tuple[str, dict[str, Any]] | None:
    """Return the text and the fields of a line that is a complete object, the most common case, or None."""
    raw = line.strip()
    if not raw.startswith("{") or not raw.endswith(("}", ",")):
        return None
    raw = raw.removesuffix(",").rstrip()
    try:
        return raw, parse_object(raw)
    except DataError:
        return None
