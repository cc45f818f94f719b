"""The curve of F1 by threshold, and which threshold is chosen by it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ie_cli.metrics.entities import Counts
from ie_cli.metrics.threshold_curve import LEAST_GAIN, LOWEST, ThresholdChoice, ThresholdCurve

Gold, Found = set[int], dict[int, float]


def curve_of(documents: list[tuple[Gold, Found]], current: float = 0.5) -> ThresholdCurve:
    curve = ThresholdCurve(current)
    for gold, found in documents:
        curve.add(gold, dict(found))
    return curve


def f1_at(documents: list[tuple[Gold, Found]], threshold: float) -> float:
    """The F1 by its definition."""
    counts = Counts()
    for gold, found in documents:
        kept = {item for item, chance in found.items() if chance > threshold}
        counts = Counts(counts.gold + len(gold), counts.predicted + len(kept), counts.correct + len(kept & gold))
    return counts.f1


def repeated(count: int, gold: float, wrong: float) -> list[tuple[Gold, Found]]:
    """Documents with an item that is correct and one that is not, with these probabilities."""
    return [({1}, {1: gold, 2: wrong}) for _ in range(count)]


def logit(probability: float) -> float:
    return math.log(probability / (1 - probability))


items = st.integers(0, 5)
chances = st.floats(0.001, 0.999) | st.sampled_from([0.01, 0.5, 0.25, 0.99])
corpora = st.lists(st.tuples(st.sets(items), st.dictionaries(items, chances)), max_size=12)


@given(corpora, st.floats(LOWEST, 0.99))
def test_the_curve_is_the_f1_at_each_threshold(documents: list[tuple[Gold, Found]], current: float) -> None:
    curve = curve_of(documents, current)
    assert current in curve.thresholds
    for threshold, f1 in zip(curve.thresholds.tolist(), curve.f1().tolist(), strict=True):
        assert f1 == pytest.approx(f1_at(documents, threshold), abs=1e-12)


@given(corpora, st.floats(LOWEST, 0.99), st.floats(LOWEST, 0.99))
def test_a_choice_never_loses_and_changes_nothing_without_a_gain(
    documents: list[tuple[Gold, Found]], current: float, floor: float
) -> None:
    choice = curve_of(documents, current).choose(floor)
    assert (choice.before, choice.f1_before) == (current, pytest.approx(f1_at(documents, current)))
    assert choice.f1 == pytest.approx(f1_at(documents, choice.threshold))
    assert choice.threshold >= min(floor, current)
    assert choice.f1 >= choice.f1_before + LEAST_GAIN if choice.changed else choice.f1 == choice.f1_before


def test_memory_does_not_grow_with_the_data() -> None:
    rng = np.random.default_rng(7)
    documents = [({0, 1}, {n: float(rng.uniform(0.02, 0.98)) for n in range(3)}) for _ in range(1_700)]
    curve = curve_of(documents)
    assert 200 <= len(curve._blocks) <= 400
    for place in (0, 20, 46, 80):
        assert curve.f1()[place] == pytest.approx(f1_at(documents, float(curve.thresholds[place])), abs=1e-12)


def test_the_middle_of_the_plateau_in_logits_is_chosen() -> None:
    choice = curve_of(repeated(40, gold=0.4, wrong=0.03)).choose()
    assert choice.f1_before == 0
    assert choice.f1 == 1
    assert logit(choice.threshold) == pytest.approx((logit(0.4) + logit(0.03)) / 2, abs=0.1)
    bold = curve_of(repeated(40, gold=0.98, wrong=0.7)).choose()
    assert bold.f1_before == pytest.approx(2 / 3)
    assert logit(bold.threshold) == pytest.approx((logit(0.98) + logit(0.7)) / 2, abs=0.1)


def test_the_plateau_is_narrower_the_more_data_there_are() -> None:
    """F1 falls slowly towards 0.05, and steeply above 0.4: with few documents, a threshold far from the edge is chosen."""

    def drawn(count: int) -> ThresholdChoice:
        documents: list[tuple[Gold, Found]] = [({1}, {1: 0.41}) for _ in range(count)]
        for number in range(0, count, 25):
            documents[number][1][2] = 0.05 + 0.3 * number / count
        return curve_of(documents).choose()

    few, many = drawn(100), drawn(6_000)
    assert few.changed
    assert many.changed
    assert few.threshold < many.threshold < 0.41
    assert many.f1 > 0.995


def test_a_threshold_of_a_recipe_is_the_one_to_beat() -> None:
    documents = repeated(40, gold=0.4, wrong=0.03)
    assert curve_of(documents, 0.123).choose() == ThresholdChoice(0.123, 1.0, 0.123, 1.0)
    assert curve_of(documents, 0.8765).choose().before == 0.8765


def test_thresholds_below_the_floor_are_not_chosen() -> None:
    documents = repeated(40, gold=0.04, wrong=0.011)
    assert curve_of(documents).choose().threshold < 0.04
    assert not curve_of(documents).choose(floor=0.06).changed


@pytest.mark.parametrize("documents", [[], [(set(), {})] * 30, [(set(), {1: 0.2})] * 30, repeated(1, 0.4, 0.03)])
def test_data_that_tell_nothing_change_nothing(documents: list[tuple[Gold, Found]]) -> None:
    assert not curve_of(documents).choose().changed


def test_a_gain_of_a_single_document_is_chance() -> None:
    """One long document whose items are all at 0.3; in all others, the items are found at 0.5."""
    odd = [(set(range(20)), dict.fromkeys(range(20), 0.3))]
    rest = [({1, 2, 3}, {1: 0.9, 2: 0.9, 3: 0.9, 4: 0.25})] * 30
    documents = [*rest[:15], *odd, *rest[15:]]
    assert f1_at(documents, 0.27) > f1_at(documents, 0.5) + 0.05
    assert not curve_of(documents).choose().changed
    assert curve_of([*rest[:15], *odd * 12, *rest[15:]]).choose().changed


def test_a_small_gain_changes_nothing() -> None:
    documents = [*repeated(399, gold=0.9, wrong=0.005), ({1}, {1: 0.3})]
    assert f1_at(documents, 0.2) == 1 > f1_at(documents, 0.5)
    assert not curve_of(documents).choose().changed


@pytest.mark.parametrize(("count", "shift", "least"), [(60, -2.0, 0.1), (1_000, -2.0, 0.15), (1_000, 2.0, 0.05)])
def test_what_is_chosen_on_some_data_is_good_on_others(count: int, shift: float, least: float) -> None:
    """Logits that are shifted: a model that is shy, or bold."""
    rng = np.random.default_rng(16)

    def drawn(documents: int) -> list[tuple[Gold, Found]]:
        made = []
        for _ in range(documents):
            right, wrong = rng.normal(2 + shift, 1.5, 2), rng.normal(-2.5 + shift, 1.5, 4)
            chances = 1 / (1 + np.exp(-np.concatenate([right, wrong])))
            made.append(({0, 1}, dict(enumerate(chances.tolist()))))
        return made

    choice, other = curve_of(drawn(count)).choose(), drawn(3_000)
    assert choice.changed
    assert f1_at(other, choice.threshold) > f1_at(other, 0.5) + least


def test_a_calibrated_model_keeps_the_default() -> None:
    rng = np.random.default_rng(3)
    documents = []
    for _ in range(400):
        chances = rng.beta(0.4, 0.4, 4)
        documents.append(({n for n in range(4) if rng.uniform() < chances[n]}, dict(enumerate(chances.tolist()))))
    best = max(f1_at(documents, t / 100) for t in range(5, 95, 5))
    choice = curve_of(documents).choose()
    assert choice.f1 >= best - 0.02
    assert 0.2 < choice.threshold <= 0.5
