"""One-to-one pairs of gold and predicted items, without comparing each with each.

What overlaps is found by a sweep along the text, so that the cost grows with the items and with the pairs that overlap. These may
still be as many as the product of the two sides, where thousands of items lie around one place: such a document has a bound, and
whoever counts errors says that it was met.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, Protocol, TypeVar

from ie_cli.triples import Span

MOST_PAIRS = 200_000
"""Overlapping pairs of one document that are compared; some 8,000 errors that each overlap 20 others."""
MOST_CHARACTERS = 4_000_000
"""Characters of the texts of pairs that are compared in one document, where arguments are texts: some 100,000 pairs of names."""


class _Ordered(Protocol):
    def __lt__(self, other: Any, /) -> bool: ...


Item = TypeVar("Item", bound=_Ordered)
Candidate = tuple[tuple[float, ...], Item, Item]
"""A rank, of which the lowest is the best, a gold item and a predicted one."""


def one_to_one(candidates: Iterable[Candidate[Item]]) -> list[tuple[Item, Item]]:
    """Take (rank, gold, predicted) by rank, the lowest first, each item once; equal ranks by the items' own order."""
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
    """The pairs whose spans share a character."""
    sides = ((0, item) for item in gold), ((1, item) for item in predicted)
    open_items: tuple[list[tuple[int, Item]], list[tuple[int, Item]]] = ([], [])  # end and item; none begins later
    for side, item in sorted((pair for some in sides for pair in some), key=lambda pair: span(pair[1])[0]):
        start, end = span(item)
        if start >= end:
            continue
        others = open_items[1 - side]
        others[:] = [other for other in others if other[0] > start]  # the others end before all that is to come
        for _, other in others:
            yield (other, item) if side else (item, other)
        open_items[side].append((end, item))


def count_overlapping(gold: Collection[Span], predicted: Collection[Span]) -> int:
    """How many pairs share a character; no span is empty."""
    starts, ends = sorted(start for start, _ in predicted), sorted(end for _, end in predicted)
    return sum(bisect_left(starts, end) - bisect_right(ends, start) for start, end in gold)


def by_key(items: Iterable[Item], key: Callable[[Item], Any]) -> dict[Any, list[Item]]:
    """Items in groups of one key, in the order in which they come."""
    groups: dict[Any, list[Item]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups


def groups_of_both(
    gold: Iterable[Item], predicted: Iterable[Item], key: Callable[[Item], Any]
) -> list[tuple[list[Item], list[Item]]]:
    """The groups of one key that have items on both sides."""
    others = by_key(predicted, key)
    return [(some, others[name]) for name, some in by_key(gold, key).items() if name in others]


def truncated_notes(documents: int, only: str) -> tuple[str, ...]:
    """What is said of documents in which more could be paired than is compared; `only`: what is paired there."""
    if not documents:
        return ()
    what = "a document" if documents == 1 else f"{documents} documents"
    return (
        f"in {what} more errors overlap than are compared: only {only} are paired there, others are missed and invented",
    )
