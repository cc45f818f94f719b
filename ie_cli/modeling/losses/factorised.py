"""The multi-label cross-entropy of kexue.fm/archives/7359 over the entries of a span matrix, exactly and in little memory.

For each sample and label r, with P the gold entries and N the other valid entries:

    loss = log(1 + Σ_P e^{-s}) + log(1 + Σ_N e^{s})        summed over labels, averaged over samples

The published sparse form computes Σ_N as Σ_all − Σ_P, which cancels: it goes negative and loses all precision once
positives are confident. Here nothing is ever subtracted. `factorised_loss` is for heads whose scores are
``pair(i,j) + start_r(i) + end_r(j)``, `streamed.streamed_loss` for heads with a query and a key per label.
All arithmetic is float32 (or float64, if that comes in), whatever the encoder runs in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import softplus
from torch.utils.checkpoint import checkpoint

from ie_cli.encoding.word_boundaries import NO_BOUNDARY
from ie_cli.errors import DataError
from ie_cli.modeling.devices import to_device

_LOOKED_AT = ("cpu", "mps")
"""The devices whose values the host may look at: it is the host itself, or it has no float64."""
# Above this shift e^(s−shift) may underflow for entries that matter; below it the terms that underflow sum to < L²e⁻²⁷.
DENSE_ABOVE = 60.0
BLOCK_BYTES = 32 * 2**20
"""The maximum memory of one block of scores; the largest size that still fits in the caches of common CPUs."""
_BLOCKS_OF_DEVICE = 16
"""By how much blocks are larger on a GPU, where a block is a launch of kernels and there are no such caches."""


def block_bytes(device: torch.device, limit: int) -> int:
    """Return the maximum memory of a block of scores on a device, given the limit for CPUs."""
    return limit if device.type == "cpu" else _BLOCKS_OF_DEVICE * limit


Sides = tuple[Tensor, Tensor]
"""The tokens that may be the first and the last of an entry; bool ``[batch, L]`` each, false outside of the text."""


def boundaries(mask: Tensor, entries: Mapping[str, Tensor]) -> Sides:
    """Return the text tokens that spans may start and end with.

    Args:
        mask: bool ``[batch, L]``, true on text tokens.
        entries: the entries of a batch; `NO_BOUNDARY` names (sample, side, token) of the other tokens, int64 ``[rows, 3]``.
    """
    if (excluded := entries.get(NO_BOUNDARY)) is None:
        return mask, mask
    both = torch.stack([mask, mask])
    sample, side, token = excluded.unbind(1)
    both[side, sample, token] = False
    return both[0], both[1]


@dataclass(frozen=True, slots=True)
class Gold:
    """The gold entries of a batch, without duplicates, and the tokens that entries may have; None for all text tokens.

    *Shapes:* entries int64 ``[entries, 4]`` of (sample, label, first, last), sorted; rows int64 ``[rows, 3]``: the distinct
    (sample, label, first), i.e. the rows of score matrices that hold gold; row_of int64 ``[entries]``: the row of each entry.
    """

    entries: Tensor
    rows: Tensor
    row_of: Tensor
    sides: Sides | None = None

    @classmethod
    def build(cls, entries: Tensor, mask: Tensor, *, upper: bool = True, sides: Sides | None = None) -> Gold:
        """Sort and deduplicate gold entries, and check that each of them is valid.

        Args:
            entries: int64 ``[entries, 4]``, duplicates allowed.
            mask: bool ``[batch, length]``, true on text tokens.
            upper: only entries with first ≤ last are valid.
            sides: the tokens that entries may have; None for all text tokens.

        Raises:
            DataError: a gold entry is on padding, on a special token, on a token that no entry may have, or below the diagonal.
        """
        rows, columns = sides or (mask, mask)
        entries = torch.unique(entries.reshape(-1, 4), dim=0)
        sample, _, first, last = entries.unbind(1)
        valid = rows[sample, first] & columns[sample, last] & ((first <= last) | (not upper))
        if not bool(valid.all()):
            bad = entries[~valid][0].tolist()
            raise DataError(
                f"gold entry (sample, label, first, last) = {bad} is not valid: it lies on padding or a special token, starts or "
                "ends inside a word, or ends before it starts"
            )
        distinct, row_of = torch.unique(entries[:, :3], dim=0, return_inverse=True)
        return cls(entries, distinct, row_of, sides)

    def to(self, device: torch.device) -> Gold:
        sides = None if self.sides is None else (to_device(self.sides[0], device), to_device(self.sides[1], device))
        entries, rows, row_of = (to_device(part, device) for part in (self.entries, self.rows, self.row_of))
        return Gold(entries, rows, row_of, sides)


def valid_entries(mask: Tensor, *, sides: Sides | None = None, upper: bool = True) -> Tensor:
    """Return which entries have tokens that entries may have and, if `upper`, first ≤ last; bool ``[batch, L, L]``.

    Args:
        mask: bool ``[batch, L]``, true on text tokens.
        sides: the tokens that entries may have; None for all text tokens.
        upper: only entries with first ≤ last are valid.
    """
    first, last = sides or (mask, mask)
    valid = first[:, :, None] & last[:, None, :]
    return valid.triu() if upper else valid


def factorised_loss(
    pair: Tensor,
    start: Tensor,
    end: Tensor,
    mask: Tensor,
    gold: Gold,
    *,
    upper: bool = True,
    weights: Tensor | None = None,
    valid: Tensor | None = None,
) -> Tensor:
    """Return the loss of scores ``pair(i,j) + start_r(i) + end_r(j)`` without the tensor ``[batch, labels, L, L]``.

    With E = exp(pair) on valid entries, ``Σ_ij e^s = Σ_i e^{start_r(i)} (Σ_j E_ij e^{end_r(j)})``: one matrix product.
    The few sums over j that include a gold entry are recomputed without the gold entries.

    Args:
        pair: ``[batch, L, L]``.
        start: ``[batch, labels, L]``.
        end: ``[batch, labels, L]``.
        mask: bool ``[batch, L]``, true on text tokens.
        gold: the gold entries.
        upper: only entries with first ≤ last are valid.
        weights: the weight of each label's loss ``[labels]``; 1 if omitted.
        valid: the entries that count, bool ``[batch, L, L]``, all gold entries among them; if omitted, all valid ones.

    Returns:
        A scalar, at least 0; a sample without valid entries contributes 0.
    """
    with torch.autocast(pair.device.type, enabled=False):
        pair, start, end = (x if x.dtype == torch.float64 else x.float() for x in (pair, start, end))
        valid = valid_entries(mask, sides=gold.sides, upper=upper) if valid is None else valid
        sample, label, first, last = gold.entries.unbind(1)
        scores = pair[sample, first, last] + start[sample, label, first] + end[sample, label, last]
        negative = log_sum_of_negatives((pair, start, end), mask, valid, gold)
        loss = positive_loss(scores, sample, label, start.shape[:2]) + softplus(negative, threshold=80)
        if weights is not None:
            loss = loss * weights.to(loss)
        return loss.sum() / len(mask)


def positive_loss(
    scores: Tensor, sample: Tensor, label: Tensor, shape: torch.Size, *, here: Tensor | None = None
) -> Tensor:
    """Return ``log(1 + Σ_P e^{-s})`` for each sample and label ``[batch, labels]``, shifted by its maximum.

    Args:
        scores: the scores of gold entries ``[entries]``.
        sample: their samples.
        label: their labels.
        shape: batch and labels.
        here: which of the entries count; None for all.
    """
    at = sample * shape[1] + label
    if here is not None:  # the others share a place of their own, because a selection by values waits for the device
        at = torch.where(here, at, shape.numel())
    shift = torch.zeros(shape.numel() + 1, dtype=scores.dtype, device=scores.device)
    shift = shift.scatter_reduce(0, at, -scores.detach(), "amax")  # at least 0: the 1 is e^0
    total = torch.exp(-shift).scatter_add(0, at, torch.exp(-scores - shift[at]))
    return (shift + total.log())[:-1].view(shape)


Factors = tuple[Tensor, Tensor, Tensor]
"""pair ``[batch, L, L]``, start and end ``[batch, labels, L]``."""


def log_sum_of_negatives(factors: Factors, mask: Tensor, valid: Tensor, gold: Gold) -> Tensor:
    """Return ``log Σ_N e^s`` for each sample and label ``[batch, labels]``; numbers below -20 are upper bounds.

    The few samples and labels whose terms underflow with a common shift are computed by `_dense_log_sum`. To know which they
    are, the host has to wait for the device. On a GPU, all are computed in float64 instead, where nothing that matters underflows
    below a shift of 680; with larger scores, a model has diverged.
    """
    narrow = factors[0].dtype
    if wide := factors[0].device.type not in _LOOKED_AT:
        factors = factors[0].double(), factors[1].double(), factors[2].double()
    pair, start, end = factors
    lowest = torch.finfo(pair.dtype).min
    some = valid.flatten(1).any(1)
    # A sample may have first tokens but no last ones: its scores have no shift, and would overflow.
    off_first, off_last = (~(side & some[:, None])[:, None, :] for side in gold.sides or (mask, mask))
    top_pair = pair.detach().masked_fill(~valid, lowest).flatten(1).amax(1).where(some, 0)  # [batch]
    top_start = start.detach().masked_fill(off_first, lowest).amax(2).where(some[:, None], 0)  # [batch, labels]
    top_end = end.detach().masked_fill(off_last, lowest).amax(2).where(some[:, None], 0)
    # Fill before exp: an overflow outside the valid entries would be inf · 0 in the backward pass.
    # In place if the backward pass needs no copy: with many labels the tensors [batch, labels, L] dominate the memory here.
    grid = (pair - top_pair[:, None, None]).masked_fill_(~valid, -1e4).exp_()  # E: [batch, L, L]
    left = (start - top_start[..., None]).masked_fill_(off_first, -1e4).exp_()
    right = (end - top_end[..., None]).masked_fill_(off_last, -1e4).exp_()
    sums = torch.bmm(right, grid.transpose(1, 2))  # Σ_j E_ij e^{end_r(j)}: [batch, labels, L]
    if len(gold.rows):
        sample, label, first = gold.rows.unbind(1)
        keep = torch.ones(len(gold.rows), pair.shape[2], dtype=torch.bool, device=pair.device)
        keep[gold.row_of, gold.entries[:, 3]] = False
        recomputed = (grid[sample, first] * right[sample, label] * keep).sum(1)
        sums.index_put_((sample, label, first), recomputed)
    total = torch.linalg.vecdot(left, sums)  # [batch, labels]
    shift = top_pair[:, None] + top_start + top_end
    tiny = torch.finfo(pair.dtype).tiny
    found: Tensor = (shift + total.clamp_min(tiny).log()).where(some[:, None], torch.finfo(narrow).min)
    if wide:
        return found.to(narrow)
    dense = (shift > DENSE_ABOVE) & some[:, None]
    if bool(dense.any()):
        found = found.masked_scatter(dense, _dense_log_sum(factors, valid, gold, dense))
    return found


def _dense_log_sum(factors: Factors, valid: Tensor, gold: Gold, dense: Tensor) -> Tensor:
    """Return the same for the few (sample, label) whose scores cannot share one shift; ``[pairs]``."""
    length = valid.shape[1]
    samples, labels = dense.nonzero(as_tuple=True)
    block = max(1, BLOCK_BYTES // (4 * length * length))
    out = []
    for at in range(0, len(samples), block):
        sample, label = samples[at : at + block], labels[at : at + block]
        negative = valid[sample].clone()
        in_block = (gold.entries[:, None, 0] == sample) & (gold.entries[:, None, 1] == label)  # [entries, block]
        entry, which = in_block.nonzero(as_tuple=True)
        negative[which, gold.entries[entry, 2], gold.entries[entry, 3]] = False
        out.append(checkpoint(_log_sum_of_block, factors, (sample, label), negative, use_reentrant=False))
    return torch.cat(out)


def _log_sum_of_block(factors: Factors, where: tuple[Tensor, Tensor], negative: Tensor) -> Tensor:
    pair, start, end = factors
    sample, label = where
    scores = pair[sample] + start[sample, label][:, :, None] + end[sample, label][:, None, :]
    return scores.masked_fill(~negative, torch.finfo(scores.dtype).min).flatten(1).logsumexp(1)
