"""Rotary position embeddings."""

from __future__ import annotations

import torch
from torch import Tensor


def rotary_angles(length: int, size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return cosines and sines of ``position · 10000^(-2i/size)``; float32 ``[length, size / 2]`` each.

    Source: Su et al., RoFormer, arXiv 2104.09864; kexue.fm/archives/8265.
    """
    if size % 2:
        raise ValueError(f"rotary positions need an even size, got {size}")
    frequency = 10000.0 ** (-torch.arange(0, size, 2, dtype=torch.float32, device=device) / size)
    angle = torch.arange(length, dtype=torch.float32, device=device)[:, None] * frequency
    return angle.cos(), angle.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate adjacent pairs (x_0, x_1), (x_2, x_3), … of each position's vector.

    Args:
        x: ``[…, length, size]``.
        cos: ``[length, size / 2]`` from `rotary_angles`.
        sin: ``[length, size / 2]`` from `rotary_angles`.
    """
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2)
