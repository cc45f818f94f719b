"""A task's part of the recipe that `ie init` proposes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from ie_cli.data.statistics import DatasetStatistics
from ie_cli.recipe.yaml import flow

Line = tuple[str, str]
"""A line of YAML and its comment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What a task says of data that are for it.

    Attributes:
        names: by kind of the task, the names that occur and how often.
        head: the lines of the section `head`.
    """

    names: Mapping[str, Counter[str]]
    head: tuple[Line, ...]


def flat_line(statistics: DatasetStatistics, overlapping: int) -> Line:
    """Whether the output may nest; an error in a thousand examples is no reason to allow overlaps everywhere."""
    flat = overlapping * 1000 <= statistics.documents
    why = "no two entities overlap in these data; false allows nesting"
    if overlapping:
        why = f"entities overlap in {overlapping:,} of the {statistics.documents:,} examples"
    return f"flat: {flow(flat)}", why
