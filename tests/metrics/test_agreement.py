"""Cohen's kappa against scikit-learn, and the classes of units against a plain count."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from ie_cli.document import Entity
from ie_cli.formats.conll_writer import split_at_boundaries
from ie_cli.metrics.agreement import character_classes, kappa, label_kappas, token_classes


def test_kappa_is_that_of_scikit_learn() -> None:
    made = random.Random(0)
    for classes in (2, 3, 7):
        one = [made.randrange(classes) for _ in range(200)]
        other = [label if made.random() < 0.6 else made.randrange(classes) for label in one]
        assert kappa(Counter(zip(one, other, strict=True))) == pytest.approx(cohen_kappa_score(one, other))


@pytest.mark.parametrize("confusion", [{}, {("a", "a"): 7}])
def test_kappa_is_undefined_without_two_classes(confusion: dict[tuple[str, str], int]) -> None:
    assert kappa(confusion) is None


def test_kappa_of_independent_and_of_opposite_sides() -> None:
    assert kappa({("a", "a"): 1, ("a", "b"): 1, ("b", "a"): 1, ("b", "b"): 1}) == 0
    assert kappa({("a", "b"): 5, ("b", "a"): 5}) == -1
    assert kappa({("a", "a"): 5, ("b", "b"): 5}) == 1


TEXT = "Ann met Bob 在北京大学 \n twice."
ENTITY = st.builds(
    lambda start, length, label: Entity(start, min(len(TEXT), start + length), label),
    st.integers(0, len(TEXT) - 1),
    st.integers(1, 9),
    st.sampled_from("xyz"),
)


@given(st.sets(ENTITY, max_size=4), st.sets(ENTITY, max_size=4))
def test_units_have_the_labels_that_cover_them(one: set[Entity], other: set[Entity]) -> None:
    characters = Counter(
        tuple(frozenset(e.label for e in side if e.start <= at < e.end) for side in (one, other))
        for at in range(len(TEXT))
    )
    assert character_classes(TEXT, one, other) == characters
    spans = [piece for word in split_at_boundaries(TEXT, ()) for piece in word]
    tokens = Counter(
        tuple(frozenset(e.label for e in side if e.start < end and start < e.end) for side in (one, other))
        for start, end in spans
    )
    assert token_classes(TEXT, one, other) == tokens


def test_the_kappa_of_a_label_is_that_of_having_it() -> None:
    one, other = [Entity(0, 3, "x"), Entity(8, 11, "y")], [Entity(0, 3, "x"), Entity(8, 11, "x")]
    classes = character_classes(TEXT, one, other)
    inside = [
        [any(e.start <= at < e.end for e in side if e.label == "x") for at in range(len(TEXT))] for side in (one, other)
    ]
    assert label_kappas(classes)["x"] == pytest.approx(cohen_kappa_score(*inside))
    assert label_kappas(classes)["y"] == 0
