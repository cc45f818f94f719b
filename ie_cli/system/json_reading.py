"""JSON that is read, of whatever origin: nested as deep as every writer can follow, and no deeper.

The libraries read about a thousand levels, or more than they write, and end where the stack of the process does. So one bound is
checked where JSON comes in; it is an error like any other that JSON may have.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

MOST_LEVELS = 100
"""Arrays and objects inside one another; no data of the formats here needs ten."""


class NestedTooDeeply(ValueError):
    """JSON with more than `MOST_LEVELS` levels."""

    def __init__(self) -> None:
        super().__init__(f"its brackets are nested too deeply: more than {MOST_LEVELS} levels")


def loads(text: str, parse: Callable[[str], Any] = json.loads) -> Any:
    """The value of a JSON text.

    Args:
        parse: what reads it; the standard library takes halves of surrogate pairs, and whole numbers of any size.

    Raises:
        NestedTooDeeply: also where the parser gives up before the bound is checked.
        ValueError: it is no JSON.
    """
    try:
        value = parse(text)
    except RecursionError as error:
        raise NestedTooDeeply from error
    # Few records have so many brackets, and those that have are looked at once more.
    if text.count("[") + text.count("{") > MOST_LEVELS:
        require_shallow(value)
    return value


def require_shallow(value: Any) -> None:
    """Check the levels of a value that JSON could hold.

    Raises:
        NestedTooDeeply: it has too many.
    """
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(MOST_LEVELS):
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
