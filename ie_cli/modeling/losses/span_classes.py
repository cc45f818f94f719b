"""The softmax cross-entropy over the classes of every span, exactly and in little memory.

A span (i, j) has one of the labels r, with a score z_r, or the class "none", with the score 0; y is its gold class:

    loss(i, j) = log(1 + Σ_r e^{z_r}) − z_y        z_r(i,j) = first_iᵀ U_r last_j + start_r(i) + end_r(j)

The losses of all spans with i ≤ j are summed for each sample and averaged over samples, as in the code of Yu et al. 2020
(arXiv 2005.07150); a mean over spans would make an entity in a long sentence count less than one in a short sentence.

The scores of a few first tokens are computed at a time, for all labels. Their gradient is computed in closed form directly
afterwards, so that the memory is that of one block, whatever the numbers of labels and tokens. With ``rest`` the log-sum of
all classes but y, the loss is ``log(1 + e^{rest − z_y})``: nothing cancels, and it is never negative.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ie_cli.errors import DataError
from ie_cli.modeling.losses.factorised import BLOCK_BYTES, Gold, block_bytes, valid_entries


@dataclass(frozen=True, slots=True)
class ClassFactors:
    """The factors of the scores z.

    *Shapes:* first and last ``[batch, L, size]``; weight U ``[labels, size, size]``; start ``[batch, L, labels]``; end
    ``[batch, labels, L]``.
    """

    first: Tensor
    last: Tensor
    weight: Tensor
    start: Tensor
    end: Tensor

    def left(self, top: int, bottom: int) -> Tensor:
        """Return ``first_iᵀ U_r`` for the first tokens ``top:bottom``; ``[batch, rows, labels, size]``."""
        return left_vectors(self.first[:, top:bottom], self.weight)

    def blocks(self) -> Iterator[tuple[int, int]]:
        """Yield ranges of first tokens whose scores fit in `BLOCK_BYTES`."""
        batch, length, _ = self.first.shape
        row_bytes = batch * len(self.weight) * length * self.first.element_size()
        step = max(1, block_bytes(self.first.device, BLOCK_BYTES) // max(1, row_bytes))
        for top in range(0, length, step):
            yield top, min(top + step, length)


def left_vectors(first: Tensor, weight: Tensor) -> Tensor:
    """Return ``first_iᵀ U_r``; ``[batch, rows, labels, size]``."""
    return (first @ weight.transpose(0, 1).flatten(1)).view(*first.shape[:2], *weight.shape[::2])


def require_one_label(gold: Gold) -> Gold:
    """Check that no span has two labels.

    Raises:
        DataError: a span has two labels, which a softmax cannot express.
    """
    spans, counts = torch.unique(gold.entries[:, [0, 2, 3]], dim=0, return_counts=True)
    if bool((counts > 1).any()):
        raise DataError(
            f"the span (sample, first, last) = {spans[counts > 1][0].tolist()} has several labels, but this head gives a span "
            "one label",
            hint="encode the gold with the codec of this head, which keeps one label.",
        )
    return gold


def span_class_loss(
    factors: ClassFactors, mask: Tensor, gold: Gold, *, weights: Tensor | None = None, valid: Tensor | None = None
) -> Tensor:
    """Return the loss of a batch.

    Args:
        factors: the factors of the scores, in float32 or float64.
        mask: bool ``[batch, L]``, true on text tokens.
        gold: the gold entries; a span has at most one label.
        weights: the weight of a gold span of each label ``[labels]``; the weight of other spans is their mean. 1 if omitted.
        valid: the spans that count, bool ``[batch, L, L]``, all gold spans among them; if omitted, all valid ones.

    Returns:
        A scalar, at least 0.
    """
    share = factors.first.new_ones(len(factors.weight)) if weights is None else weights.to(factors.first)
    valid = valid_entries(mask, sides=gold.sides) if valid is None else valid
    with torch.autocast(factors.first.device.type, enabled=False):
        loss: Tensor = _SpanClassLoss.apply(  # type: ignore[no-untyped-call]
            factors.first, factors.last, factors.weight, factors.start, factors.end, valid, gold, share / len(mask)
        )
    return loss


class _SpanClassLoss(torch.autograd.Function):
    @staticmethod
    def forward(  # noqa: PLR0917 - autograd passes positional arguments
        ctx: Any,
        first: Tensor,
        last: Tensor,
        weight: Tensor,
        start: Tensor,
        end: Tensor,
        valid: Tensor,
        gold: Gold,
        share: Tensor,
    ) -> Tensor:
        factors = ClassFactors(first, last, weight, start, end)
        loss = first.new_zeros(())
        gradient = any(ctx.needs_input_grad[:5])
        sums = ClassFactors(*(torch.zeros_like(x) for x in (first, last, weight, start, end))) if gradient else None
        for top, bottom in factors.blocks():
            block = _Block.build(valid, gold, (top, bottom), share)
            left = factors.left(top, bottom)
            scores = block.scores(factors, left)
            loss = loss + block.loss(scores)  # the scores become their gradients
            if sums is not None:
                block.add_gradients(sums, factors, left, scores)
        if sums is not None:
            ctx.save_for_backward(sums.first, sums.last, sums.weight, sums.start, sums.end)
        return loss

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return *(saved * grad for saved in ctx.saved_tensors), None, None, None


@dataclass(frozen=True, slots=True)
class _Block:
    """The spans with the first tokens ``top:bottom`` and last tokens from `top`.

    Attributes:
        top, bottom: the range of first tokens.
        gold: of all gold spans, sample, first token counted from `top`, label and last token counted from `top`; all 0 for
            those of other blocks. (To select those of this block, the host would have to wait for their number.)
        here: which of them are in the block.
        is_gold: where the gold spans are; bool ``[batch, rows, columns]``.
        weight: the weight of each span's loss ``[batch, rows, columns]``, 0 if it is not valid.
    """

    top: int
    bottom: int
    gold: tuple[Tensor, Tensor, Tensor, Tensor]
    here: Tensor
    is_gold: Tensor
    weight: Tensor

    @classmethod
    def build(cls, valid: Tensor, gold: Gold, rows: tuple[int, int], share: Tensor) -> _Block:
        top, bottom = rows
        sample, label, i, j = gold.entries.unbind(1)
        here = (i >= top) & (i < bottom)
        sample, i, label, j = (torch.where(here, part, 0) for part in (sample, i - top, label, j - top))
        weight = valid[:, top:bottom, top:] * share.mean()
        own = _sums_at((sample, i, j), torch.where(here, share[label], 0.0), weight.shape)
        is_gold = _sums_at((sample, i, j), here.to(share.dtype), weight.shape) > 0
        return cls(top, bottom, (sample, i, label, j), here, is_gold, torch.where(is_gold, own, weight))

    def scores(self, factors: ClassFactors, left: Tensor) -> Tensor:
        """Return the scores z ``[batch, rows, labels, columns]``."""
        product = left.flatten(1, 2) @ factors.last[:, self.top :].transpose(1, 2)
        scores = product.view(*left.shape[:3], -1)
        scores += factors.start[:, self.top : self.bottom, :, None]
        scores += factors.end[:, None, :, self.top :]
        return scores

    def loss(self, scores: Tensor) -> Tensor:
        """Return the sum of the losses, and replace the scores by the derivatives of it."""
        sample, i, label, j = self.gold
        own = _sums_at((sample, i, j), torch.where(self.here, scores[self.gold], 0.0), self.weight.shape)
        at = ((sample * scores.shape[1] + i) * scores.shape[2] + label) * scores.shape[3] + j
        lowest = scores.new_full((), torch.finfo(scores.dtype).min)
        scores.view(-1).scatter_add_(0, at, torch.where(self.here, lowest, 0.0))  # absorbs the score
        rest = scores.logsumexp(2)  # all classes but the gold class: [batch, rows, columns]
        zero = rest.new_zeros(())
        rest = torch.where(self.is_gold, torch.logaddexp(rest, zero), rest)
        terms = torch.logaddexp(rest - own, zero)
        # e^{z_r} / Σ e^z: 1 + Σ_r e^{z_r} is e^{terms + own}.
        scores.sub_((terms + own)[:, :, None]).exp_().mul_(self.weight[:, :, None])
        d_gold = -torch.sigmoid(rest - own)[sample, i, j] * self.weight[sample, i, j]
        scores.view(-1).scatter_add_(0, at, torch.where(self.here, d_gold, 0.0))  # to 0
        return (terms * self.weight).sum()

    def add_gradients(self, sums: ClassFactors, factors: ClassFactors, left: Tensor, d_scores: Tensor) -> None:
        """Add the gradients of this block to `sums`, from those of the scores."""
        top, bottom = self.top, self.bottom
        flat = d_scores.flatten(1, 2)  # [batch, rows · labels, columns]
        sums.start[:, top:bottom] = d_scores.sum(3)
        sums.end[:, :, top:] += d_scores.sum(1)
        sums.last[:, top:] += flat.transpose(1, 2) @ left.flatten(1, 2)
        d_left = (flat @ factors.last[:, top:]).view(*left.shape[:2], -1).flatten(0, 1)  # [batch · rows, labels · size]
        weight = factors.weight.transpose(0, 1).flatten(1)  # [size, labels · size]
        sums.first[:, top:bottom] = (d_left @ weight.T).view_as(sums.first[:, top:bottom])
        d_weight = factors.first[:, top:bottom].flatten(0, 1).T @ d_left
        sums.weight.add_(d_weight.view(len(d_weight), *factors.weight.shape[::2]).transpose(0, 1))


def _sums_at(places: tuple[Tensor, Tensor, Tensor], terms: Tensor, shape: torch.Size) -> Tensor:
    """Return the sums of terms ``[entries]`` at places of a tensor of three axes, which is 0 elsewhere."""
    a, b, c = places
    sums = terms.new_zeros(shape.numel()).scatter_add_(0, (a * shape[1] + b) * shape[2] + c, terms)
    return sums.view(shape)
