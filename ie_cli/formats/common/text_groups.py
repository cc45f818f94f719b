"""Consecutive records that have parts of the annotation of one text, as data for prompts and instructions do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from ie_cli.errors import DataError
from ie_cli.formats.common.base import BadLine, Reading, error_at
from ie_cli.formats.common.json_stream import FoundObject

T = TypeVar("T")
_MAX_REMEMBERED = 200_000


@dataclass(slots=True)
class TextGroup(Generic[T]):
    """The records of a text.

    Attributes:
        where: the place of the first one.
        text: the text.
        rest: their other fields, which are equal.
        raw: the records as they are in the file.
        parts: the annotation of each.
        error: the first error of a record.
    """

    where: str
    text: str
    rest: dict[str, Any]
    raw: list[str] = field(default_factory=list)
    parts: list[T] = field(default_factory=list)
    error: DataError | None = None


def grouped(
    objects: Iterable[FoundObject],
    split: Callable[[dict[str, Any]], tuple[str, dict[str, Any]]],
    read_part: Callable[[dict[str, Any], str], T],
    hint: str,
    *,
    joins: Callable[[dict[str, Any]], bool] = lambda fields: True,
    key: Callable[[dict[str, Any]], object] = lambda fields: None,
) -> Iterator[TextGroup[T] | BadLine]:
    """Yield the groups; an error of one record is the error of its group, which would lack annotation without it.

    Args:
        objects: the records.
        split: returns the text of a record, and its fields other than text and annotation.
        read_part: returns the annotation of a record, given its fields and its text.
        hint: shows the form of a record.
        joins: whether a record may belong to the group of the record before it.
        key: what no two records of a group have in common, if it is a string; an empty one starts a group. It tells
            apart equal texts that follow each other.
    """
    group: TextGroup[T] | None = None
    keys = set[str]()
    for where, raw, found in objects:
        try:
            if isinstance(found, DataError):
                raise found
            text, rest = split(found)
        except DataError as error:
            if group is not None:
                yield from _finished(group)
            group = None
            yield BadLine(where, raw, error_at(where, error, hint))
            continue
        own = key(found)
        again = isinstance(own, str) and (not own or own in keys)
        if group is not None and ((group.text, group.rest) != (text, rest) or again or not joins(found)):
            yield from _finished(group)
            group = None
        if group is None:
            group = TextGroup(where, text, rest)
            keys.clear()
        if isinstance(own, str):
            keys.add(own)
        group.raw.append(raw)
        try:
            group.parts.append(read_part(found, text))
        except DataError as error:
            group.error = group.error or error_at(where, error, hint)
    if group is not None:
        yield from _finished(group)


def _finished(group: TextGroup[T]) -> Iterator[TextGroup[T] | BadLine]:
    yield group if group.error is None else BadLine(group.where, "\n".join(group.raw), group.error)


class RepeatedTexts:
    """Counts the groups of texts that have another group elsewhere in the file, so that both lack annotation."""

    def __init__(self, path: str, field: str) -> None:
        self._path, self._field = path, field
        self._seen: set[int] = set()
        self._again = 0
        self._last: str | None = None

    def add(self, text: str) -> None:
        """Count a group, but not one that follows another group of its text; a limited number of texts is remembered."""
        if text == self._last:
            return
        self._last = text
        self._again += hash(text) in self._seen
        if len(self._seen) < _MAX_REMEMBERED:
            self._seen.add(hash(text))

    def report(self, reading: Reading) -> None:
        """Report the count."""
        if self._again:
            reading.report(
                f"{self._path}: documents that lack annotation, because other records with their text are elsewhere in the file: "
                f"{self._again:,}; sort the records by '{self._field}' first"
            )
