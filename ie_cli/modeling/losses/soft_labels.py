"""The soft form of the multi-label cross-entropy (kexue.fm/archives/9064), with smoothed labels.

For each sample and label, with a target t for each valid entry:

    loss = log(1 + Σ t e^{-s}) + log(1 + Σ (1 - t) e^{s})        summed over labels, averaged over samples

It is smallest where ``σ(2s) = t``. With targets 0 and 1, it is the plain loss. With label smoothing, t is 1 - ε for gold entries,
and ε / n for all others, n being the number of valid entries of a score matrix. If it were ε for the others, the probability of
every span would have to be near √ε.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ie_cli.modeling.losses.factorised import Gold
from ie_cli.modeling.losses.label_blocks import LabelScores, sum_over_labels


def soft_label_loss(
    scores: LabelScores, valid: Tensor, gold: Gold, *, smoothing: float, weights: Tensor | None = None
) -> Tensor:
    """Return the loss of a batch.

    Args:
        scores: the scores.
        valid: the entries that count, bool ``[batch, L, L]``.
        gold: the gold entries.
        smoothing: ε, above 0 and below 1.
        weights: the weight of each label's loss ``[labels]``; 1 if omitted.

    Returns:
        A scalar, at least 0.
    """
    sample, label, i, j = gold.entries.unbind(1)
    count = valid.flatten(1).sum(1).clamp_min(1)[:, None, None, None]  # n: [batch, 1, 1, 1]

    def term(first: int, last: int) -> Tensor:
        s = scores.block(first, last)
        here = (label >= first) & (label < last)
        targets = (smoothing / count.to(s)).expand_as(s).clone()
        targets[sample[here], label[here] - first, i[here], j[here]] = 1 - smoothing
        each = _softplus_of_sum(targets.log() - s, valid) + _softplus_of_sum((-targets).log1p() + s, valid)
        return (each if weights is None else each * weights[first:last].to(each)).sum()

    return sum_over_labels(scores.labels, valid, term) / len(valid)


def _softplus_of_sum(terms: Tensor, valid: Tensor) -> Tensor:
    """Return ``log(1 + Σ e^x)`` of the valid entries; ``[batch, labels]``."""
    lowest = torch.finfo(terms.dtype).min
    total = terms.masked_fill(~valid[:, None], lowest).flatten(2).logsumexp(2)
    return torch.logaddexp(total, torch.zeros_like(total))
