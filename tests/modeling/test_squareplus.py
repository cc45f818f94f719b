"""SquarePlus: values and gradients against the formula in 60 digits, in every precision."""

from __future__ import annotations

import math
from decimal import Decimal, getcontext

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from ie_cli.modeling import squareplus as module
from ie_cli.modeling.squareplus import SquarePlus, squareplus

getcontext().prec = 60
DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64]
BS = st.sampled_from([1e-4, math.pi / 8, 1.5238, 4.0, 100.0])


def exact(x: float, b: float) -> tuple[float, float]:
    """Return f(x) and f'(x)."""
    number, root = Decimal(x), (Decimal(x) ** 2 + Decimal(b)).sqrt()
    return float((number + root) / 2), float((1 + number / root) / 2)


def values(x: Tensor, b: float) -> tuple[Tensor, Tensor]:
    """Return f(x) and f'(x) of the code, in float64."""
    x = x.detach().requires_grad_()
    found = squareplus(x, b)
    (slope,) = torch.autograd.grad(found.sum(), x)
    return found.detach().double(), slope.double()


@given(st.lists(st.floats(-60000, 60000, width=16), max_size=40), BS, st.sampled_from(DTYPES))
def test_values_and_gradients_are_those_of_the_formula(xs: list[float], b: float, dtype: torch.dtype) -> None:
    x = torch.tensor(xs, dtype=dtype)
    found, slope = values(x, b)
    expected = torch.tensor([exact(one, b) for one in x.tolist()], dtype=torch.float64).view(-1, 2)
    info = torch.finfo(dtype)
    kind = {"rtol": max(2 * info.eps, 1e-14), "atol": info.smallest_normal}
    torch.testing.assert_close(found, expected[:, 0], **kind)
    torch.testing.assert_close(slope, expected[:, 1], rtol=4 * info.eps, atol=4e-3 * info.eps)


@pytest.mark.parametrize("b", [0.3927, 1.5, 4.0])
def test_large_negative_numbers_lose_no_digits(b: float) -> None:
    for x in (-1e3, -1e4, -1e6):
        found, slope = values(torch.tensor([x]), b)
        assert found.tolist() == pytest.approx([exact(x, b)[0]], rel=1e-6)
        assert slope.tolist() == pytest.approx([exact(x, b)[1]], rel=1e-6)


def test_float16_does_not_overflow() -> None:
    x = torch.tensor([-60000.0, -300.0, 300.0, 60000.0], dtype=torch.float16)
    found, slope = values(x, 4.0)
    assert found[2:].tolist() == x[2:].tolist()
    assert 0 < found[1] < 0.004
    assert slope.tolist() == pytest.approx([0, 0, 1, 1], abs=2e-5)


def test_numbers_at_the_ends_of_the_range() -> None:
    found, slope = values(torch.tensor([-math.inf, -1e30, 1e30, math.inf, math.nan]), 4.0)
    assert found[:4].tolist() == pytest.approx([0, 0, 1e30, math.inf])
    assert slope[:4].tolist() == [0, 0, 1, 1]
    assert math.isnan(found[4])
    assert math.isnan(slope[4])


@given(st.floats(-50, 50), st.floats(0.001, 5), BS)
def test_identities(x: float, step: float, b: float) -> None:
    def f(*xs: float) -> list[float]:
        return squareplus(torch.tensor(xs, dtype=torch.float64), b).tolist()

    zero, plus, minus, left, right = f(0, x, -x, x - step, x + step)
    assert zero == pytest.approx(math.sqrt(b) / 2)
    assert plus - minus == pytest.approx(x, abs=1e-12)
    assert max(x, 0) < plus <= max(x, 0) + math.sqrt(b) / 2 + 1e-12
    assert left < plus < right
    assert left + right >= 2 * plus - 1e-12  # convex


def test_the_default_has_the_curvature_of_gelu_and_4_that_of_softplus() -> None:
    x = torch.zeros(1, dtype=torch.float64)
    second = [
        torch.func.grad(torch.func.grad(lambda x, f=f: f(x).sum()))(x[0]).item()
        for f in (nn.functional.gelu, nn.functional.softplus)
    ]
    assert [1 / (2 * math.sqrt(b)) for b in (0.3927, 4)] == pytest.approx(second, rel=1e-3)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (7,), (8,), (3, 5, 4), (4, 0)])
def test_blocks_do_not_change_the_result(
    shape: tuple[int, ...], dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    x = torch.randn(shape, dtype=dtype) * 3
    whole = values(x, 1.5)
    monkeypatch.setattr(module, "_BLOCK", 7)
    for one, other in zip(values(x, 1.5), whole, strict=True):
        assert one.shape == x.shape
        assert torch.equal(one, other)


def test_inputs_and_gradients_need_not_be_contiguous() -> None:
    torch.manual_seed(0)
    x = torch.randn(6, 10, dtype=torch.float64)[:, ::2].t().requires_grad_()
    weights = torch.randn(6, 5, dtype=torch.float64).t()
    (found,) = torch.autograd.grad((squareplus(x, 2.0) * weights).sum(), x)
    (expected,) = torch.autograd.grad((((x + (x * x + 2).sqrt()) / 2) * weights).sum(), x)
    torch.testing.assert_close(found, expected)
    assert torch.autograd.gradcheck(lambda x: squareplus(x, 2.0), x)


def test_only_the_output_is_stored_which_the_next_layer_stores_too() -> None:
    stored: list[int] = []

    def note(tensor: Tensor) -> Tensor:
        stored.append(tensor.data_ptr())
        return tensor

    x = torch.randn(5, 4, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        output = squareplus(x, 1.0)
    assert stored == [output.data_ptr()]


def test_an_exported_program_computes_the_same() -> None:
    torch.manual_seed(0)
    x = torch.randn(3, 8, dtype=torch.bfloat16) * 5
    program = torch.export.export(SquarePlus(0.5).eval(), (x,))
    assert not any("squareplus" in str(node.target).lower() for node in program.graph.nodes)
    torch.testing.assert_close(program.module()(x), squareplus(x, 0.5))
    assert "b=0.5" in repr(SquarePlus(0.5))
