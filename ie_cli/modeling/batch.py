"""The tensors of some windows."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ie_cli.modeling.losses.factorised import Gold


@dataclass(frozen=True, slots=True)
class Batch:
    """Tensors of some windows.

    *Shapes:* input_ids int64, attention_mask and text_mask bool ``[batch, L]``; text_mask is false on special tokens. `gold`
    is one for each table of the head: entities; with links also the links of starts and of ends.
    """

    input_ids: Tensor
    attention_mask: Tensor
    text_mask: Tensor
    gold: tuple[Gold, ...]
    documents: list[int]

    def to(self, device: torch.device) -> Batch:
        return Batch(
            self.input_ids.to(device, non_blocking=True),
            self.attention_mask.to(device, non_blocking=True),
            self.text_mask.to(device, non_blocking=True),
            tuple(gold.to(device) for gold in self.gold),
            self.documents,
        )

    def part(self, first: int, end: int) -> Batch:
        """Some of its windows, without the padding that only others needed."""
        mask = self.attention_mask[first:end]
        length = int(mask.any(0).nonzero().max()) + 1
        text = self.text_mask[first:end, :length]
        gold = []
        for table in self.gold:
            mine = table.cells[(table.cells[:, 0] >= first) & (table.cells[:, 0] < end)]
            # Which cells count was checked when the batch was made.
            gold.append(Gold.build(mine - mine.new_tensor([first, 0, 0, 0]), text, upper=False))
        return Batch(self.input_ids[first:end, :length], mask[:, :length], text, tuple(gold), self.documents[first:end])
