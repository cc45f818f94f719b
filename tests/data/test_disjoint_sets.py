"""Sets that are united pair by pair, against a plain search of connected numbers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ie_cli.data.disjoint_sets import DisjointSets


def connected(count: int, pairs: list[tuple[int, int]]) -> list[int]:
    """The smallest number that each number is connected with."""
    labels = list(range(count))
    for _ in range(count):
        for one, other in pairs:
            labels[one] = labels[other] = min(labels[one], labels[other])
    return labels


@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=8))
def test_connected_numbers_are_in_one_set(pairs: list[tuple[int, int]]) -> None:
    sets = DisjointSets(8)
    sets.unite(pairs)
    expected = connected(8, pairs)
    assert sets.labels().tolist() == expected
    order = sorted(set(expected))
    assert sets.numbers().tolist() == [order.index(label) for label in expected]
