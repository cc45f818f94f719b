from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.references import dense_loss, drawn_sides, gold_entries, rotation, within_sides

from ie_cli.modeling.losses import streamed
from ie_cli.modeling.losses.factorised import Gold
from ie_cli.modeling.losses.streamed import Projection, streamed_loss

SIZE, HIDDEN = 4, 6


def scores(hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, *, rope: bool) -> torch.Tensor:
    """Compute the formula of kexue.fm/archives/8373 with the rotation as an explicit matrix."""
    both = torch.einsum("blh,rdh->brld", hidden, weight) + bias[None, :, None]
    query, key = both[..., :SIZE], both[..., SIZE:]
    if rope:
        turn = torch.stack([rotation(position, SIZE) for position in range(hidden.shape[1])])
        query, key = torch.einsum("lde,brle->brld", turn, query), torch.einsum("lde,brle->brld", turn, key)
    return query @ key.transpose(2, 3) / SIZE**0.5


@given(
    seed=st.integers(0, 10**6),
    labels=st.integers(1, 5),
    length=st.integers(1, 8),
    scale=st.sampled_from([0.3, 1.0, 3.0]),
    count=st.integers(0, 10),
    block=st.sampled_from([1, 200, 3000, 2**25]),
    rope=st.booleans(),
    limited=st.booleans(),
)
def test_equals_the_dense_form(
    seed: int, labels: int, length: int, scale: float, count: int, block: int, rope: bool, limited: bool
) -> None:
    random = torch.Generator().manual_seed(seed)
    shapes = ((2, length, HIDDEN), (labels, 2 * SIZE, HIDDEN), (labels, 2 * SIZE))
    fast = [(torch.randn(shape, generator=random) * scale).requires_grad_() for shape in shapes]
    exact = [x.detach().double().requires_grad_() for x in fast]
    mask = torch.rand(2, length, generator=random) < 0.8
    sides = drawn_sides(random, mask) if limited else (mask, mask)
    entries = within_sides(gold_entries(random, mask, labels, count, upper=True), sides)
    gold = Gold.build(entries, mask, sides=sides if limited else None)
    weights = torch.rand(labels, generator=random) + 0.5
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streamed, "BLOCK_BYTES", block)
        loss = streamed_loss(*fast, mask, gold, rope=rope, weights=weights)
        loss.backward()
    dense = scores(*exact, rope=rope)
    reference = sum(
        weights[label].double()
        * dense_loss(
            dense[:, label : label + 1],
            mask,
            entries[entries[:, 1] == label] * torch.tensor([1, 0, 1, 1]),
            sides=sides,
        )
        for label in range(labels)
    )
    assert isinstance(reference, torch.Tensor)
    reference.backward()
    torch.testing.assert_close(loss.double(), reference, rtol=1e-5, atol=1e-5)
    for x, y in zip(fast, exact, strict=True):
        assert x.grad is not None
        assert y.grad is not None
        tolerance = 1e-4 * float(y.grad.abs().max().clamp_min(1.0))
        torch.testing.assert_close(x.grad.double(), y.grad, rtol=1e-4, atol=tolerance)


def test_gradients_pass_through_a_following_factor_and_a_half_precision_encoder() -> None:
    weight, bias = torch.randn(3, 2 * SIZE, HIDDEN, requires_grad=True), torch.randn(3, 2 * SIZE, requires_grad=True)
    hidden = torch.randn(2, 5, HIDDEN).bfloat16().requires_grad_()
    mask = torch.ones(2, 5, dtype=torch.bool)
    gold = Gold.build(torch.tensor([[0, 1, 2, 3]]), mask)
    [single] = torch.autograd.grad(streamed_loss(hidden, weight, bias, mask, gold), [hidden])
    [double] = torch.autograd.grad(2 * streamed_loss(hidden, weight, bias, mask, gold), [hidden])
    assert single.dtype == torch.bfloat16
    torch.testing.assert_close(double, 2 * single)


def test_evaluation_computes_no_gradient() -> None:
    hidden, weight, bias = torch.randn(1, 3, HIDDEN), torch.randn(2, 2 * SIZE, HIDDEN), torch.zeros(2, 2 * SIZE)
    mask = torch.ones(1, 3, dtype=torch.bool)
    none = Gold.build(torch.zeros(0, 4, dtype=torch.int64), mask)
    loss = streamed_loss(hidden, weight, bias, mask, none)
    assert not loss.requires_grad
    dense = dense_loss(scores(hidden.double(), weight.double(), bias.double(), rope=True), mask, none.entries)
    torch.testing.assert_close(loss.double(), dense, rtol=1e-5, atol=1e-5)


def test_blocks_cover_all_labels_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streamed, "BLOCK_BYTES", 3 * 4 * 5 * (5 + 6 * SIZE) + 1)
    projection = Projection(torch.zeros(7, 2 * SIZE, HIDDEN), torch.zeros(7, 2 * SIZE), True)
    assert list(projection.blocks(torch.zeros(1, 5, HIDDEN))) == [(0, 3), (3, 6), (6, 7)]
