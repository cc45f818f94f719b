"""The soft form of the multi-label cross-entropy (kexue.fm/archives/9064), with smoothed labels.

For each sample and label, with a target t for each valid entry:

    loss = log(1 + Σ t e^{-s}) + log(1 + Σ (1 - t) e^{s})        summed over labels, averaged over samples

It is smallest where ``σ(2s) = t``. With targets 0 and 1, it is the plain loss. With label smoothing, t is 1 - ε for gold entries,
and ε / n for all others, n being the number of valid entries of a score matrix. If it were ε for the others, the probability of
every span would have to be near √ε.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import softplus

from ie_cli.modeling.losses.factorised import Factors, Gold, log_sum_of_negatives
from ie_cli.modeling.losses.label_blocks import LabelScores, sum_over_labels


def soft_factorised_loss(
    factors: Factors, mask: Tensor, valid: Tensor, gold: Gold, *, smoothing: float, weights: Tensor | None = None
) -> Tensor:
    """Return the loss of scores ``pair(i,j) + start_r(i) + end_r(j)`` without the tensor ``[batch, labels, L, L]``.

    All entries that are not gold have the same target, so that their sums ``Σ_N e^s`` and ``Σ_N e^{-s}`` factorise.

    Args:
        factors: pair ``[batch, L, L]``, start and end ``[batch, labels, L]``, in float32 or float64.
        mask: bool ``[batch, L]``, true on text tokens.
        valid: the entries that count, bool ``[batch, L, L]``.
        gold: the gold entries.
        smoothing: ε, above 0 and below 1.
        weights: the weight of each label's loss ``[labels]``; 1 if omitted.

    Returns:
        A scalar, at least 0.
    """
    with torch.autocast(mask.device.type, enabled=False):
        pair, start, end = factors
        sample, label, i, j = gold.entries.unbind(1)
        spread = smoothing / valid.flatten(1).sum(1).clamp_min(1).to(pair)[:, None]  # ε / n: [batch, 1]
        scores = pair[sample, i, j] + start[sample, label, i] + end[sample, label, j]
        up, down = (_log_sum_of_gold(x, sample, label, start.shape[:2]) for x in (scores, -scores))
        rise = log_sum_of_negatives(factors, mask, valid, gold)
        fall = log_sum_of_negatives((-pair, -start, -end), mask, valid, gold)
        positive = softplus(torch.logaddexp(down + math.log1p(-smoothing), fall + spread.log()), threshold=80)
        negative = softplus(torch.logaddexp(up + math.log(smoothing), rise + (-spread).log1p()), threshold=80)
        loss = positive + negative
        return (loss if weights is None else loss * weights.to(loss)).sum() / len(mask)


def _log_sum_of_gold(terms: Tensor, sample: Tensor, label: Tensor, shape: torch.Size) -> Tensor:
    """Return ``log Σ_P e^x`` for each sample and label ``[batch, labels]``; numbers below -80 are upper bounds."""
    at = sample * shape[1] + label
    shift = torch.zeros(shape.numel(), dtype=terms.dtype, device=terms.device)
    shift = shift.scatter_reduce(0, at, terms.detach(), "amax")  # at least 0: e^x counts beside a 1
    total = torch.zeros_like(shift).scatter_add(0, at, torch.exp(terms - shift[at]))
    return (shift + total.clamp_min(torch.finfo(terms.dtype).tiny).log()).view(shape)


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
        # Counts instead of a selection of entries: the host would have to wait for its size.
        at = ((sample * (last - first) + label - first) * s.shape[2] + i) * s.shape[3] + j
        hits = s.new_zeros(s.numel()).scatter_add_(0, torch.where(here, at, 0), here.to(s))
        targets = torch.where(hits.view(s.shape) > 0, s.new_full((), 1 - smoothing), smoothing / count.to(s))
        each = _softplus_of_sum(targets.log() - s, valid) + _softplus_of_sum((-targets).log1p() + s, valid)
        return (each if weights is None else each * weights[first:last].to(each)).sum()

    return sum_over_labels(scores.labels, valid, term) / len(valid)


def _softplus_of_sum(terms: Tensor, valid: Tensor) -> Tensor:
    """Return ``log(1 + Σ e^x)`` of the valid entries; ``[batch, labels]``."""
    lowest = torch.finfo(terms.dtype).min
    total = terms.masked_fill(~valid[:, None], lowest).flatten(2).logsumexp(2)
    return torch.logaddexp(total, torch.zeros_like(total))
