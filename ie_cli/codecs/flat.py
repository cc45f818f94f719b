"""Choose a largest set of gold items without overlaps, which is the most that flat output can contain.

Entities are intervals, so that a largest set follows by weighted interval scheduling. A relation needs both of its arguments,
and two relations exclude each other if their arguments overlap: a largest set is an independent set of a graph.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Hashable, Iterable, Sequence

import numpy as np

from ie_cli.codecs.base import Index, Mask
from ie_cli.codecs.limits import FLAT_ENTITY
from ie_cli.document import Entity
from ie_cli.encoding.alignment import Alignment

MAX_CONFLICTING = 256
"""The maximum number of relations that exclude each other, directly or through others, of which a largest set is searched."""
MAX_BRANCHES = 10_000
"""The maximum number of choices in a search."""


def largest_without_overlaps(spans: Index, labels: Sequence[str]) -> Mask:
    """Return which spans to keep so that no two overlap: as many as possible, then as long as possible.

    Of equal choices, the one that ends earlier and the smaller label are kept. This is weighted interval scheduling.

    Args:
        spans: (first, last) of each span; int64 ``[spans, 2]``.
        labels: the label of each span.
    """
    ranked = sorted(
        (last, first, label, number)
        for number, ((first, last), label) in enumerate(zip(spans.tolist(), labels, strict=True))
    )
    ends = [last for last, *_ in ranked]
    best = [(0, 0)]  # the number of spans and their total length among the first ones
    chosen: list[bool] = []
    for at, (last, first, _, _) in enumerate(ranked):
        count, size = best[bisect_left(ends, first, hi=at)]
        with_it = (count + 1, size + last - first + 1)
        chosen.append(with_it > best[-1])
        best.append(max(with_it, best[-1]))
    kept = np.zeros(len(spans), dtype=np.bool_)
    at = len(ranked)
    while at:
        at -= 1
        if chosen[at]:
            kept[ranked[at][3]] = True
            at = bisect_left(ends, ranked[at][1], hi=at)
    return kept


def flat_alignment(aligned: Alignment) -> Alignment:
    """Return an alignment with a largest set of entities that share no character; the others are unreachable."""
    reachable = aligned.reachable
    spans = np.array([(entity.start, entity.end - 1) for entity in reachable], dtype=np.int64).reshape(-1, 2)
    kept = largest_without_overlaps(spans, [entity.label for entity in reachable])
    dropped = [(reachable[number], FLAT_ENTITY) for number in np.nonzero(~kept)[0].tolist()]
    left = [reachable[number] for number in np.nonzero(kept)[0].tolist()]
    return Alignment(aligned.spans[kept], left, aligned.unreachable + dropped)


Alternative = tuple[Hashable, Hashable]
"""A group, and one of its alternatives, of which at most one can be kept."""


def largest_compatible(
    arguments: Sequence[tuple[Entity, Entity]], alternatives: Iterable[Sequence[Alternative]]
) -> Mask:
    """Return which relations to keep so that no two of their distinct arguments share a character: as many as possible.

    If a search becomes too long, all relations that it concerns are kept: the number is then an upper bound.

    Args:
        arguments: subject and object of each relation, as they are in the output.
        alternatives: for each relation, its group and alternative; there may be several groupings.
    """
    kept = np.array([not _overlap(subject, object_) for subject, object_ in arguments], dtype=np.bool_)
    possible = np.nonzero(kept)[0].tolist()
    adjacent = _conflicts([arguments[number] for number in possible])
    for grouping in alternatives:
        _exclude_alternatives([grouping[number] for number in possible], adjacent)
    for component in _components(adjacent):
        chosen = _Search(adjacent).largest(component) if component.bit_count() <= MAX_CONFLICTING else component
        for at in _bits(component & ~chosen):
            kept[possible[at]] = False
    return kept


def _overlap(one: Entity, other: Entity) -> bool:
    return one != other and one.start < other.end and other.start < one.end


def _conflicts(arguments: Sequence[tuple[Entity, Entity]]) -> list[int]:
    """Return for each relation, as bits, those with an argument that overlaps one of its own."""
    owners: dict[Entity, int] = {}
    for number, pair in enumerate(arguments):
        for entity in pair:
            owners[entity] = owners.get(entity, 0) | 1 << number
    adjacent = [0] * len(arguments)
    active: list[Entity] = []
    for entity in sorted(owners):
        active = [other for other in active if other.end > entity.start]
        for other in active:
            for here, there in ((entity, other), (other, entity)):
                for number in _bits(owners[here]):
                    adjacent[number] |= owners[there]
        active.append(entity)
    return adjacent


def _exclude_alternatives(alternatives: Sequence[Alternative], adjacent: list[int]) -> None:
    """Make the relations of a group with different alternatives exclude each other."""
    groups: dict[Hashable, int] = {}
    same: dict[Alternative, int] = {}
    for number, own in enumerate(alternatives):
        groups[own[0]] = groups.get(own[0], 0) | 1 << number
        same[own] = same.get(own, 0) | 1 << number
    for number, own in enumerate(alternatives):
        adjacent[number] |= groups[own[0]] & ~same[own]


def _components(adjacent: Sequence[int]) -> list[int]:
    """Return the connected components with at least two members, as bits."""
    found, left = [], (1 << len(adjacent)) - 1
    while left:
        component, border = 0, left & -left
        while border:
            component |= border
            reached = 0
            for at in _bits(border):
                reached |= adjacent[at]
            border = reached & ~component
        left &= ~component
        if component.bit_count() > 1:
            found.append(component)
    return found


def _bits(mask: int) -> list[int]:
    """Return the numbers of the bits that are set."""
    found = []
    while mask:
        found.append((mask & -mask).bit_length() - 1)
        mask &= mask - 1
    return found


class _Search:
    """Searches a largest independent set by branching, after all choices that cannot be wrong."""

    def __init__(self, adjacent: Sequence[int]) -> None:
        self._adjacent, self._branches = adjacent, 0

    def largest(self, component: int) -> int:
        """Return a largest set of members that do not exclude each other, or all members if the search is too long."""
        found = self._choose(component)
        return component if self._branches > MAX_BRANCHES else found

    def _choose(self, left: int) -> int:
        chosen = 0
        while left and (certain := self._simplicial(left)) is not None:
            chosen |= 1 << certain
            left &= ~(self._adjacent[certain] | 1 << certain)
        self._branches += 1
        if not left or self._branches > MAX_BRANCHES:
            return chosen
        most = max(_bits(left), key=lambda at: (self._adjacent[at] & left).bit_count())
        taken = 1 << most | self._choose(left & ~(self._adjacent[most] | 1 << most))
        skipped = self._choose(left & ~(1 << most))
        return chosen | max(taken, skipped, key=int.bit_count)

    def _simplicial(self, left: int) -> int | None:
        """Return a member whose neighbours all exclude each other: some largest set contains it."""
        for at in _bits(left):
            neighbours = self._adjacent[at] & left
            if all(not neighbours & ~(self._adjacent[other] | 1 << other) for other in _bits(neighbours)):
                return at
        return None
