"""Weights from the Gram matrix satisfy the conditions of the optimum, which identify it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st

from ie_cli.training.balancing.gram import main_auxiliary_weights, min_norm_weights, norms, unit_weights

Gradients = npt.NDArray[np.float64]


@st.composite
def gradients(draw: st.DrawFn) -> Gradients:
    """Gradients of 1 to 5 tasks, of very different sizes, some of them 0, equal or in conflict."""
    random = np.random.default_rng(draw(st.integers(0, 2**20)))
    count, size = draw(st.integers(1, 5)), draw(st.integers(1, 8))
    found = random.normal(size=(count, size)) * np.exp(2 * random.normal(size=(count, 1)))
    for task in draw(st.lists(st.integers(0, count - 1), max_size=2)):
        found[task] = found[0] * draw(st.sampled_from([0.0, 1.0, -1.0, 2.0]))
    return found


@given(gradients())
def test_unit_weights_normalise(g: Gradients) -> None:
    weights = unit_weights(g @ g.T)
    sizes = np.linalg.norm(weights[:, None] * g, axis=1)
    np.testing.assert_allclose(sizes, (np.linalg.norm(g, axis=1) > 0).astype(float), atol=1e-9)


@given(gradients(), st.integers(0, 4))
def test_no_auxiliary_loss_rises_and_only_conflicts_change_the_main_gradient(g: Gradients, number: int) -> None:
    main = number % len(g)
    weights = main_auxiliary_weights(g @ g.T, main)
    direction = weights @ g
    assert weights[main] == 1
    assert (weights >= 0).all()
    sizes = np.where(norms(g @ g.T) > 0, norms(g @ g.T), 1.0)
    slope = (g @ direction) / sizes / max(np.linalg.norm(g[main]), 1e-300)
    others = np.arange(len(g)) != main
    assert slope[others].min(initial=0.0) > -1e-7
    assert np.abs(slope * weights * sizes)[others].max(initial=0.0) < 1e-6 * max(1.0, np.linalg.norm(g[main]))
    assert np.linalg.norm(direction) <= np.linalg.norm(g[main]) * (1 + 1e-9)
    if (g @ g[main] >= 0).all():
        np.testing.assert_allclose(direction, g[main], atol=1e-12)


def test_two_unit_gradients_have_equal_weights() -> None:
    angle = 1.1
    g = np.array([[1.0, 0.0], [np.cos(angle), np.sin(angle)]])
    np.testing.assert_allclose(min_norm_weights(g @ g.T), [0.5, 0.5], atol=1e-12)


def test_orthogonal_gradients_are_weighted_by_their_inverse_squares() -> None:
    g = np.diag([1.0, 2.0, 4.0])
    expected = np.array([1, 1 / 4, 1 / 16])
    np.testing.assert_allclose(min_norm_weights(g @ g.T), expected / expected.sum(), atol=1e-12)


def test_no_loss_rises_when_gradients_have_very_different_lengths() -> None:
    """<g_i, u> ≥ |u|², relative to the shortest gradient: a long one does not hide it."""
    random = np.random.default_rng(0)
    for _ in range(300):
        g = random.normal(size=(4, 12)) * 10.0 ** random.uniform(-6, 0, size=(4, 1))
        u = min_norm_weights(g @ g.T) @ g
        assert (g @ u - u @ u).min() > -1e-7 * np.linalg.norm(g, axis=1).min() * np.linalg.norm(u)


def test_the_counter_example_to_the_iteration_of_the_article_is_solved() -> None:
    """g0 = (-1, 0), g1 = (1, -1), g2 = (1, 0): the iteration stops at (0.5, 0.5), the optimum is (0, 1)."""
    g = np.array([[-1.0, 0.0], [1.0, -1.0], [1.0, 0.0]])
    weights = main_auxiliary_weights(g @ g.T, 0)
    np.testing.assert_allclose(weights @ g, [0, 0], atol=1e-12)
    np.testing.assert_allclose(weights, [1, 0, 1], atol=1e-9)
