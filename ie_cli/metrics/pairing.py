"""One-to-one pairs of gold and predicted items, without comparing every item with every other.

Overlaps are found by a sweep over the text, so that the cost grows with the items and the overlapping pairs. If thousands of
items overlap in one place, there may be as many pairs as the product of the two sides. The number of pairs in a document is
therefore limited, and the error counts come with a note if the limit is exceeded.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, Protocol, TypeVar

from ie_cli.errors import counted
from ie_cli.triples import Span

MAX_PAIRS = 200_000
"""The maximum number of overlapping pairs compared in one document: about 8,000 errors that each overlap 20 others."""
MAX_CHARACTERS = 4_000_000
"""The maximum total length of texts compared in one document if arguments are texts: about 100,000 pairs of names."""


class _Ordered(Protocol):
    def __lt__(self, other: Any, /) -> bool: ...


Item = TypeVar("Item", bound=_Ordered)
Candidate = tuple[tuple[float, ...], Item, Item]
"""A rank (lowest is best), a gold item and a predicted item."""


def one_to_one(candidates: Iterable[Candidate[Item]]) -> list[tuple[Item, Item]]:
    """Select pairs of (rank, gold, predicted), lowest rank first, using each item once; ties follow the items' order."""
    pairs = []
    taken: set[tuple[bool, Item]] = set()
    for _, a, b in sorted(candidates):
        if (True, a) not in taken and (False, b) not in taken:
            taken |= {(True, a), (False, b)}
            pairs.append((a, b))
    return pairs


def overlapping(
    gold: Iterable[Item], predicted: Iterable[Item], span: Callable[[Item], Span]
) -> Iterator[tuple[Item, Item]]:
    """Yield the pairs whose spans share a character."""
    sides = ((0, item) for item in gold), ((1, item) for item in predicted)
    open_items: tuple[list[tuple[int, Item]], list[tuple[int, Item]]] = ([], [])  # end and item; none starts later
    for side, item in sorted((pair for some in sides for pair in some), key=lambda pair: span(pair[1])[0]):
        start, end = span(item)
        if start >= end:
            continue
        others = open_items[1 - side]
        others[:] = [other for other in others if other[0] > start]  # the rest end before all remaining items
        for _, other in others:
            yield (other, item) if side else (item, other)
        open_items[side].append((end, item))


def count_overlapping(gold: Collection[Span], predicted: Collection[Span]) -> int:
    """Return how many pairs share a character; no span may be empty."""
    starts, ends = sorted(start for start, _ in predicted), sorted(end for _, end in predicted)
    return sum(bisect_left(starts, end) - bisect_right(ends, start) for start, end in gold)


def by_key(items: Iterable[Item], key: Callable[[Item], Any]) -> dict[Any, list[Item]]:
    """Group items by a key, keeping their order."""
    groups: dict[Any, list[Item]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups


def groups_of_both(
    gold: Iterable[Item], predicted: Iterable[Item], key: Callable[[Item], Any]
) -> list[tuple[list[Item], list[Item]]]:
    """Return the groups with the same key that have items on both sides."""
    others = by_key(predicted, key)
    return [(some, others[name]) for name, some in by_key(gold, key).items() if name in others]


def truncated_notes(documents: int, only: str) -> tuple[str, ...]:
    """Return the note on documents that exceeded the limit of pairs; `only` names the items still paired there."""
    if not documents:
        return ()
    return (
        f"{counted(documents, 'document')} exceeded the limit of overlapping errors: only {only} are paired there, all others "
        "count as missed or invented",
    )
