"""Encoder and head as one trainable module."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn

from ie_cli.data.label_schema import LabelSchema
from ie_cli.modeling.batch import Batch
from ie_cli.modeling.heads import HEADS, Head
from ie_cli.recipe.heads import HeadSection


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

    def forward(self, batch: Batch, weights: Sequence[Tensor] | None = None) -> Tensor:
        """Loss of a batch, summed over the head's tables; `weights` ``[rows]`` of each row's loss, for each table."""
        hidden = self.hidden(batch.input_ids, batch.attention_mask)
        scorers = cast(Head, self.head).scorers
        losses = [
            scorer.loss(hidden, batch.text_mask, gold, weights[table] if weights is not None else None)
            for table, (scorer, gold) in enumerate(zip(scorers, batch.gold, strict=True))
        ]
        return sum(losses[1:], losses[0])


def build_head(section: HeadSection, *, hidden_size: int, schema: LabelSchema) -> nn.Module:
    """Build the head that the recipe names, with fresh weights; it may set the keyword-only arguments of the head."""
    head = HEADS[section.name]
    parameters = inspect.signature(head).parameters.values()
    options = {p.name: getattr(section, p.name) for p in parameters if p.kind is p.KEYWORD_ONLY}
    sizes = (len(schema.labels), len(schema.predicates)) if schema.predicates else (len(schema.labels),)
    built: nn.Module = head(hidden_size, *sizes, **options)
    return built
