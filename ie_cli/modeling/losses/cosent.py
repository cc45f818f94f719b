"""The CoSENT loss (kexue.fm/archives/8847): a ranking of labelled pairs by their cosines.

``L = log(1 + Σ_{y_i > y_j} exp(λ (c_j - c_i)))`` over all ordered pairs of samples of a batch. It depends only on the order of
the labels, so that classes, ordered classes and graded scores are treated alike.
"""

from __future__ import annotations

import torch
from torch import Tensor

_NOTHING = -1e30
"""The logarithm of an empty sum; finite, so that no gradient is infinity times 0."""


def cosent_loss(cosines: Tensor, labels: Tensor, *, scale: float = 20.0) -> Tensor:
    """Return the scalar loss of a batch, in O(B log B) time and O(B) memory.

    With the samples in levels of equal labels, and all sums as log-sum-exp: every level v is compared with all lower ones,
    ``L = LSE(0, LSE_{u<v}(λc) + LSE_v(-λc) for all v)``; the matrix ``[B, B]`` is never built.

    Args:
        cosines: the cosine of each pair ``[B]``.
        labels: sortable labels ``[B]``; only their order counts, and equal labels are not compared.
        scale: λ.

    Returns:
        The loss in float32 (float64 if the cosines are); 0, with a gradient of 0, if no two labels differ.
    """
    with torch.autocast(cosines.device.type, enabled=False):
        values = cosines if cosines.dtype == torch.float64 else cosines.float()
        order = labels.argsort(stable=True)
        scaled = scale * values[order]
        ascending = labels[order]
        level = torch.zeros_like(order)
        level[1:] = (ascending[1:] != ascending[:-1]).cumsum(0)
        below = torch.logcumsumexp(_by_level(scaled, level), 0)[:-1]
        above = _by_level(-scaled, level)[1:]
        return torch.cat([scaled.new_zeros(1), below + above]).logsumexp(0)


def _by_level(values: Tensor, level: Tensor) -> Tensor:
    """Return the log-sum-exp of the values of each level, and `_NOTHING` for the numbers that are no level; ``[B]``.

    There are as many numbers as pairs: the host would have to wait for the device to know how many levels there are.
    """
    top = torch.full_like(values, _NOTHING).scatter_reduce(0, level, values.detach(), "amax")
    sums = torch.zeros_like(top).index_add(0, level, (values - top[level]).exp())
    return torch.where(sums > 0, top + sums.clamp_min(torch.finfo(sums.dtype).tiny).log(), _NOTHING)
