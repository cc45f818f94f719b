"""Sums over the scores of all labels, one block of labels at a time, for losses that need every single score.

The scores of a block are computed again in the backward pass, so that the memory is that of one block.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ie_cli.modeling.losses.factorised import BLOCK_BYTES, block_bytes


@dataclass(frozen=True, slots=True)
class LabelScores:
    """The scores of a score matrix.

    Attributes:
        labels: the number of labels.
        block: returns the scores of the labels ``first:last``; ``[batch, last - first, L, L]``.
    """

    labels: int
    block: Callable[[int, int], Tensor]


def sum_over_labels(labels: int, valid: Tensor, term: Callable[[int, int], Tensor]) -> Tensor:
    """Return the sum of a scalar function of blocks of labels.

    Args:
        labels: the number of labels.
        valid: the valid entries of a score matrix, bool ``[batch, L, L]``.
        term: the function of the labels ``first:last``, which keeps tensors of the size of their scores.
    """
    step = max(1, block_bytes(valid.device, BLOCK_BYTES) // (4 * valid.numel()))
    total = torch.zeros((), device=valid.device)
    with torch.autocast(valid.device.type, enabled=False):
        for first in range(0, labels, step):
            last = min(first + step, labels)
            total = total + checkpoint(term, first, last, use_reentrant=False, preserve_rng_state=False)
    return total
