"""What one head cannot express and another can: reasons why gold is unreachable, and what to do about them."""

from __future__ import annotations

from collections.abc import Mapping

OTHER_LABEL = "second label of the same span"
OVERLAP = "overlap with another entity, which tags cannot express"
SUBJECT_OVERLAPS = "subject overlaps another subject"
OBJECT_OVERLAPS = "object overlaps another object of its subject and predicate"
BOTH_DIRECTIONS = "the same boundaries are linked in the opposite direction by the same predicate"

REMEDIES: Mapping[str, str] = {
    OTHER_LABEL: "head.name: global_pointer gives a span all its labels",
    OVERLAP: "head.name: efficient_global_pointer expresses overlaps",
    **dict.fromkeys((SUBJECT_OVERLAPS, OBJECT_OVERLAPS, BOTH_DIRECTIONS), "head.name: gplinker can express it"),
}
"""What makes the items reachable, by reason."""
