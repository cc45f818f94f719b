"""Plain references that the fast paths are tested against."""

from __future__ import annotations

import torch
from torch import Tensor


def dense_loss(scores: Tensor, mask: Tensor, cells: Tensor, *, upper: bool = True) -> Tensor:
    """Section by section the formula of kexue.fm/archives/7359 on a tensor ``[batch, rows, L, L]``."""
    total = 0 * scores.sum()  # keeps the gradient where nothing counts
    batch, rows, length, _ = scores.shape
    gold = {tuple(cell) for cell in cells.tolist()}
    for b in range(batch):
        for r in range(rows):
            positive, negative = [scores.new_zeros(())], [scores.new_zeros(())]
            for i in range(length):
                for j in range(length):
                    if (b, r, i, j) in gold:
                        positive.append(-scores[b, r, i, j])
                    elif mask[b, i] and mask[b, j] and (i <= j or not upper):
                        negative.append(scores[b, r, i, j])
            total = total + torch.stack(positive).logsumexp(0) + torch.stack(negative).logsumexp(0)
    return total / batch


def shared_scores(pair: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """``[batch, rows, L, L]`` from the factors of an efficient head."""
    return pair[:, None] + start[..., None] + end[:, :, None]


def rotation(position: int, size: int) -> Tensor:
    """The matrix R of rotary positions, written out; float64 ``[size, size]``."""
    matrix = torch.zeros(size, size, dtype=torch.float64)
    for pair in range(size // 2):
        angle = torch.tensor(position * 10000.0 ** (-2 * pair / size), dtype=torch.float64)
        a, b = 2 * pair, 2 * pair + 1
        matrix[a, a], matrix[a, b] = angle.cos(), -angle.sin()
        matrix[b, a], matrix[b, b] = angle.sin(), angle.cos()
    return matrix
