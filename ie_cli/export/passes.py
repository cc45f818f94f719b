"""The passes of a model as modules whose inputs and outputs are those of exported graphs."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ie_cli.inference.backends.onnx import HIDDEN, output_prefix
from ie_cli.modeling.model import ExtractionModel


class FirstPass(nn.Module):
    """A model whose outputs are those of all its heads in turn, and the hidden states if a head has queries."""

    def __init__(self, model: ExtractionModel) -> None:
        super().__init__()
        self.model = model
        self.names: list[str] = []

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, ...]:
        hidden = self.model.hidden(input_ids, attention_mask)
        named = {
            f"{output_prefix(task, self.model.tasks)}{name}": tensor
            for task in self.model.tasks
            for name, tensor in self.model.head(task).outputs(hidden).items()
        }
        if any(self.model.head(task).queries for task in self.model.tasks):
            named[HIDDEN] = hidden
        self.names = list(named)
        return tuple(named.values())


class SecondPass(nn.Module):
    """The heads of a model, whose inputs are the hidden states and the arguments of all their queries in turn."""

    def __init__(self, model: ExtractionModel) -> None:
        super().__init__()
        self.heads = model.heads
        self.asked = [
            (model.head(task), f"{output_prefix(task, model.tasks)}{query}.", query, arguments)
            for task in model.tasks
            for query, arguments in model.head(task).queries.items()
        ]
        self.inputs = [f"{prefix}{argument}" for _, prefix, _, arguments in self.asked for argument in arguments]
        self.names: list[str] = []

    def forward(self, hidden: Tensor, given: list[Tensor]) -> tuple[Tensor, ...]:
        values = dict(zip(self.inputs, given, strict=True))
        named = {
            f"{prefix}{name}": tensor
            for head, prefix, query, arguments in self.asked
            for name, tensor in head.query(query, hidden, {key: values[f"{prefix}{key}"] for key in arguments}).items()
        }
        self.names = list(named)
        return tuple(named.values())

    def axes(self) -> list[dict[int, Any]]:
        """Return the dynamic axis of each argument; all arguments of a query have the same length."""
        return [
            {0: size}
            for number, (_, _, _, arguments) in enumerate(self.asked)
            for size in [torch.export.Dim(f"items_{number}")] * len(arguments)
        ]
