"""Binary cross-entropy of ``p = σ(z)ⁿ``, a prior for labels that are rarely positive (kexue.fm/archives/7161).

At z = 0, p is 1/4 for n = 2 and 1/16 for n = 4. All terms are logarithms: with ``q = σ(z)`` and n a power of two,
``1 - qⁿ = (1 - q)(1 + q)(1 + q²)…``, so nothing is subtracted and no gradient is 0/0.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid


def log_power(z: Tensor, power: int) -> Tensor:
    """Return ``log σ(z)ⁿ``."""
    return power * logsigmoid(z)


def log_rest(z: Tensor, power: int) -> Tensor:
    """Return ``log(1 - σ(z)ⁿ)``; `power` is a power of two."""
    return logsigmoid(-z) + _log_factors(z, power)


def _log_factors(z: Tensor, power: int) -> Tensor:
    """Return ``log(1 + q) + log(1 + q²) + …``, the terms of `log_rest` after the first."""
    total, q, exponent = torch.zeros_like(z), torch.sigmoid(z), 1
    while exponent < power:
        total = total + torch.log1p(q)
        q, exponent = q * q, 2 * exponent
    return total


def power_scores(z: Tensor, power: int) -> Tensor:
    """Return the score ``s = log(p/(1-p))``, so that p = σ(s)."""
    return power * _log_sigmoid(z) - _log_sigmoid(-z) - _log_factors(z, power)


def _log_sigmoid(z: Tensor) -> Tensor:
    """Return ``log σ(z)`` from operations that an exported graph also has: there, `logsigmoid` is -inf below about -88."""
    return z.clamp(max=0) - torch.log1p(torch.exp(-z.abs()))


def power_loss(z: Tensor, gold: Tensor, power: int) -> Tensor:
    """Return the binary cross-entropy of each entry, in the shape of `z`.

    Args:
        z: the values before the sigmoid.
        gold: which entries are positive; bool, in the shape of `z`.
        power: n, a power of two.
    """
    return -torch.where(gold, log_power(z, power), log_rest(z, power))
