"""The divergence of the scores of two passes with different dropout (R-Drop, arXiv 2106.14448), for scores of spans.

An entry is gold with the probability σ(s) in the first pass and σ(t) in the second. The mean of both Kullback-Leibler
divergences is ``(σ(s) - σ(t))(s - t) / 2``; it is summed over the valid entries (kexue.fm/archives/9039).
"""

from __future__ import annotations

from torch import Tensor

from ie_cli.modeling.losses.factorised import Sides, valid_entries
from ie_cli.modeling.losses.label_blocks import LabelScores, sum_over_labels


def divergence(
    one: LabelScores,
    two: LabelScores,
    mask: Tensor,
    *,
    sides: Sides | None = None,
    upper: bool = True,
    weights: Tensor | None = None,
) -> Tensor:
    """Return the divergence, summed over labels and averaged over the batch.

    Args:
        one: the scores of the first pass.
        two: the scores of the second pass.
        mask: bool ``[batch, L]``, true on text tokens.
        sides: the tokens that entries may have; None for all text tokens.
        upper: only entries with first ≤ last are valid.
        weights: the weight of each label ``[labels]``; 1 if omitted.
    """
    valid = valid_entries(mask, sides=sides, upper=upper)

    def term(first: int, last: int) -> Tensor:
        s, t = one.block(first, last), two.block(first, last)
        each = ((s.sigmoid() - t.sigmoid()) * (s - t)).masked_fill(~valid[:, None], 0).sum((0, 2, 3))
        return (each if weights is None else each * weights[first:last].to(each)).sum()

    return sum_over_labels(one.labels, valid, term) / (2 * len(mask))
