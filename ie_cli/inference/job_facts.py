"""The facts of a job that must not change while it is resumed: its model and its options."""

from __future__ import annotations

import json
from typing import Any

Facts = dict[str, Any]
_CHANGED = {
    "model": "the model has changed",
    "inputs": "the list of input files has changed",
    "names": "the names have changed",
    "rerank": "the cross-encoder has changed",
}
"""What is said of facts that are no options."""
_RENAMED = {"format": "to", "input-format": "from"}
"""Options in the records of earlier versions, and their current names."""


def changed_facts(before: Facts, now: Facts) -> list[str]:
    """Return what has changed, for a message.

    Args:
        before: the facts as they were stored.
        now: the facts of the command, as values that JSON can express.
    """
    before = {_RENAMED.get(name, name): value for name, value in before.items()}
    now = json.loads(json.dumps(now))
    return [
        _CHANGED.get(name, f"--{name} was {_shown(before.get(name))} and is now {_shown(now.get(name))}")
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name)
    ]


def _shown(value: Any) -> str:
    return "not given" if value is None else str(value)
