"""Entropy normalisation: the entropy is the target, the order is kept, and what cannot be reached is reported."""

from __future__ import annotations

import math
import time

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from ie_cli.metrics.entropy import entropy, normalise_entropy, normalise_logit_entropy

Floats = npt.NDArray[np.float64]


def plain_entropy(p: Floats) -> float:
    q = p[p > 0] / p.sum()
    return float(-(q * np.log(q)).sum())


def newton(p: Floats, target: float) -> float | None:
    """Return the exponent by the article's iteration, or None if it fails."""
    exponent = 1.0
    with np.errstate(all="ignore"):
        for _ in range(50):
            q = p**exponent / (p**exponent).sum()
            found = -(q * np.log(q)).sum()
            variance = (q * np.log(p) ** 2).sum() - (q * np.log(p)).sum() ** 2
            exponent += (found - target) / (exponent * variance)
            if not math.isfinite(exponent) or exponent <= 0:
                return None
        q = p**exponent / (p**exponent).sum()
        return float(exponent) if abs(-(q * np.log(q)).sum() - target) < 1e-9 else None


def distribution(seed: int, n: int, power: float, zeros: int) -> Floats:
    """Draw a distribution, the more peaked the higher the power; not all of it is zero."""
    random = np.random.default_rng(seed)
    p = random.random(n) ** power
    p[random.permutation(n)[: min(zeros, n - 2)]] = 0
    return p


CASES = {
    "seed": st.integers(0, 2**32),
    "n": st.integers(2, 60),
    "power": st.floats(0.01, 300),
    "zeros": st.integers(0, 30),
    "share": st.floats(0.001, 0.999),
}


@settings(max_examples=300)
@given(**CASES)
@example(seed=44296667, n=26, power=212.625, zeros=7, share=0.03125)  # a probability that is subnormal
def test_the_entropy_is_the_target_and_the_order_is_kept(
    seed: int, n: int, power: float, zeros: int, share: float
) -> None:
    p = distribution(seed, n, power, zeros)
    if (p == p.max()).sum() > 1 or (p > 0).sum() < 2:
        return  # tested below
    target = share * math.log((p > 0).sum())
    found = normalise_entropy(p, target)
    q = found.probabilities
    assert found.reached
    assert abs(plain_entropy(q) - target) < 1e-8
    assert q.sum() == pytest.approx(1)
    assert 0 < found.exponents < np.inf
    assert not q[p == 0].any()
    order = np.argsort(p, kind="stable")
    assert (np.diff(q[order]) >= 0).all()
    # The errors of logarithms are multiplied by the exponent; q below 1e-300 has fewer digits.
    exact = (p > 0) & (q > 1e-300)
    logs = np.log(p[exact])
    expected = found.exponents * (logs - math.log(p.max()))
    tolerance = 1e-9 + 1e-14 * found.exponents * np.abs(logs).max()
    np.testing.assert_allclose(np.log(q[exact] / q.max()), expected, rtol=1e-12, atol=tolerance)


@given(**CASES, scale=st.floats(1e-200, 1e200))
def test_the_scale_of_the_weights_does_not_matter(
    seed: int, n: int, power: float, zeros: int, share: float, scale: float
) -> None:
    p = distribution(seed, n, min(power, 5), zeros)
    target = share * math.log(n)
    one, other = normalise_entropy(p, target), normalise_entropy(p * scale, target)
    np.testing.assert_allclose(one.probabilities, other.probabilities, atol=1e-6)
    assert one.reached == other.reached


@given(**CASES)
def test_the_own_entropy_gives_the_exponent_one_and_twice_is_as_once(
    seed: int, n: int, power: float, zeros: int, share: float
) -> None:
    p = distribution(seed, n, power, zeros)
    own = normalise_entropy(p, entropy(p))
    assert own.exponents == 1
    np.testing.assert_allclose(own.probabilities, p / p.sum(), rtol=1e-9, atol=1e-300)
    once = normalise_entropy(p, share * math.log(n)).probabilities
    np.testing.assert_allclose(normalise_entropy(once, entropy(once)).probabilities, once, rtol=1e-9, atol=1e-300)


@given(**CASES)
def test_it_is_what_the_article_finds_where_that_converges(
    seed: int, n: int, power: float, zeros: int, share: float
) -> None:
    p = distribution(seed, n, min(power, 30), 0)
    target = share * math.log(n)
    expected = newton(p, target)
    if expected is not None:
        assert float(normalise_entropy(p, target).exponents) == pytest.approx(expected, rel=1e-5)


def test_the_example_of_the_article() -> None:
    p = np.random.default_rng(0).random(100)
    found = normalise_entropy(p, math.log(30))
    assert plain_entropy(found.probabilities) == pytest.approx(math.log(30), abs=1e-9)
    assert float(found.exponents) == pytest.approx(newton(p, math.log(30)), rel=1e-6)


