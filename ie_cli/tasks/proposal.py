"""The part of a task in the recipe that `ie init` proposes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from ie_cli.data.statistics import DatasetStatistics
from ie_cli.errors import counted
from ie_cli.recipe.yaml import flow

Line = tuple[str, str]
"""A line of YAML, and its comment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """The proposal of a task for data that are annotated for it.

    Attributes:
        names: the names that occur and their counts, by the kinds of the task.
        head: the lines of the section `head`.
        few: the same for few examples on a pretrained encoder, if another head is then better; else empty.
        data: further lines of the section `data`.
    """

    names: Mapping[str, Counter[str]]
    head: tuple[Line, ...]
    few: tuple[Line, ...] = ()
    data: tuple[Line, ...] = ()


def is_flat(statistics: DatasetStatistics, overlapping: int) -> bool:
    """Return whether the entities do not overlap; overlaps in at most 0.1 % of the documents are taken for errors."""
    return overlapping * 1000 <= statistics.documents


def flat_line(statistics: DatasetStatistics, overlapping: int) -> Line:
    """Return the line on overlaps in the output."""
    flat = is_flat(statistics, overlapping)
    comment = "no two entities overlap in these data; false allows nesting"
    if overlapping:
        comment = f"entities overlap in {overlapping:,} of {counted(statistics.documents, 'example')}"
    return f"flat: {flow(flat)}", comment
