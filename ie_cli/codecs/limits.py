"""What one head cannot express and another can: reasons why gold is unreachable, and what to do about them."""

from __future__ import annotations

from collections.abc import Mapping

OTHER_LABEL = "second label of the same span"
OVERLAP = "overlap with another entity, which tags cannot express"
SUBJECT_OVERLAPS = "with a subject that overlaps another subject"
OBJECT_OVERLAPS = "with an object that overlaps another object of the same subject and predicate"
BOTH_DIRECTIONS = "with boundaries that the same predicate links in the opposite direction"
FLAT_ENTITY = "overlap with another entity, removed from flat output"
FLAT_RELATION = "with an argument that overlaps another entity, removed from flat output"
FLAT = frozenset({FLAT_ENTITY, FLAT_RELATION})
"""The reasons that concern the output, not what a model learns."""

REMEDIES: Mapping[str, str] = {
    OTHER_LABEL: "head.name: efficient_global_pointer gives a span all its labels",
    OVERLAP: "head.name: efficient_global_pointer expresses overlaps",
    **dict.fromkeys((SUBJECT_OVERLAPS, OBJECT_OVERLAPS, BOTH_DIRECTIONS), "head.name: gplinker can express it"),
    **dict.fromkeys(FLAT, "head.flat: false keeps overlapping entities"),
}
"""What makes the items reachable, by reason."""
