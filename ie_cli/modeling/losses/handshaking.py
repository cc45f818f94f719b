"""The cross-entropies of handshaking tagging (TPLinker, Wang et al., COLING 2020), a block of entries at a time.

The vector of an entry (i, j), i ≤ j, is ``v = tanh(left(i) + right(j))``. With tags c of the score ``a_c = w_c·v + b_c`` and
``a_0 = 0`` for none, an entry has the loss ``log Σ_c e^{a_c} - a_gold``: over the tags 0 and 1 for entities, over 0, 1 and 2 for
each link index. The losses are summed over entries and link indices, and averaged over the batch.

The tensors ``[batch, L, L, size]`` and ``[batch, L, L, tags]`` are never built: the gradient of a block is computed directly
after its loss. Only entries of two text tokens are counted, or of tokens that spans may start or end with.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ie_cli.errors import DataError
from ie_cli.modeling.devices import to_device
from ie_cli.modeling.losses.factorised import BLOCK_BYTES, Gold, Sides, block_bytes

_NONE = -1e4  # the score of tags that is certainly not the best one, and whose exponential is 0


@dataclass(frozen=True, slots=True)
class Tagged:
    """The gold tags of a batch, except for 0: entries int64 ``[n, 4]`` of (sample, column of the tag's score, i, j), i ≤ j.

    The columns are ordered as in `Taggers`. `ends` are the numbers of tokens up to the last text token of the samples, in
    descending order, which the host needs to know, and `order` is the order of the samples, int64 ``[batch]``. `sides` are the
    tokens that spans may start and end with; None for all text tokens.
    """

    entries: Tensor
    ends: tuple[int, ...]
    order: Tensor
    sides: Sides | None = None

    @classmethod
    def build(
        cls,
        entities: Tensor,
        start_links: Tensor,
        end_links: Tensor,
        mask: Tensor,
        links: int,
        *,
        sides: Sides | None = None,
    ) -> Tagged:
        """Convert gold entries (sample, label, first, last) and links (sample, link index, subject, object) to tags.

        Args:
            entities: int64 ``[n, 4]``, duplicates allowed.
            start_links: int64 ``[n, 4]`` by first tokens, duplicates allowed.
            end_links: int64 ``[n, 4]`` by last tokens, duplicates allowed.
            mask: bool ``[batch, L]``, true on text tokens.
            links: the number of link indices.
            sides: the tokens that spans may start and end with; None for all text tokens.

        Raises:
            DataError: an entry is on padding, on a special token or inside a word, or has both directions of a link.
        """
        first, last = sides or (mask, mask)
        found = [Gold.build(entities, mask, sides=(first, last)).entries]
        found[0][:, 1] = 0
        for matrix, entries in enumerate((start_links, end_links)):
            side = (first, last)[matrix]
            sample, link, a, b = Gold.build(entries, mask, upper=False, sides=(side, side)).entries.unbind(1)
            column = 1 + 2 * links * (a > b) + matrix * links + link
            found.append(torch.stack([sample, column, torch.minimum(a, b), torch.maximum(a, b)], dim=1))
        tags = torch.cat(found)
        entry = tags.clone()
        entry[:, 1] = torch.where(tags[:, 1] > 2 * links, tags[:, 1] - 2 * links, tags[:, 1])
        distinct, counts = torch.unique(entry, dim=0, return_counts=True)
        if bool((counts > 1).any()):
            bad = distinct[counts > 1][0].tolist()
            raise DataError(f"gold entry (sample, column, first, last) = {bad} has both directions of a link")
        reach = (mask * torch.arange(1, mask.shape[1] + 1, device=mask.device)).amax(1)
        order = torch.argsort(reach, descending=True)
        return cls(tags, tuple(reach[order].tolist()), order, sides)

    def to(self, device: torch.device) -> Tagged:
        sides = None if self.sides is None else (to_device(self.sides[0], device), to_device(self.sides[1], device))
        return Tagged(to_device(self.entries, device), self.ends, to_device(self.order, device), sides)


@dataclass(frozen=True, slots=True)
class Taggers:
    """The scores of all tags: weight ``[columns, size]``, bias and share ``[columns]``; share is what a loss is multiplied by.

    Of 1 + 4·links columns, the first is that of entities; then come tag 1 of the starts, tag 1 of the ends, tag 2 of the starts
    and tag 2 of the ends.
    """

    weight: Tensor
    bias: Tensor
    share: Tensor

    @property
    def pairs(self) -> int:
        """The number of pairs of columns that share a softmax: link indices in both matrices."""
        return len(self.weight) // 2


def handshaking_loss(left: Tensor, right: Tensor, taggers: Taggers, mask: Tensor, gold: Tagged) -> tuple[Tensor, ...]:
    """Return the losses of the entities, the links between starts and the links between ends.

    Args:
        left: the factor of the first token of an entry; ``[batch, L, size]``.
        right: the factor of the second token.
        taggers: what scores the tags.
        mask: bool ``[batch, L]``, true on text tokens.
        gold: the gold tags.

    Returns:
        Three scalars, each summed over entries and tags with `share`, and divided by the size of the batch.
    """
    with torch.autocast(left.device.type, enabled=False):
        left, right = (x if x.dtype == torch.float64 else x.float() for x in (left, right))
        losses: tuple[Tensor, ...] = _HandshakingLoss.apply(  # type: ignore[no-untyped-call]
            left, right, taggers.weight, taggers.bias, taggers.share, mask, gold
        )
    return losses


class _HandshakingLoss(torch.autograd.Function):
    @staticmethod
    def forward(  # noqa: PLR0917 - autograd passes positional arguments
        ctx: Any,
        left: Tensor,
        right: Tensor,
        weight: Tensor,
        bias: Tensor,
        share: Tensor,
        mask: Tensor,
        gold: Tagged,
    ) -> tuple[Tensor, ...]:
        taggers = Taggers(weight, bias, share)
        gradient = any(ctx.needs_input_grad[:4])
        columns, grads = _run(left, right, taggers, mask, gold, gradient=gradient)
        ctx.mask, ctx.gold = mask, gold
        ctx.save_for_backward(left, right, weight, bias, share, *grads)
        links = taggers.pairs // 2
        return columns[0], columns[1 : 1 + links].sum(), columns[1 + links :].sum()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *factors: Tensor) -> tuple[Tensor | None, ...]:
        left, right, weight, bias, share, *grads = ctx.saved_tensors
        entities, starts, ends = factors
        if _equal(entities, starts) and _equal(
            starts, ends
        ):  # the losses are added: the gradients are those of the sum
            return *(grad * entities for grad in grads), None, None, None
        links = len(weight) // 4
        factor = torch.cat([entities[None], *([starts.expand(links), ends.expand(links)] * 2)])
        _, grads = _run(left, right, Taggers(weight, bias, share * factor), ctx.mask, ctx.gold, gradient=True)
        return *grads, None, None, None


def _equal(one: Tensor, other: Tensor) -> bool:
    """Return whether two scalars are equal; on a GPU, whether they are the same number in memory, which needs no waiting."""
    return one.data_ptr() == other.data_ptr() or (one.device.type == "cpu" and bool(one == other))


def _run(
    left: Tensor, right: Tensor, taggers: Taggers, mask: Tensor, gold: Tagged, *, gradient: bool
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Return the losses ``[1 + 2·links]``, and the gradients of their sum: of left, right, weight and bias."""
    batch, order = len(mask), gold.order
    rank = torch.argsort(order)
    sample, column, i, j = gold.entries.unbind(1)
    sides = None if gold.sides is None else (gold.sides[0][order], gold.sides[1][order])
    inputs = _Inputs(left[order], right[order], mask[order], taggers, (rank[sample], column, i, j), sides)
    losses = left.new_zeros(1 + taggers.pairs)
    grads = tuple(torch.zeros_like(x) for x in (inputs.left, inputs.right, taggers.weight, taggers.bias))
    width = (left.shape[2] + len(taggers.weight)) * left.element_size()
    for samples, rows, stop in _blocks(gold.ends, block_bytes(left.device, BLOCK_BYTES) // width):
        losses += _block(inputs, samples, rows, stop, grads if gradient else None) / batch
    d_left, d_right, d_weight, d_bias = (grad / batch for grad in grads)
    return losses, (d_left[rank], d_right[rank], d_weight, d_bias)


def _blocks(ends: Sequence[int], budget: int) -> Iterator[tuple[slice, slice, int]]:
    """Yield blocks of entries: samples, rows i, and the end of the columns j.

    Args:
        ends: the number of tokens of each sample, in descending order.
        budget: the maximum number of entries of a block, unless a row has more.
    """
    first = 0
    while first < len(ends) and ends[first]:
        stop = ends[first]
        last = min(len(ends), first + max(1, budget // stop))
        row = 0
        while row < stop:
            samples = sum(end > row for end in ends[first:last])
            columns = stop - row
            step = max(1, min(-(-columns // 8), budget // (columns * samples)))
            yield slice(first, first + samples), slice(row, min(row + step, stop)), stop
            row += step
        first = last


@dataclass(frozen=True, slots=True)
class _Inputs:
    """The inputs of a batch, longest sample first; gold is (sample, column, i, j), sides as in `Tagged`."""

    left: Tensor
    right: Tensor
    mask: Tensor
    taggers: Taggers
    gold: tuple[Tensor, Tensor, Tensor, Tensor]
    sides: Sides | None

    def exclude(self, scores: Tensor, samples: slice, rows: slice, stop: int) -> None:
        """Give the tags of entries of a block that are not counted the score `_NONE`; scores ``[entries, columns]``."""
        columns = slice(rows.start, stop)
        i, j = (torch.arange(part.start, part.stop, device=scores.device) for part in (rows, columns))
        upper = i[:, None] <= j
        if self.sides is None:
            every = self.mask[samples, rows, None] & self.mask[samples, None, columns] & upper
            scores.masked_fill_(~every.view(-1, 1), _NONE)
            return
        links = self.taggers.pairs // 2
        starts, ends = self.sides
        tags = torch.split(scores, [1, links, links, links, links], dim=1)  # views, in the order of `Taggers`
        for part, (a, b) in zip(tags, [(starts, ends), *[(starts, starts), (ends, ends)] * 2], strict=True):
            counted = a[samples, rows, None] & b[samples, None, columns] & upper
            part.masked_fill_(~counted.view(-1, 1), _NONE)

    def gold_in(self, samples: slice, rows: slice, stop: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return which gold tags are in a block, and all of them: entries counted within it, and columns; 0 for the others."""
        sample, column, i, j = self.gold
        here = (sample >= samples.start) & (sample < samples.stop) & (i >= rows.start) & (i < rows.stop)
        height, width = rows.stop - rows.start, stop - rows.start
        entry = ((sample - samples.start) * height + i - rows.start) * width + j - rows.start
        return here, torch.where(here, entry, 0), torch.where(here, column, 0)


def _block(inputs: _Inputs, samples: slice, rows: slice, stop: int, grads: tuple[Tensor, ...] | None) -> Tensor:
    """Return the losses of a block ``[1 + 2·links]``, and add its gradients to `grads`."""
    taggers, columns = inputs.taggers, slice(rows.start, stop)
    left, right = inputs.left[samples, rows], inputs.right[samples, columns]
    shape = (len(left), left.shape[1], right.shape[1], left.shape[2])
    vectors = (left[:, :, None] + right[:, None]).tanh_().view(-1, left.shape[2])  # [entries, size]
    scores = torch.addmm(taggers.bias, vectors, taggers.weight.T)  # [entries, columns]
    here, entry, column = inputs.gold_in(samples, rows, stop)
    at_gold = torch.where(here, scores[entry, column], 0.0)
    inputs.exclude(scores, samples, rows, stop)
    losses = _softmax(scores, taggers.pairs)
    losses.index_add_(0, torch.where(column > taggers.pairs, column - taggers.pairs, column), -at_gold)
    losses *= taggers.share[: 1 + taggers.pairs]
    if grads is not None:
        d_left, d_right, d_weight, d_bias = grads
        scores.view(-1).scatter_add_(0, entry * scores.shape[1] + column, -here.to(scores.dtype))
        scores *= taggers.share
        d_weight.addmm_(scores.T, vectors)
        d_bias += scores.sum(0)
        d_vectors = torch.ops.aten.tanh_backward(scores @ taggers.weight, vectors).view(shape)
        d_left[samples, rows] += d_vectors.sum(2)
        d_right[samples, columns] += d_vectors.sum(1)
    return losses


def _softmax(scores: Tensor, pairs: int) -> Tensor:
    """Replace scores ``[entries, 1 + 2·pairs]`` by probabilities, and return the sums of ``log Σ_c e^{a_c}`` ``[1 + pairs]``."""
    entity, first, second = scores[:, :1], scores[:, 1 : 1 + pairs], scores[:, 1 + pairs :]
    losses = scores.new_empty(1 + pairs)
    losses[0] = torch.nn.functional.softplus(entity).sum()
    entity.sigmoid_()
    top = torch.maximum(first, second).clamp_min_(0)
    first.sub_(top).exp_()
    second.sub_(top).exp_()
    rest = top.neg().expm1_().add_(first).add_(second)  # Σ_c e^{a_c - top} - 1
    losses[1:] = (top + rest.log1p()).sum(0)
    rest += 1
    first.div_(rest)
    second.div_(rest)
    return losses