def test_cases_in_which_the_article_fails_are_solved() -> None:
    """About one random case in eight, most of them peaked distributions with a high target."""
    random = np.random.default_rng(0)
    failed = 0
    for _ in range(300):
        p = random.random(50) ** random.uniform(0.1, 30)
        target = random.uniform(0.05, 0.99) * math.log(50)
        failed += newton(p, target) is None
        assert abs(plain_entropy(normalise_entropy(p, target).probabilities) - target) < 1e-8
    assert failed > 10


@given(
    logits=arrays.arrays(np.float64, st.integers(1, 8), elements=st.floats(-1e300, 1e300) | st.just(-np.inf)),
    target=st.floats(-1, 4),
)
def test_any_logits_give_the_target_or_the_nearest_end(logits: Floats, target: float) -> None:
    if np.isneginf(logits).all():
        return  # an error, see below
    found = normalise_logit_entropy(logits, target)
    q = found.probabilities
    assert np.isfinite(q).all()
    assert q.sum() == pytest.approx(1)
    assert not q[np.isneginf(logits)].any()
    lowest, highest = math.log((logits == logits.max()).sum()), math.log((~np.isneginf(logits)).sum())
    nearest = min(max(target, lowest), highest)
    assert plain_entropy(q) == pytest.approx(nearest, abs=1e-8)
    assert found.reached == (abs(nearest - target) <= 1e-10)
    order = np.argsort(logits, kind="stable")
    assert (np.diff(q[order]) >= 0).all()


def test_the_ends_of_the_range() -> None:
    p = np.array([[0.4, 0.4, 0.2, 0.0]] * 4)
    found = normalise_entropy(p, [0.3, math.log(2), math.log(3), 1.3])
    half, third = [0.5, 0.5, 0, 0], [1 / 3, 1 / 3, 1 / 3, 0]
    np.testing.assert_allclose(found.probabilities, [half, half, third, third])
    assert found.exponents.tolist() == [math.inf, math.inf, 0, 0]
    assert found.reached.tolist() == [False, True, True, False]
    uniform = normalise_entropy(np.ones((3, 4)), [1.0, math.log(4), 2.0])
    np.testing.assert_array_equal(uniform.probabilities, np.full((3, 4), 0.25))
    assert uniform.exponents.tolist() == [1, 1, 1]
    assert uniform.reached.tolist() == [False, True, False]
    single = normalise_entropy([[0.0, 3.0]], [0.0])
    assert (single.probabilities.tolist(), single.reached.tolist()) == ([[0, 1]], [True])


def test_shapes() -> None:
    p = np.random.default_rng(0).random((2, 3, 5))
    found = normalise_entropy(p, 1.0)
    assert (found.probabilities.shape, found.exponents.shape, found.reached.shape) == ((2, 3, 5), (2, 3), (2, 3))
    by_row = normalise_entropy(p, np.linspace(0.5, 1.5, 6).reshape(2, 3))
    np.testing.assert_allclose(entropy(by_row.probabilities), np.linspace(0.5, 1.5, 6).reshape(2, 3), atol=1e-9)
    assert normalise_entropy(np.zeros((0, 3)), 1.0).probabilities.shape == (0, 3)
    np.testing.assert_allclose(
        normalise_logit_entropy(np.log(p), 1.0).probabilities, found.probabilities, rtol=1e-9
    )  # logits may be log-probabilities


@pytest.mark.parametrize(
    ("probabilities", "target", "message"),
    [
        ([0.5, -0.1], 0.1, "at least 0"),
        ([0.5, math.nan], 0.1, "finite"),
        ([0.5, math.inf], 0.1, "finite"),
        ([[0.5, 0.5], [0, 0]], 0.1, "zeros alone"),
        ([], 0.1, r"got the shape \[0\]"),
        (0.5, 0.1, r"got the shape \[\]"),
        ([0.5, 0.5], math.nan, "must be a number, got nan"),
    ],
)
def test_bad_arguments(probabilities: object, target: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        normalise_entropy(probabilities, target)  # type: ignore[arg-type]


@pytest.mark.parametrize("logit", [math.nan, math.inf])
def test_bad_logits(logit: float) -> None:
    with pytest.raises(ValueError, match="logits must be numbers below infinity"):
        normalise_logit_entropy([0.0, logit], 0.1)


def test_many_rows_are_fast() -> None:
    random = np.random.default_rng(0)
    p = random.random((100_000, 50)) ** random.uniform(0.1, 30, (100_000, 1))
    targets = random.uniform(0.05, 0.99, 100_000) * math.log(50)
    before = time.process_time()
    found = normalise_entropy(p, targets)
    assert time.process_time() - before < 10  # 1 s on a quiet core
    np.testing.assert_allclose(entropy(found.probabilities), targets, atol=1e-9)
