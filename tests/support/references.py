"""Simple reference implementations that the fast paths are tested against."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor

Item = TypeVar("Item")


def dense_loss(
    scores: Tensor, mask: Tensor, entries: Tensor, *, upper: bool = True, sides: tuple[Tensor, Tensor] | None = None
) -> Tensor:
    """Compute the formula of kexue.fm/archives/7359 term by term on a tensor ``[batch, labels, L, L]``."""
    rows, columns = sides or (mask, mask)
    total = 0 * scores.sum()  # keeps the gradient if there are no valid entries
    batch, labels, length, _ = scores.shape
    gold = {tuple(entry) for entry in entries.tolist()}
    for b in range(batch):
        for r in range(labels):
            positive, negative = [scores.new_zeros(())], [scores.new_zeros(())]
            for i in range(length):
                for j in range(length):
                    if (b, r, i, j) in gold:
                        positive.append(-scores[b, r, i, j])
                    elif rows[b, i] and columns[b, j] and (i <= j or not upper):
                        negative.append(scores[b, r, i, j])
            total = total + torch.stack(positive).logsumexp(0) + torch.stack(negative).logsumexp(0)
    return total / batch


def shared_scores(pair: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """Return scores ``[batch, labels, L, L]`` from the factors of an efficient head."""
    return pair[:, None] + start[..., None] + end[:, :, None]


def rotation(position: int, size: int) -> Tensor:
    """Return the matrix R of rotary positions; float64 ``[size, size]``."""
    matrix = torch.zeros(size, size, dtype=torch.float64)
    for pair in range(size // 2):
        angle = torch.tensor(position * 10000.0 ** (-2 * pair / size), dtype=torch.float64)
        a, b = 2 * pair, 2 * pair + 1
        matrix[a, a], matrix[a, b] = angle.cos(), -angle.sin()
        matrix[b, a], matrix[b, b] = angle.sin(), angle.cos()
    return matrix


def pair_counts(
    gold: Sequence[Item], predicted: Sequence[Item], same: Callable[[Item, Item], bool]
) -> tuple[int, int, int]:
    """Count distinct gold items, distinct predicted items, and gold items that are predicted, by comparing pairs."""
    distinct = [
        [item for n, item in enumerate(side) if not any(same(item, other) for other in side[:n])]
        for side in (gold, predicted)
    ]
    return len(distinct[0]), len(distinct[1]), sum(any(same(a, b) for b in distinct[1]) for a in distinct[0])


def ratios(gold: int, predicted: int, correct: int) -> tuple[float, float, float]:
    """Return precision, recall and their harmonic mean, 0 if the denominator is 0."""
    precision = correct / predicted if predicted else 0.0
    recall = correct / gold if gold else 0.0
    return precision, recall, 2 * precision * recall / (precision + recall) if correct else 0.0


def drawn_sides(random: torch.Generator, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Draw the text tokens that entries may have as their first and as their last."""
    first, last = (mask & (torch.rand(mask.shape, generator=random) < 0.6) for _ in range(2))
    return first, last


def within_sides(entries: Tensor, sides: tuple[Tensor, Tensor]) -> Tensor:
    """Return the entries ``[n, 4]`` whose tokens they may have."""
    sample, _, first, last = entries.unbind(1)
    return entries[sides[0][sample, first] & sides[1][sample, last]]


def gold_entries(random: torch.Generator, mask: Tensor, labels: int, count: int, *, upper: bool) -> Tensor:
    """Draw random entries on text tokens, including duplicates; int64 ``[entries, 4]``."""
    entries = []
    for _ in range(count):
        sample = int(torch.randint(len(mask), (1,), generator=random))
        text = mask[sample].nonzero().flatten()
        if not len(text):
            continue
        first, last = text[torch.randint(len(text), (2,), generator=random)].tolist()
        if upper:
            first, last = sorted((first, last))
        entries.append([sample, int(torch.randint(labels, (1,), generator=random)), first, last])
    return torch.tensor(entries + entries[:2], dtype=torch.int64).reshape(-1, 4)
