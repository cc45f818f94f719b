"""Reading JSON of any origin with a bound on its nesting depth, so that every writer can write it again.

The libraries read about a thousand levels or more, some read more than they write, and very deep nesting exhausts the stack.
One bound is therefore checked wherever JSON is read; exceeding it is an ordinary error in the data.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

MAX_LEVELS = 100
"""Limit on nested arrays and objects; none of the supported formats needs ten levels."""


class NestedTooDeeply(ValueError):
    """JSON with more than `MAX_LEVELS` levels."""

    def __init__(self) -> None:
        super().__init__(f"its brackets are nested too deeply: more than {MAX_LEVELS} levels")


def loads(text: str, parse: Callable[[str], Any] = json.loads) -> Any:
    """Parse a JSON text.

    Args:
        text: the text.
        parse: the parser; that of the standard library accepts lone surrogates and integers of any size.

    Raises:
        NestedTooDeeply: the nesting exceeds the bound or the limit of the parser.
        ValueError: the text is not valid JSON.
    """
    try:
        value = parse(text)
    except RecursionError as error:
        raise NestedTooDeeply from error
    # Few records have this many brackets; only those are checked level by level.
    if text.count("[") + text.count("{") > MAX_LEVELS:
        require_shallow(value)
    return value


def read_json(file: Path) -> Any:
    """Parse the JSON in a file that `ie` has written; a named pipe in its place would be waited for without end.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not a regular file, or does not contain valid JSON.
    """
    if file.exists() and not file.is_file() and not file.is_dir():
        raise ValueError("it is a named pipe or a device, not a file")
    return loads(file.read_text(encoding="utf-8"))


def require_shallow(value: Any) -> None:
    """Check the nesting depth of a JSON-like value.

    Raises:
        NestedTooDeeply: it has more than `MAX_LEVELS` levels.
    """
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(MAX_LEVELS):
        if not level:
            return
        level = [
            item
            for holder in level
            for item in (holder.values() if isinstance(holder, Mapping) else holder)
            if isinstance(item, (dict, list))
        ]
    if level:
        raise NestedTooDeeply
