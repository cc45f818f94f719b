"""What one head cannot express and another can: reasons why gold is unreachable, and what to do about them."""

from __future__ import annotations

from collections.abc import Mapping

OTHER_LABEL = "second label of the same span"

REMEDIES: Mapping[str, str] = {
    OTHER_LABEL: "head.name: global_pointer gives a span all its labels",
}
"""What makes the items reachable, by reason."""
