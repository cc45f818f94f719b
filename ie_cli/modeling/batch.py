"""Batches of windows, or of pairs of texts, as tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ie_cli.modeling.devices import to_device
from ie_cli.modeling.heads.base import move

Collate = Callable[[Mapping[str, Tensor], Tensor], Any]
"""The type of `Head.collate`: gold entries and text mask -> targets."""
Numbers = int | tuple[int, ...]
"""The number of a document or a row, or those of several that are joined to one sample."""


def single_numbers(numbers: Iterable[Numbers]) -> list[int]:
    """Return the numbers one by one.

    >>> single_numbers([3, (5, 6)])
    [3, 5, 6]
    """
    return [one for number in numbers for one in (number if isinstance(number, tuple) else (number,))]


@dataclass(frozen=True, slots=True)
class Replay:
    """Losses of more samples than those of a batch, and their gradients at what the head reads of this batch, by name."""

    losses: Mapping[str, Tensor]
    gradients: Mapping[str, Tensor]

    def carried(self, read: Tensor) -> dict[str, Tensor]:
        """Return the losses as functions of what the head reads: they have these values, and these gradients."""
        products = {name: (read * gradient).sum() for name, gradient in self.gradients.items()}
        return {name: loss + (products[name] - products[name].detach()) for name, loss in self.losses.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A batch of samples of one task: windows, or pairs of texts.

    *Shapes:* input_ids int64, attention_mask and text_mask bool ``[samples * rows, L]``; for windows, text_mask is false on
    special tokens.

    Attributes:
        task: the name of the task in the recipe.
        entries: the gold entries from `Codec.entries`; int64 ``[entries, columns]``, the first column being the sample.
        collate: builds `targets`, the input of the head's losses, from `entries`.
        documents: for each sample, the number of its document in the training data, or the numbers of those that are joined.
        rows: number of consecutive rows that belong to a sample: 2 for pairs whose texts are encoded separately, else 1.
        replay: the losses to use instead of those of this batch alone; None for its own.
        padded: whether a row may have padding. Without it, attention needs no mask, and a GPU has faster code for this.
        weight: the factor of its losses and gradients, if it is the share that one of several processes has of a batch; 0 if the
            process has none, and the batch is not computed.
    """

    task: str
    input_ids: Tensor
    attention_mask: Tensor
    text_mask: Tensor
    entries: Mapping[str, Tensor]
    collate: Collate
    targets: Any
    documents: Sequence[Numbers]
    rows: int = 1
    replay: Replay | None = None
    padded: bool = True
    weight: float = 1.0

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.input_ids) // self.rows

    @classmethod
    def build(
        cls,
        task: str,
        input_ids: Tensor,
        attention_mask: Tensor,
        text_mask: Tensor,
        entries: Mapping[str, Tensor],
        *,
        collate: Collate,
        documents: Sequence[Numbers],
        rows: int = 1,
    ) -> Batch:
        """Build a batch on the CPU, with the targets from `collate`."""
        return cls(
            task=task,
            input_ids=input_ids,
            attention_mask=attention_mask,
            text_mask=text_mask,
            entries=entries,
            collate=collate,
            targets=collate(entries, text_mask),
            documents=documents,
            rows=rows,
            padded=not bool(attention_mask.all()),
        )

    def to(self, device: torch.device) -> Batch:
        """Return the batch on a device, without waiting for the device."""
        return Batch(
            task=self.task,
            input_ids=to_device(self.input_ids, device),
            attention_mask=to_device(self.attention_mask, device),
            text_mask=to_device(self.text_mask, device),
            entries=move(self.entries, device),
            collate=self.collate,
            targets=move(self.targets, device),
            documents=self.documents,
            rows=self.rows,
            replay=self.replay,
            padded=self.padded,
            weight=self.weight,
        )

    def part(self, first: int, end: int) -> Batch:
        """Return the samples ``first:end`` as a batch, without padding that only other samples need; on the CPU."""
        rows = slice(first * self.rows, end * self.rows)
        mask = self.attention_mask[rows]
        length = int(mask.any(0).nonzero().max()) + 1
        entries = {}
        for name, every in self.entries.items():
            selected = every[(every[:, 0] >= first) & (every[:, 0] < end)].clone()
            selected[:, 0] -= first
            entries[name] = selected
        return Batch.build(
            self.task,
            self.input_ids[rows, :length],
            mask[:, :length],
            self.text_mask[rows, :length],
            entries,
            collate=self.collate,
            documents=self.documents[first:end],
            rows=self.rows,
        )
