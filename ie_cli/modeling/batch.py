"""The tensors of some windows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ie_cli.modeling.heads.base import move

Collate = Callable[[Mapping[str, Tensor], Tensor], Any]
"""`Head.collate`: gold cells and text mask -> targets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Windows of one task.

    *Shapes:* input_ids int64, attention_mask and text_mask bool ``[batch, L]``; text_mask is false on special tokens.

    Attributes:
        task: name of the task in the recipe.
        cells: gold as `Codec.cells` gives it; int64 ``[cells, columns]``, the sample first.
        collate: makes `targets`, which the head's losses take, of `cells`.
        documents: the document of each window, by its number in the training data.
    """

    task: str
    input_ids: Tensor
    attention_mask: Tensor
    text_mask: Tensor
    cells: Mapping[str, Tensor]
    collate: Collate
    targets: Any
    documents: Sequence[int]

    @classmethod
    def build(
        cls,
        task: str,
        input_ids: Tensor,
        attention_mask: Tensor,
        text_mask: Tensor,
        cells: Mapping[str, Tensor],
        *,
        collate: Collate,
        documents: Sequence[int],
    ) -> Batch:
        """A batch with the targets that `collate` makes."""
        return cls(
            task=task,
            input_ids=input_ids,
            attention_mask=attention_mask,
            text_mask=text_mask,
            cells=cells,
            collate=collate,
            targets=collate(cells, text_mask),
            documents=documents,
        )

    def to(self, device: torch.device) -> Batch:
        return Batch(
            task=self.task,
            input_ids=self.input_ids.to(device, non_blocking=True),
            attention_mask=self.attention_mask.to(device, non_blocking=True),
            text_mask=self.text_mask.to(device, non_blocking=True),
            cells=move(self.cells, device),
            collate=self.collate,
            targets=move(self.targets, device),
            documents=self.documents,
        )

    def part(self, first: int, end: int) -> Batch:
        """Some of its windows, without the padding that only others needed."""
        mask = self.attention_mask[first:end]
        length = int(mask.any(0).nonzero().max()) + 1
        cells = {}
        for name, table in self.cells.items():
            mine = table[(table[:, 0] >= first) & (table[:, 0] < end)].clone()
            mine[:, 0] -= first
            cells[name] = mine
        return Batch.build(
            self.task,
            self.input_ids[first:end, :length],
            mask[:, :length],
            self.text_mask[first:end, :length],
            cells,
            collate=self.collate,
            documents=self.documents[first:end],
        )
