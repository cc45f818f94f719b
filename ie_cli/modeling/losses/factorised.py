"""The multi-label cross-entropy of kexue.fm/archives/7359 over the cells of a span matrix, exactly and in little memory.

For each sample and row r (a label), with P the gold cells and N the other counted cells:

    loss = log(1 + Σ_P e^{-s}) + log(1 + Σ_N e^{s})        summed over rows, averaged over samples

The published sparse form computes Σ_N as Σ_all − Σ_P, which cancels: it goes negative and loses all precision once
positives are confident. Here nothing is ever subtracted. `factorised_loss` is for heads whose scores are
``pair(i,j) + start_r(i) + end_r(j)``, `streamed.streamed_loss` for heads with a query and a key per label.
All arithmetic is float32 (or float64, if that comes in), whatever the encoder runs in.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ie_cli.errors import DataError

# Above this shift e^(s−shift) may underflow for cells that matter; below it what underflows is worth < L²e⁻²⁷.
DENSE_ABOVE = 60.0
BLOCK_BYTES = 32 * 2**20
"""Most memory of one block of scores; the largest that still stays in the caches of common CPUs."""


@dataclass(frozen=True, slots=True)
class Gold:
    """Gold cells of a batch, without duplicates.

    *Shapes:* cells int64 ``[cells, 4]`` of (sample, row, first, last), sorted; lines int64 ``[lines, 3]``: the distinct
    (sample, row, first); line_of int64 ``[cells]``: the line of each cell.
    """

    cells: Tensor
    lines: Tensor
    line_of: Tensor

    @classmethod
    def build(cls, cells: Tensor, mask: Tensor, *, upper: bool = True) -> Gold:
        """Sort and deduplicate, and check that each gold cell is one that counts.

        Args:
            cells: int64 ``[cells, 4]``, duplicates allowed.
            mask: bool ``[batch, length]``, true on text tokens.
            upper: only cells with first ≤ last count.

        Raises:
            DataError: a gold cell is on padding, on a special token, or below the diagonal.
        """
        cells = torch.unique(cells.reshape(-1, 4), dim=0)
        sample, _, first, last = cells.unbind(1)
        counted = mask[sample, first] & mask[sample, last] & ((first <= last) | (not upper))
        if not bool(counted.all()):
            bad = cells[~counted][0].tolist()
            raise DataError(
                f"gold cell (sample, row, first, last) = {bad} is not a cell that counts: it lies on padding or a special "
                "token, or ends before it starts"
            )
        lines, line_of = torch.unique(cells[:, :3], dim=0, return_inverse=True)
        return cls(cells, lines, line_of)

    def to(self, device: torch.device) -> Gold:
        return Gold(self.cells.to(device), self.lines.to(device), self.line_of.to(device))


def counted_cells(mask: Tensor, *, upper: bool = True) -> Tensor:
    """Cells whose two tokens belong to the text, for entities with first ≤ last; bool ``[batch, L, L]``."""
    counted = mask[:, :, None] & mask[:, None, :]
    return counted.triu() if upper else counted


def factorised_loss(
    pair: Tensor,
    start: Tensor,
    end: Tensor,
    mask: Tensor,
    gold: Gold,
    *,
    upper: bool = True,
    weights: Tensor | None = None,
) -> Tensor:
    """Loss of scores ``pair(i,j) + start_r(i) + end_r(j)`` without the tensor ``[batch, rows, L, L]``.

    With E = exp(pair) on counted cells, ``Σ_ij e^s = Σ_i e^{start_r(i)} (Σ_j E_ij e^{end_r(j)})``: one matrix product.
    The few sums over j that hold a gold cell are recomputed with the gold cells left out.

    Args:
        pair: ``[batch, L, L]``. start, end: ``[batch, rows, L]``.
        mask: bool ``[batch, L]``, true on text tokens.
        weights: of each row's loss ``[rows]``; 1 where not given.

    Returns:
        Scalar, at least 0; a sample without a counted cell adds 0.
    """
    with torch.autocast(pair.device.type, enabled=False):
        pair, start, end = (x if x.dtype == torch.float64 else x.float() for x in (pair, start, end))
        counted = counted_cells(mask, upper=upper)
        sample, row, first, last = gold.cells.unbind(1)
        scores = pair[sample, first, last] + start[sample, row, first] + end[sample, row, last]
        loss = positive_loss(scores, sample, row, start.shape[:2]) + _negative((pair, start, end), mask, counted, gold)
        if weights is not None:
            loss = loss * weights.to(loss)
        return loss.sum() / len(mask)


def positive_loss(scores: Tensor, sample: Tensor, row: Tensor, shape: torch.Size) -> Tensor:
    """``log(1 + Σ_P e^{-s})`` for each sample and row ``[batch, rows]``, shifted by its maximum."""
    at = sample * shape[1] + row
    shift = torch.zeros(shape.numel(), dtype=scores.dtype, device=scores.device)
    shift = shift.scatter_reduce(0, at, -scores.detach(), "amax")  # at least 0: the 1 is e^0
    total = torch.exp(-shift).scatter_add(0, at, torch.exp(-scores - shift[at]))
    return (shift + total.log()).view(shape)


Factors = tuple[Tensor, Tensor, Tensor]
"""pair ``[batch, L, L]``, start and end ``[batch, rows, L]``."""


def _negative(factors: Factors, mask: Tensor, counted: Tensor, gold: Gold) -> Tensor:
    """``log(1 + Σ_N e^s)`` for each sample and row ``[batch, rows]``."""
    pair, start, end = factors
    lowest = torch.finfo(pair.dtype).min
    some = counted.flatten(1).any(1)
    off = ~mask[:, None, :]
    top_pair = pair.detach().masked_fill(~counted, lowest).flatten(1).amax(1).where(some, 0)  # [batch]
    top_start = start.detach().masked_fill(off, lowest).amax(2).where(some[:, None], 0)  # [batch, rows]
    top_end = end.detach().masked_fill(off, lowest).amax(2).where(some[:, None], 0)
    # Fill before exp: an overflow outside the counted cells would be inf · 0 in the backward pass.
    # In place where the backward pass needs no copy: with many labels [batch, rows, L] is what costs memory here.
    grid = (pair - top_pair[:, None, None]).masked_fill_(~counted, -1e4).exp_()  # E: [batch, L, L]
    left = (start - top_start[..., None]).masked_fill_(off, -1e4).exp_()
    right = (end - top_end[..., None]).masked_fill_(off, -1e4).exp_()
    sums = torch.bmm(right, grid.transpose(1, 2))  # Σ_j E_ij e^{end_r(j)}: [batch, rows, L]
    if len(gold.lines):
        sample, row, first = gold.lines.unbind(1)
        keep = torch.ones(len(gold.lines), pair.shape[2], dtype=torch.bool, device=pair.device)
        keep[gold.line_of, gold.cells[:, 3]] = False
        redone = (grid[sample, first] * right[sample, row] * keep).sum(1)
        sums.index_put_((sample, row, first), redone)
    total = torch.linalg.vecdot(left, sums)  # [batch, rows]
    shift = top_pair[:, None] + top_start + top_end
    tiny = torch.finfo(pair.dtype).tiny
    loss = torch.nn.functional.softplus(shift + total.clamp_min(tiny).log(), threshold=80)
    loss = loss.where(some[:, None], 0)
    dense = (shift > DENSE_ABOVE) & some[:, None]
    if bool(dense.any()):
        loss = loss.masked_scatter(dense, _dense_negative(factors, counted, gold, dense))
    return loss


def _dense_negative(factors: Factors, counted: Tensor, gold: Gold, dense: Tensor) -> Tensor:
    """The same for the few (sample, row) of `dense` whose scores are too far apart to share a shift; ``[pairs]``."""
    length = counted.shape[1]
    samples, rows = dense.nonzero(as_tuple=True)
    block = max(1, BLOCK_BYTES // (4 * length * length))
    out = []
    for at in range(0, len(samples), block):
        sample, row = samples[at : at + block], rows[at : at + block]
        negative = counted[sample].clone()
        mine = (gold.cells[:, None, 0] == sample) & (gold.cells[:, None, 1] == row)  # [cells, block]
        cell, which = mine.nonzero(as_tuple=True)
        negative[which, gold.cells[cell, 2], gold.cells[cell, 3]] = False
        out.append(checkpoint(_block_negative, factors, (sample, row), negative, use_reentrant=False))
    return torch.cat(out)


def _block_negative(factors: Factors, where: tuple[Tensor, Tensor], negative: Tensor) -> Tensor:
    pair, start, end = factors
    sample, row = where
    scores = pair[sample] + start[sample, row][:, :, None] + end[sample, row][:, None, :]
    return _log_one_plus(scores, negative).squeeze(1)


def _log_one_plus(scores: Tensor, negative: Tensor) -> Tensor:
    """``log(1 + Σ e^s)`` over the cells of `negative`, of ``[batch, L, L]``; ``[batch, 1]``."""
    lowest = torch.finfo(scores.dtype).min
    flat = scores.masked_fill(~negative, lowest).flatten(1)
    return torch.cat([flat.new_zeros(len(flat), 1), flat], dim=1).logsumexp(1, keepdim=True)
