"""The loss by levels is the published sum over all ordered pairs."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ie_cli.modeling.losses.cosent import cosent_loss


def dense(cosines: torch.Tensor, labels: torch.Tensor, scale: float = 20.0) -> torch.Tensor:
    """Return the published form, over the matrix of all pairs."""
    gaps = scale * (cosines[None, :] - cosines[:, None])
    kept = gaps[labels[:, None] > labels[None, :]]
    return torch.logsumexp(torch.cat([gaps.new_zeros(1), kept]), 0)


batches = st.tuples(st.integers(0, 2**20), st.integers(0, 40), st.sampled_from([1, 2, 3, 40]))


@given(batches, st.sampled_from([1.0, 20.0, 100.0]))
def test_values_and_gradients_are_those_of_the_dense_form(given_: tuple[int, int, int], scale: float) -> None:
    seed, size, levels = given_
    random = np.random.default_rng(seed)
    labels = torch.from_numpy(random.integers(0, levels, size))
    cosines = torch.from_numpy(random.choice([-1.0, -0.3, 0.2, 0.9], size) + 0.01 * random.normal(size=size))
    one, other = cosines.clone().requires_grad_(), cosines.clone().requires_grad_()
    loss = cosent_loss(one, labels, scale=scale)
    expected = dense(other, labels, scale)
    torch.testing.assert_close(loss, expected, atol=1e-10, rtol=1e-10)
    loss.backward()
    if expected.requires_grad and size:
        expected.backward()
    gradient = torch.zeros_like(cosines) if other.grad is None else other.grad
    torch.testing.assert_close(one.grad, gradient, atol=1e-10, rtol=1e-10)
    assert abs(float(gradient.sum())) < 1e-8
    assert one.grad is not None
    assert float(one.grad.abs().sum()) <= 2 * scale + 1e-9


@given(batches)
def test_only_the_order_of_labels_counts_and_a_constant_in_the_cosines_does_not(given_: tuple[int, int, int]) -> None:
    seed, size, levels = given_
    random = np.random.default_rng(seed)
    labels = torch.from_numpy(random.integers(0, levels, size)).double()
    cosines = torch.from_numpy(random.uniform(-1, 1, size))
    loss = cosent_loss(cosines, labels)
    torch.testing.assert_close(cosent_loss(cosines + 0.5, labels.exp()), loss)
    shuffled = torch.from_numpy(random.permutation(size))
    torch.testing.assert_close(cosent_loss(cosines[shuffled], labels[shuffled]), loss)


@pytest.mark.parametrize(("gap", "expected"), [(2.0, 1.1e-15), (1.0, 5.28e-7), (0.1, 3.57), (0.0, math.log(257))])
def test_the_loss_of_256_pairs_in_the_right_order(gap: float, expected: float) -> None:
    labels = torch.arange(32) // 16
    assert cosent_loss(gap * labels.double(), labels).item() == pytest.approx(expected, rel=5e-3)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_gives_finite_losses(dtype: torch.dtype) -> None:
    cosines = torch.tensor([1.0, -1.0, 0.5, -0.5], dtype=dtype, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = cosent_loss(cosines, torch.tensor([0, 1, 0, 1]))
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(dense(cosines.float(), torch.tensor([0, 1, 0, 1])).item(), rel=1e-3)
    assert cosines.grad is not None
    assert cosines.grad.isfinite().all()


def test_a_large_batch_needs_no_matrix() -> None:
    labels = torch.arange(200_000) % 7
    cosines = torch.linspace(-1, 1, 200_000, requires_grad=True)
    cosent_loss(cosines, labels).backward()  # the matrix of all pairs would have 160 GB
    assert cosines.grad is not None
    assert cosines.grad.isfinite().all()


def test_all_wrong_by_the_widest_margin() -> None:
    labels = torch.arange(32) // 16
    assert cosent_loss(1 - 2.0 * labels.double(), labels).item() == pytest.approx(40 + math.log(256), abs=1e-9)


@given(batches)
def test_the_weights_of_the_comparisons_sum_to_the_share_that_is_wrong(given_: tuple[int, int, int]) -> None:
    """In two classes, each comparison has one pair of either side: the gradient of a side is λ times the sum of weights."""
    seed, size, _ = given_
    random = np.random.default_rng(seed)
    labels = torch.from_numpy(random.integers(0, 2, size))
    cosines = torch.from_numpy(random.uniform(-1, 1, size)).requires_grad_()
    loss = cosent_loss(cosines, labels)
    loss.backward()
    assert cosines.grad is not None
    wrong = -math.expm1(-loss.item())
    assert cosines.grad[labels == 1].sum().item() == pytest.approx(-20 * wrong, abs=1e-9)
    assert cosines.grad[labels == 0].sum().item() == pytest.approx(20 * wrong, abs=1e-9)


@given(batches)
def test_a_large_scale_leaves_the_worst_comparison(given_: tuple[int, int, int]) -> None:
    seed, size, levels = given_
    random = np.random.default_rng(seed)
    labels = torch.from_numpy(random.integers(0, levels, size))
    cosines = torch.from_numpy(random.uniform(-1, 1, size))
    gaps = (cosines[None, :] - cosines[:, None])[labels[:, None] > labels[None, :]]
    worst = max(0.0, float(gaps.max())) if len(gaps) else 0.0
    assert cosent_loss(cosines, labels, scale=1e6).item() / 1e6 == pytest.approx(worst, abs=1e-4)


def test_equal_cosines_count_once_and_equal_labels_not_at_all() -> None:
    cosines = torch.zeros(4, dtype=torch.float64)
    assert cosent_loss(cosines, torch.tensor([0, 1, 1, 1])).item() == pytest.approx(math.log(1 + 3))
    assert cosent_loss(cosines, torch.tensor([0.1, 0.1 + 1e-7, 0.1, 0.1])).item() == pytest.approx(math.log(1 + 3))
    assert cosent_loss(cosines, torch.ones(4)).item() == 0.0
