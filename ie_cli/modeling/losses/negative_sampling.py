"""Negative sampling for entities that the annotation lacks (Li et al. 2021, arXiv 2012.05426).

A span that is an entity, but is not annotated, teaches the opposite of what it should. A text of n tokens has about n²/2 spans
without annotation; if only λ·n of them count in a step, that span rarely counts.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ie_cli.modeling.losses.factorised import Gold


def sampled(valid: Tensor, gold: Gold, negatives: float | None) -> Tensor:
    """Return which valid entries count: those that are gold for any label, and each of the others with the same probability.

    Args:
        valid: bool ``[batch, L, L]``.
        gold: the gold entries.
        negatives: λ; the expected number of other entries is λ times the number of tokens. None for all of them.
    """
    if negatives is None:
        return valid
    sample, _, i, j = gold.entries.unbind(1)
    others = valid.clone()
    others[sample, i, j] = False
    tokens = valid.any(dim=2).sum(1)  # that an entry may begin with: [batch]
    rate = negatives * tokens / others.flatten(1).sum(1).clamp_min(1)
    chosen = others & (torch.rand(valid.shape, device=valid.device) < rate[:, None, None])
    chosen[sample, i, j] = True
    return chosen
