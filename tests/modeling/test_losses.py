from __future__ import annotations

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from support.references import dense_loss, drawn_sides, gold_entries, shared_scores, within_sides
from torch import Tensor

from ie_cli.errors import DataError
from ie_cli.modeling.losses import factorised as losses
from ie_cli.modeling.losses.factorised import Gold, factorised_loss


def check_against_dense(
    pair: Tensor,
    start: Tensor,
    end: Tensor,
    mask: Tensor,
    entries: Tensor,
    *,
    upper: bool = True,
    sides: tuple[Tensor, Tensor] | None = None,
) -> None:
    """Compare value and gradients in float32 with the dense form in float64."""
    fast = [x.float().clone().requires_grad_() for x in (pair, start, end)]
    exact = [x.detach().double().requires_grad_() for x in fast]
    gold = Gold.build(entries, mask, upper=upper, sides=sides)
    loss = factorised_loss(*fast, mask, gold, upper=upper)
    reference = dense_loss(shared_scores(*exact), mask, entries, upper=upper, sides=sides)
    loss.backward()
    reference.backward()
    assert loss.item() >= 0
    torch.testing.assert_close(loss.double(), reference, rtol=2e-6, atol=2e-6)
    for x, y in zip(fast, exact, strict=True):
        assert x.grad is not None
        torch.testing.assert_close(x.grad.double(), y.grad, rtol=1e-4, atol=2e-5)


@given(
    seed=st.integers(0, 10**6),
    batch=st.integers(1, 3),
    labels=st.integers(1, 4),
    length=st.integers(1, 9),
    scale=st.sampled_from([0.1, 1.0, 5.0, 20.0, 60.0]),
    count=st.integers(0, 12),
    upper=st.booleans(),
    limited=st.booleans(),
)
@example(seed=258, batch=2, labels=1, length=2, scale=60.0, count=2, upper=False, limited=True)  # first tokens alone
def test_equals_the_dense_form(
    seed: int, batch: int, labels: int, length: int, scale: float, count: int, upper: bool, limited: bool
) -> None:
    random = torch.Generator().manual_seed(seed)
    pair, start, end = (
        torch.randn(shape, generator=random) * scale
        for shape in ((batch, length, length), (batch, labels, length), (batch, labels, length))
    )
    mask = torch.rand(batch, length, generator=random) < 0.8
    entries = gold_entries(random, mask, labels, count, upper=upper)
    sides = drawn_sides(random, mask) if limited else None
    entries = within_sides(entries, sides) if sides is not None else entries
    check_against_dense(pair, start, end, mask, entries, upper=upper, sides=sides)


@pytest.mark.parametrize("score", [-60.0, 8.0, 20.0, 60.0, 500.0])
def test_a_duplicated_gold_entry_counts_once(score: float) -> None:
    pair = torch.full((1, 4, 4), -5.0)
    pair[0, 1, 2] = score
    zero = torch.zeros(1, 2, 4)
    check_against_dense(
        pair, zero, zero, torch.ones(1, 4, dtype=torch.bool), torch.tensor([[0, 0, 1, 2], [0, 0, 1, 2]])
    )


def test_all_entries_gold() -> None:
    entries = torch.tensor([[0, 0, i, j] for i in range(4) for j in range(i, 4)])
    check_against_dense(
        torch.randn(1, 4, 4), torch.randn(1, 1, 4), torch.randn(1, 1, 4), torch.ones(1, 4, dtype=torch.bool), entries
    )


@pytest.mark.parametrize("block", [1, 10**9])
def test_scores_too_far_apart_are_summed_densely_in_any_blocks(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(losses, "BLOCK_BYTES", block)
    random = torch.Generator().manual_seed(1)
    start, end = torch.zeros(2, 3, 6), torch.zeros(2, 3, 6)
    start[0, 1, 2], end[0, 1, 1] = 200.0, 150.0  # never in the same valid entry: their shift hides all the others
    start[1, 2] = 70.0
    mask = torch.ones(2, 6, dtype=torch.bool)
    entries = gold_entries(random, mask, 3, 9, upper=True)
    check_against_dense(torch.randn(2, 6, 6, generator=random), start, end, mask, entries)


def test_samples_without_text_contribute_nothing() -> None:
    mask = torch.tensor([[True, True], [False, False]])
    scores = [torch.randn(2, 2, 2), torch.randn(2, 3, 2), torch.randn(2, 3, 2)]
    none = Gold.build(torch.zeros(0, 4, dtype=torch.int64), mask)
    alone = Gold.build(torch.zeros(0, 4, dtype=torch.int64), mask[:1])
    both = factorised_loss(*scores, mask, none)
    one = factorised_loss(*(x[:1] for x in scores), mask[:1], alone)
    torch.testing.assert_close(both * 2, one)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_factors_are_summed_in_float32(dtype: torch.dtype) -> None:
    scores = [torch.randn(2, 5, 5), torch.randn(2, 3, 5), torch.randn(2, 3, 5)]
    low = [x.to(dtype) for x in scores]
    mask = torch.ones(2, 5, dtype=torch.bool)
    gold = Gold.build(torch.tensor([[0, 1, 2, 3]]), mask)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = factorised_loss(*low, mask, gold)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, factorised_loss(*(x.float() for x in low), mask, gold))


def test_weights_multiply_the_loss_of_their_label() -> None:
    scores = [torch.randn(2, 5, 5), torch.randn(2, 3, 5), torch.randn(2, 3, 5)]
    mask = torch.ones(2, 5, dtype=torch.bool)
    gold = Gold.build(torch.tensor([[0, 1, 2, 3], [1, 2, 0, 0]]), mask)
    ones = [factorised_loss(*scores, mask, gold, weights=torch.eye(3)[label]) for label in range(3)]
    weighted = factorised_loss(*scores, mask, gold, weights=torch.tensor([1.0, 2.0, 3.0]))
    torch.testing.assert_close(weighted, ones[0] + 2 * ones[1] + 3 * ones[2])


@pytest.mark.parametrize("entry", [[0, 0, 3, 2], [0, 0, 0, 2], [0, 0, 1, 4]])
def test_invalid_gold_is_an_error(entry: list[int]) -> None:
    mask = torch.tensor([[False, True, True, True, False]])
    with pytest.raises(DataError, match="is not valid"):
        Gold.build(torch.tensor([entry]), mask)
