"""The loss of a linear-chain conditional random field: the negative log-likelihood of the gold sequence of tags.

``-log p(y) = log Z - score(y)``, ``score(y) = start(y_1) + Σ_t e_t(y_t) + Σ_t T(y_t, y_{t+1}) + end(y_n)``, over the text tokens
only: special tokens and padding are not part of the chain (Lafferty, McCallum and Pereira, 2001; kexue.fm/archives/5542).

The transitions have one matrix ``[K + 1, K + 1]``: from its row to its column, the last row being the start and the last column
the end.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ie_cli.modeling.devices import precise_dtype


def crf_loss(
    emissions: Tensor, transitions: Tensor, tags: Tensor, mask: Tensor, *, legal: Tensor | None = None
) -> Tensor:
    """Return the negative log-likelihood of each sample ``[batch]``; 0 for a sample without text tokens.

    Args:
        emissions: scores of tags ``[batch, L, K]``.
        transitions: scores of neighbouring tags ``[K + 1, K + 1]``.
        tags: the gold tags, int64 ``[batch, L]``.
        mask: bool ``[batch, L]``, true on text tokens, which are consecutive.
        legal: bool ``[K + 1, K + 1]``, false for transitions that log Z excludes; it includes all if omitted.
    """
    # Sums of exponentials must neither overflow nor vanish, and log Z - score is a small difference of large numbers.
    precise = precise_dtype(emissions.device)
    scores, table = emissions.to(precise), transitions.to(precise)
    allowed = table if legal is None else table.masked_fill(~legal, -torch.inf)
    difference = log_partition(scores, allowed, mask) - path_score(scores, table, tags, mask)
    return difference.to(emissions.dtype)


def log_partition(emissions: Tensor, transitions: Tensor, mask: Tensor) -> Tensor:
    """Return log Z, the log of the sum of the exponentials of the scores of all sequences; ``[batch]``.

    A step is a matrix product of exponentials, shifted by the largest score of the sample: its memory is that of ``[batch, K]``.
    """
    start, end = transitions[-1, :-1], transitions[:-1, -1]
    shift = transitions[:-1, :-1].detach().amax()
    steps = (transitions[:-1, :-1] - shift).exp()
    first, _ = boundaries(mask)
    smallest = torch.finfo(emissions.dtype).tiny
    state = torch.zeros_like(emissions[:, 0])
    for t, emission in enumerate(emissions.unbind(1)):
        top = state.detach().amax(1, keepdim=True)
        # A tag that no sequence leads to has the sum 0, whose logarithm has no gradient.
        total = ((state - top).exp() @ steps).clamp_min(smallest).log() + (top + shift)
        following = torch.where(first[:, t, None], start, total) + emission
        state = torch.where(mask[:, t, None], following, state)
    return torch.where(mask.any(1), (state + end).logsumexp(1), 0.0)


def path_score(emissions: Tensor, transitions: Tensor, tags: Tensor, mask: Tensor) -> Tensor:
    """Return the score of one sequence of tags for each sample; ``[batch]``."""
    first, last = boundaries(mask)
    own = emissions.gather(2, tags[:, :, None])[:, :, 0].masked_fill(~mask, 0.0)
    pairs = transitions[tags[:, :-1], tags[:, 1:]].masked_fill(~(mask[:, :-1] & mask[:, 1:]), 0.0)
    ends = transitions[-1][tags].masked_fill(~first, 0.0) + transitions[:, -1][tags].masked_fill(~last, 0.0)
    return own.sum(1) + pairs.sum(1) + ends.sum(1)


def boundaries(mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return where the first and the last text token of each sample are; bool ``[batch, L]``."""
    none = torch.zeros_like(mask[:, :1])
    return mask & ~torch.cat([none, mask[:, :-1]], dim=1), mask & ~torch.cat([mask[:, 1:], none], dim=1)
