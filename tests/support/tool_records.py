"""Reading records of annotation tools from values, with what the reader reports."""

from __future__ import annotations

import json
from typing import Any

from ie_cli.document import Document
from ie_cli.formats import FORMATS, BadLine, Reading, Record
from ie_cli.formats.common.detect import detect, peek


def read(name: str, *records: Any, annotation: bool = True, array: bool = False) -> tuple[list[Record], list[str]]:
    """Return the records of a file with one value per line, or of an array on one line, and what was reported."""
    said: list[str] = []
    shown = [json.dumps(list(records))] if array else [json.dumps(record) for record in records]
    reading = Reading(report=said.append, annotation=annotation)
    return list(FORMATS[name].read(enumerate(shown, 1), "x", reading)), [line.removeprefix("x: ") for line in said]


def read_one(name: str, record: Any, **options: Any) -> Document:
    """Return the only document of a file."""
    [found], _ = read(name, record, **options)
    assert isinstance(found, Document), found
    return found


def error_of(name: str, record: Any) -> str:
    """Return the error of a record and its hint, after the place, which must be that of the record."""
    [bad], _ = read(name, record)
    assert isinstance(bad, BadLine), bad
    assert bad.error.message.startswith("x:1")
    return f"{bad.error.message.partition(': ')[2]} | {bad.error.hint}"


def detected(*lines: Any) -> str:
    """Return the format of a file with these lines; values become JSON."""
    shown = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    return detect(peek(iter(enumerate(shown, 1))), "x")


def written(name: str, *documents: Document) -> str:
    """Return the file with some documents."""
    format = FORMATS[name]
    assert format.write is not None
    before, between, after = format.frame
    return before + between.join(map(format.write, documents)) + after
