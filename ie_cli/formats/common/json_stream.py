"""JSON objects however a file holds them: one a line, an array on one line or indented over many, or one after another.

Records are found by their brackets. Every line is looked at once and only the open record is held, so files are read in a
stream, however long the array is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from ie_cli.document import Document
from ie_cli.errors import DataError
from ie_cli.formats.common.base import BadLine, Lines, Record, at, require_storable, short
from ie_cli.formats.jsonl import parse_object

DecodedSpans = tuple[str, str, "dict[str, Any] | DataError"]

ARRAY = ("[\n", ",\n", "\n]\n")
"""The frame of a format that is written as an array, a record a line."""

_HINT = "a record is one JSON object: one a line, in an array, or indented over several lines."
_BROKEN_HINT = "mend its brackets and quotes; reading goes on at the next record that begins a line."

# A string never spans lines; where one does not end, group 1 is empty.
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*("?)|[\[\]{}:,]|[^\s\[\]{}:,"]+', re.S)
_BLANK = re.compile(r"\s*")
_NO_RECORD = re.compile(r'(?:"[^"\\]*(?:\\.[^"\\]*)*"?|[^\[\]{},"])+', re.S)
_AFTER = {False: re.compile(r"[\s,\[]*"), True: re.compile(r"[\s,\[\]]*")}  # outside and inside of an array
_BEGIN = re.compile(r"(\s*)(?:[}\],][}\],\s]*)?(?=\{)")


def read_objects(lines: Lines, path: str) -> Iterator[DecodedSpans]:
    """Yield the place, the text and the fields of each record, or an error (without the place) instead of the fields.

    The place is ``path:LINE`` of its first line, with ``(record N)`` where several begin on that line.
    """
    cutter = Cutter(path)
    for number, line in lines:
        yield from cutter.take(number, line)
    yield from cutter.end()


def read_records(
    lines: Lines, path: str, convert: Callable[[dict[str, Any], str], Document], hint: str | None = None
) -> Iterator[Record]:
    """Yield what `convert` makes of the fields and the place of each record; its errors become bad lines.

    Args:
        hint: what a record of the format looks like.
    """
    for where, raw, found in read_objects(lines, path):
        try:
            if isinstance(found, DataError):
                raise found
            yield convert(found, where)
        except DataError as error:
            yield BadLine(where, raw, at(where, error, hint))


def objects_of(fields: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """A field that holds objects in a list; empty where it is missing.

    Raises:
        DataError: it holds anything else.
    """
    values = fields.get(name)
    if values is None:
        return []
    if not isinstance(values, list):
        raise DataError(f"'{name}' must be a list, got {short(values)}")
    for value in values:
        if not isinstance(value, dict):
            raise DataError(f"'{name}' must hold objects, got {short(value)}")
    return values


def string_of(fields: dict[str, Any], name: str) -> str:
    """A field that must be a string, and not an empty one.

    Raises:
        DataError: it is missing or anything else.
    """
    if name not in fields:
        raise DataError(f"no field '{name}': {short(fields)}")
    value = fields[name]
    if not isinstance(value, str) or not value:
        raise DataError(f"'{name}' must be a non-empty string, got {short(value)}")
    return value


def name_of(fields: dict[str, Any], name: str, what: str) -> str:
    """The same for the name of something: a predicate or a type.

    Raises:
        DataError: also where no file can store it.
    """
    value = string_of(fields, name)
    require_storable(value, what)
    return value


@dataclass(slots=True)
class Cutter:
    """Cuts the lines of a file into records.

    Attributes:
        array: line of the array that is open, 0 where none is.
        skip: after a broken record the indentation that the line of the next one has.
        stack: the open brackets of the open record; `before` is the token before, by its first character.
        pieces, start, column, indent, ordinal: the lines of the open record, its first line's number, where it begins in
            that line, that line's indentation, and how many records begin there up to it.
    """

    path: str
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

    def take(self, number: int, line: str) -> Iterator[DecodedSpans]:
        """Yield the records that end in a line."""
        place = 0
        if self.skip is not None:
            begin = _BEGIN.match(line)
            if begin is None or begin[1] != self.skip:
                return
            place, self.skip = begin.end(), None
        if not self.stack and (whole := _whole_line(line[place:])) is not None:
            yield f"{self.path}:{number}", *whole
            return
        while True:
            if not self.stack:
                place = self._between(number, line, place)
                if place == len(line):
                    return
                self._open(number, line, place)
                if line[place] not in "[{":
                    end = self._no_record(line, place)
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

    def end(self) -> Iterator[DecodedSpans]:
        """Yield what is left open where the file ends."""
        if self.stack:
            yield self._close("", 0, "the file ends within this record.")
        elif self.array and not self.damaged:
            error = DataError("the array that begins here does not end", hint="the file seems to be cut off.")
            yield f"{self.path}:{self.array}", "[", error

    def _between(self, number: int, line: str, place: int) -> int:
        """Pass what stands between records, up to the next one or the end of the line."""
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

    def _no_record(self, line: str, place: int) -> int:
        """The end of what is no record: in an array up to the next bracket or comma, else the whole rest of the line."""
        match = _NO_RECORD.match(line, place) if self.array else None
        if self.array:
            return match.end() if match else place + 1
        return len(line)

    def _scan(self, line: str, place: int) -> tuple[Literal["open", "closed", "broken"], int]:
        """Follow the brackets of the open record; the second value is where it ends or breaks."""
        for token in _TOKEN.finditer(line, place):
            mark = line[token.start()]
            if mark in "[{":
                if self.stack and self.before not in (":" if self.stack[-1] == "{" else "[,"):
                    return "broken", token.start()
                self.stack.append(mark)
            elif mark in "]}":
                if self.stack.pop() != ("[" if mark == "]" else "{"):
                    return "broken", token.start()
                if not self.stack:
                    return "closed", token.end()
            elif mark == '"' and not token[1]:
                return "broken", token.start()
            self.before = mark
        return "open", len(line)

    def _close(self, line: str, end: int, hint: str = _HINT) -> DecodedSpans:
        """Take the record that ends there (or breaks) from the open ones."""
        raw = "\n".join(self.pieces).rstrip()
        several = self.ordinal > 1 or (len(self.pieces) == 1 and _AFTER[self.array > 0].fullmatch(line, end) is None)
        where = f"{self.path}:{self.start}{f' (record {self.ordinal})' if several else ''}"
        self.stack, self.pieces = [], []
        return where, raw, self._parsed(raw, hint)

    def _parsed(self, raw: str, hint: str) -> dict[str, Any] | DataError:
        try:
            return parse_object(raw)
        except DataError as error:
            cause = error.__cause__
            if not isinstance(cause, json.JSONDecodeError):
                return DataError(error.message, hint=hint)
            column = cause.colno + (self.column if cause.lineno == 1 else 0)
            place = f"line {self.start + cause.lineno - 1}, column {column}"
            return DataError(f"not valid JSON: {cause.msg} ({place})", hint=hint)


def _whole_line(line: str) -> tuple[str, dict[str, Any]] | None:
    """The text and the fields of a line that is one object, as most lines of most files are."""
    raw = line.strip()
    if not raw.startswith("{") or not raw.endswith(("}", ",")):
        return None
    raw = raw.removesuffix(",").rstrip()
    try:
        return raw, parse_object(raw)
    except DataError:
        return None
