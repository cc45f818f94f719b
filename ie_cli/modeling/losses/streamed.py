"""The loss of `factorised` for a head with a query and a key per label, one block of labels (and rows) at a time.

``s_r(i,j) = (R_i q_{r,i})ᵀ(R_j k_{r,j}) / √d`` with ``[q_r; k_r] = W_r h + b_r``. The gradient of a block is computed in
closed form directly after its scores, while they are in the cache, so that nothing of the size of the scores is kept for the
backward pass or computed twice: the memory is that of one block, whatever the number of labels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ie_cli.modeling.losses.factorised import BLOCK_BYTES, Gold, block_bytes, positive_loss, valid_entries
from ie_cli.modeling.rotary import rotary_angles, rotate


@dataclass(frozen=True, slots=True)
class Projection:
    """The projections of all labels: weight ``[labels, 2·size, hidden]``, bias ``[labels, 2·size]``; `rope` as in the head."""

    weight: Tensor
    bias: Tensor
    rope: bool

    @property
    def size(self) -> int:
        return self.weight.shape[1] // 2

    def vectors(self, hidden: Tensor, first: int, last: int) -> tuple[Tensor, Tensor]:
        """Return rotated, scaled queries and rotated keys of the labels ``first:last``; ``[batch, labels, L, size]`` each."""
        batch, length, _ = hidden.shape
        flat = torch.nn.functional.linear(
            hidden, self.weight[first:last].flatten(0, 1), self.bias[first:last].flatten()
        )
        both = flat.view(batch, length, last - first, 2, self.size).permute(3, 0, 2, 1, 4)
        query, key = both[0] * self.size**-0.5, both[1]
        if self.rope:
            angles = rotary_angles(length, self.size, hidden.device)
            query, key = rotate(query, *angles), rotate(key, *angles)
        return query.contiguous(), key.contiguous()

    def pull_back(self, hidden: Tensor, d_query: Tensor, d_key: Tensor) -> Tensor:
        """Return the gradient of the projection's output from that of `vectors`; ``[batch · L, labels · 2 · size]``."""
        if self.rope:
            cos, sin = rotary_angles(hidden.shape[1], self.size, hidden.device)
            d_query, d_key = rotate(d_query, cos, -sin), rotate(d_key, cos, -sin)
        both = torch.stack((d_query * self.size**-0.5, d_key))  # [2, batch, labels, L, size]
        return both.permute(1, 3, 2, 0, 4).reshape(hidden.shape[0] * hidden.shape[1], -1)

    def blocks(self, hidden: Tensor) -> Iterator[tuple[int, int]]:
        """Yield ranges of labels whose scores and vectors fit in `BLOCK_BYTES`."""
        batch, length, _ = hidden.shape
        label_bytes = batch * length * (length + 6 * self.size) * hidden.element_size()
        step = max(1, block_bytes(hidden.device, BLOCK_BYTES) // label_bytes)
        labels = len(self.weight)
        for first in range(0, labels, step):
            yield first, min(first + step, labels)


def streamed_loss(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor,
    mask: Tensor,
    gold: Gold,
    *,
    rope: bool = True,
    upper: bool = True,
    weights: Tensor | None = None,
    valid: Tensor | None = None,
) -> Tensor:
    """Return the loss of kexue.fm/archives/7359 on the scores of kexue.fm/archives/8373, including the projection.

    Args:
        hidden: encoder output ``[batch, L, hidden]``.
        weight: ``[labels, 2 · size, hidden]``.
        bias: ``[labels, 2 · size]``.
        mask: bool ``[batch, L]``, true on text tokens.
        gold: the gold entries.
        rope: use rotary positions.
        upper: only entries with first ≤ last are valid.
        weights: the weight of each label's loss ``[labels]``; 1 if omitted.
        valid: the entries that count, bool ``[batch, L, L]``, all gold entries among them; if omitted, all valid ones.

    Returns:
        A scalar, at least 0.
    """
    with torch.autocast(hidden.device.type, enabled=False):
        hidden = hidden if hidden.dtype == torch.float64 else hidden.float()
        share = hidden.new_ones(len(weight)) if weights is None else weights.to(hidden)
        valid = valid_entries(mask, sides=gold.sides, upper=upper) if valid is None else valid
        loss: Tensor = _StreamedLoss.apply(  # type: ignore[no-untyped-call]
            hidden, weight, bias, valid, gold, rope, share / len(mask)
        )
    return loss


class _StreamedLoss(torch.autograd.Function):
    @staticmethod
    def forward(  # noqa: PLR0917 - autograd passes positional arguments
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor,
        valid: Tensor,
        gold: Gold,
        rope: bool,
        share: Tensor,
    ) -> Tensor:
        projection = Projection(weight, bias, rope)
        gradient = any(ctx.needs_input_grad[:3])
        loss = hidden.new_zeros(())
        d_hidden, d_weight, d_bias = (torch.zeros_like(x) if gradient else None for x in (hidden, weight, bias))
        flat = hidden.flatten(0, 1)
        for first, last in projection.blocks(hidden):
            query, key = projection.vectors(hidden, first, last)
            block = _Block.build(valid, gold, first, last, share)
            terms, d_query, d_key = block.run(query, key, gradient=gradient)
            loss = loss + terms
            if d_hidden is not None and d_weight is not None and d_bias is not None:
                d_out = projection.pull_back(hidden, d_query, d_key)
                d_bias[first:last] = d_out.sum(0).view_as(d_bias[first:last])
                d_weight[first:last] = (d_out.T @ flat).view_as(d_weight[first:last])
                d_hidden += (d_out @ weight[first:last].flatten(0, 1)).view_as(hidden)
        ctx.save_for_backward(d_hidden, d_weight, d_bias)
        return loss

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        d_hidden, d_weight, d_bias = ctx.saved_tensors
        return d_hidden * grad, d_weight * grad, d_bias * grad, None, None, None, None


@dataclass(frozen=True, slots=True)
class _Block:
    """A block of labels: valid ``[batch, L, L]``, share ``[labels]``, and all gold entries (sample, label in the block, i, j).

    `here` says which of the entries have a label of the block; the others have label 0 and count as 0. To select entries by a
    mask, the host would have to wait for the device, which alone knows how many there are.
    """

    valid: Tensor
    gold: tuple[Tensor, Tensor, Tensor, Tensor]
    here: Tensor
    share: Tensor

    @classmethod
    def build(cls, valid: Tensor, gold: Gold, first: int, last: int, share: Tensor) -> _Block:
        sample, label, i, j = gold.entries.unbind(1)
        here = (label >= first) & (label < last)
        return cls(valid, (sample, torch.where(here, label - first, 0), i, j), here, share[first:last])

    def run(self, query: Tensor, key: Tensor, *, gradient: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Return the loss of the block, and the gradients of query and key ``[batch, labels, L, size]``."""
        sample, label, i, j = self.gold
        shape = query.shape[:2]
        positive_scores = (query[sample, label, i] * key[sample, label, j]).sum(-1)
        positive = positive_loss(positive_scores, sample, label, shape, here=self.here)  # [batch, labels]
        negative = query.new_zeros(shape)  # the logarithm of the 1 in 1 + Σ e^s
        steps = list(self._row_blocks(query))
        scores = None
        for top, bottom in steps:
            scores = self._scores(query, key, top, bottom)
            negative = torch.logaddexp(negative, scores.flatten(2).logsumexp(2))
        loss = ((positive + negative) * self.share).sum()
        if not gradient:
            return loss, query, key
        d_positive = -torch.exp(-positive_scores - positive[sample, label]) * self.share[label]
        d_query, d_key = torch.empty_like(query), torch.zeros_like(key)
        for top, bottom in steps:
            if scores is None or len(steps) > 1:
                scores = self._scores(query, key, top, bottom)
            d_scores = (scores - negative[..., None, None]).exp_().mul_(self.share[:, None, None])
            self._add(d_scores, top, d_positive)  # to 0
            d_query[:, :, top:bottom] = d_scores @ key
            d_key += d_scores.transpose(2, 3) @ query[:, :, top:bottom]
        return loss, d_query, d_key

    def _row_blocks(self, query: Tensor) -> Iterator[tuple[int, int]]:
        batch, labels, length, _ = query.shape
        step = max(1, block_bytes(query.device, BLOCK_BYTES) // (batch * labels * length * query.element_size()))
        for top in range(0, length, step):
            yield top, min(top + step, length)

    def _scores(self, query: Tensor, key: Tensor, top: int, bottom: int) -> Tensor:
        """Return the scores of the rows ``top:bottom``, lowest on gold and invalid entries; ``[batch, labels, rows, L]``."""
        lowest = torch.finfo(query.dtype).min
        scores = query[:, :, top:bottom] @ key.transpose(2, 3)
        scores.masked_fill_(~self.valid[:, None, top:bottom], lowest)
        self._add(scores, top, scores.new_full((), lowest))  # absorbs the score
        return scores

    def _add(self, scores: Tensor, top: int, terms: Tensor) -> None:
        """Add terms to the scores ``[batch, labels, rows, L]`` of gold entries of the rows from `top`."""
        _, labels, rows, length = scores.shape
        sample, label, i, j = self.gold
        here = self.here & (i >= top) & (i < top + rows)
        at = torch.where(here, ((sample * labels + label) * rows + i - top) * length + j, 0)
        scores.view(-1).scatter_add_(0, at, torch.where(here, terms, 0.0))
