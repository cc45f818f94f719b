"""Tell the format of a file by its first lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ie_cli.errors import DataError
from ie_cli.formats.jsonl import parse_object
from ie_cli.formats.tags import split_tag

HINT = "say it: --input-format NAME, or data.format in the recipe (jsonl, cluener, conll, text)."

_MOST_LINES = 100
_NO_TOKEN = ("#", "-DOCSTART-")


def look_ahead(stream: Iterator[tuple[int, str]]) -> list[tuple[int, str]]:
    """Take as few lines as tell the format: somebody may be waiting for an answer to the first one."""
    head: list[tuple[int, str]] = []
    seen = False
    for number, line in stream:
        head.append((number, line))
        if len(head) >= _MOST_LINES or (seen and not line.strip()) or _object(line) is not None:
            break
        seen = seen or bool(line.strip() and not line.startswith(_NO_TOKEN))
    return head


def detect(head: Sequence[tuple[int, str]], source: str) -> str:
    """Name the format of a file from its first numbered lines.

    Raises:
        DataError: the lines fit no format, or the file is empty.
    """
    lines = [line for _, line in head if line.strip()]
    if not lines:
        raise DataError(f"{source}: the file is empty", hint="each line must be one record.")
    if lines[0].lstrip()[0] in "{[":
        # The first line may be the bad one: any that parses tells the format.
        objects = [fields for line in lines if (fields := _object(line)) is not None]
        return _json_format(objects) if objects else "jsonl"
    rows = [line.split() for line in lines if not line.startswith(_NO_TOKEN)]
    tagged = sum(len(row) > 1 and any(split_tag(value) for value in row[1:]) for row in rows)
    if rows and tagged > 0.9 * len(rows):
        return "conll"
    raise DataError(f"{source}: the format cannot be told from its first line: {lines[0][:60]!r}", hint=HINT)


def _object(line: str) -> dict[str, Any] | None:
    try:
        return parse_object(line)
    except DataError:
        return None


def _json_format(objects: Sequence[dict[str, Any]]) -> str:
    if any(isinstance(fields.get("label"), dict) for fields in objects):
        return "cluener"
    return "jsonl"
