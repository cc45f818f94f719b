"""Encoder and head as one trainable module."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from ie_cli.batches import Batch
from ie_cli.heads import HEADS, Head
from ie_cli.recipe import EfficientGlobalPointerSection, GlobalPointerSection


class SpanModel(nn.Module):
    """An encoder with a head on it; calling it with a batch gives the loss."""

    def __init__(self, encoder: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head

    def hidden(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Encoder output ``[batch, L, hidden]`` of ids and mask ``[batch, L]``."""
        output: Tensor = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return output

    def forward(self, batch: Batch, weights: Tensor | None = None) -> Tensor:
        """Loss of a batch; `weights` ``[labels]`` of each label's loss."""
        hidden = self.hidden(batch.input_ids, batch.attention_mask)
        return cast(Head, self.head).loss(hidden, batch.text_mask, batch.gold, weights)


def build_head(
    section: EfficientGlobalPointerSection | GlobalPointerSection, *, hidden_size: int, labels: int
) -> nn.Module:
    """Build the head that the recipe names, with fresh weights."""
    return HEADS[section.name](hidden_size, labels, head_size=section.head_size, rope=section.rope)
