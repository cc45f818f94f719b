"""SquarePlus, an activation without exponentials (article 8833; Barron, arXiv 2112.11687).

    f(x) = (x + √(x² + b)) / 2 = max(x, 0) + b / (2 (√(x² + b) + |x|))        f'(x) = f / √(x² + b) = 1 / (1 + b / (4 f²))

The second form of f has no cancellation for negative x. The second form of f' needs only the output, which the next matrix
product stores anyway, whereas the backward pass of GELU needs the input.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

_BLOCK = 2**18
"""The number of elements that are computed at once on a CPU, so that intermediate results stay in its cache."""


def squareplus(x: Tensor, b: float) -> Tensor:
    """Return f(x) elementwise, in the dtype of `x`; computed in float32 at least, because x² overflows in float16.

    Args:
        x: any shape.
        b: above 0; f(0) is √b / 2.
    """
    if torch.compiler.is_compiling() or torch.compiler.is_exporting():
        return _forward(x.to(_working_dtype(x)), b / 4).to(x.dtype)
    return _SquarePlus.apply(x, b / 4)  # type: ignore[no-untyped-call,no-any-return]


class SquarePlus(nn.Module):
    """`squareplus` as a module."""

    def __init__(self, b: float) -> None:
        super().__init__()
        self.b = b

    def forward(self, x: Tensor) -> Tensor:
        return squareplus(x, self.b)

    def extra_repr(self) -> str:
        return f"b={self.b}"


def _working_dtype(x: Tensor) -> torch.dtype:
    return torch.promote_types(x.dtype, torch.float32)


def _forward(x: Tensor, c: float) -> Tensor:
    """Return f(x) for c = b / 4: max(x, 0) + c / (√(x² / 4 + c) + |x| / 2)."""
    larger = (x * x / 4 + c).sqrt() + x.abs() / 2  # f(|x|)
    return x.clamp(min=0) + c / larger


class _SquarePlus(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, c: float) -> Tensor:
        if x.device.type == "cpu":
            x = x.contiguous()
            output = torch.empty_like(x)
            _forward_in_blocks(x.view(-1), c, output.view(-1))
        else:
            output = _forward(x.to(_working_dtype(x)), c).to(x.dtype)
        ctx.save_for_backward(output)
        ctx.c = c
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (output,) = ctx.saved_tensors
        gradient = gradients[0]
        if output.device.type == "cpu":
            found = torch.empty_like(output)
            _backward_in_blocks(output.view(-1), gradient.reshape(-1), ctx.c, found.view(-1))
        else:
            wide = output.to(_working_dtype(output))
            found = (gradient / (1 + ctx.c / (wide * wide))).to(gradient.dtype)
        return found, None


def _forward_in_blocks(x: Tensor, c: float, output: Tensor) -> None:
    """Write f(x) to `output`; all tensors are contiguous and have one dimension."""
    dtype, constant = _working_dtype(x), torch.tensor(c, dtype=_working_dtype(x))
    buffers = torch.empty(3, min(_BLOCK, x.numel()), dtype=dtype)
    for given, result in zip(torch.split(x, _BLOCK), torch.split(output, _BLOCK), strict=True):
        other, larger, wide = buffers[:, : given.numel()]
        part = given if given.dtype == dtype else wide.copy_(given)
        torch.abs(part, out=other)
        torch.addcmul(constant, part, part, value=0.25, out=larger)
        larger.sqrt_().add_(other, alpha=0.5).reciprocal_()
        torch.clamp(part, min=0, out=other)
        if result.dtype == dtype:
            torch.add(other, larger, alpha=c, out=result)
        else:
            result.copy_(other.add_(larger, alpha=c))


def _backward_in_blocks(output: Tensor, gradient: Tensor, c: float, found: Tensor) -> None:
    """Write the gradient times f'(x) to `found`, for the output f(x)."""
    dtype = _working_dtype(output)
    buffers = torch.empty(2, min(_BLOCK, output.numel()), dtype=dtype)
    blocks = (torch.split(tensor, _BLOCK) for tensor in (output, gradient, found))
    for value, given, result in zip(*blocks, strict=True):
        divisor, wide = buffers[:, : value.numel()]
        divisor.copy_(value)
        divisor.mul_(divisor).reciprocal_().mul_(c).add_(1)
        if result.dtype == dtype:
            torch.div(given, divisor, out=result)
        else:
            result.copy_(wide.copy_(given).div_(divisor))
