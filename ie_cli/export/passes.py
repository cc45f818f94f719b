"""The passes of a model as modules whose inputs and outputs are those of exported graphs."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ie_cli.codecs.pairs import MATRIX
from ie_cli.inference.backends.onnx import HIDDEN, VECTOR, output_prefix
from ie_cli.modeling.heads.base import Head, HeadModule
from ie_cli.modeling.model import ExtractionModel


class FirstPass(nn.Module):
    """A model whose outputs are those of all its heads in turn, and the hidden states if a head has queries."""

    def __init__(self, model: ExtractionModel) -> None:
        super().__init__()
        self.model = model
        self.names: list[str] = []

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, ...]:
        read = self.model.read(self.model.tasks, input_ids, attention_mask)
        named = {
            f"{output_prefix(task, self.model.tasks)}{name}": tensor
            for task in self.model.tasks
            for name, tensor in self.model.head(task).outputs(read[task]).items()
        }
        asked = [task for task in self.model.tasks if self.model.head(task).queries]
        for task in asked:
            if reads_everything(self.model.head(task)):
                named[HIDDEN] = read[task]
        self.names = list(named)
        return tuple(named.values())


class SecondPass(nn.Module):
    """The heads of a model that have queries: the inputs are what they read, and the arguments of all their queries in turn.

    Attributes:
        read: the task and the input of each head with queries; those that read all of the hidden states share an input.
    """

    def __init__(self, model: ExtractionModel) -> None:
        super().__init__()
        self.heads = model.heads
        self.read = {
            task: HIDDEN
            if reads_everything(model.head(task))
            else f"{output_prefix(task, model.tasks)}{MATRIX}.{VECTOR}"
            for task in model.tasks
            if model.head(task).queries
        }
        self.asked = [
            (task, model.head(task), f"{output_prefix(task, model.tasks)}{query}.", query, arguments)
            for task in self.read
            for query, arguments in model.head(task).queries.items()
        ]
        self.sources = list(dict.fromkeys(self.read.values()))
        self.inputs = [f"{prefix}{argument}" for *_, prefix, _, arguments in self.asked for argument in arguments]
        self.names: list[str] = []

    def forward(self, read: list[Tensor], given: list[Tensor]) -> tuple[Tensor, ...]:
        sources = dict(zip(self.sources, read, strict=True))
        values = dict(zip(self.inputs, given, strict=True))
        named: dict[str, Tensor] = {}
        for task, head, prefix, query, arguments in self.asked:
            own = {key: values[f"{prefix}{key}"] for key in arguments}
            found = head.query(query, sources[self.read[task]], own)
            named |= {f"{prefix}{name}": tensor for name, tensor in found.items()}
        self.names = list(named)
        return tuple(named.values())

    def axes(self, hidden: dict[int, Any]) -> tuple[list[dict[int, Any]], list[dict[int, Any]]]:
        """Return the dynamic axes of what is read, and of each argument; all arguments of a query have the same length.

        Args:
            hidden: the dynamic axes of the hidden states.
        """
        read = [
            hidden if source == HIDDEN else {0: torch.export.Dim(f"rows_{number}")}
            for number, source in enumerate(self.sources)
        ]
        given = [
            {0: size}
            for number, (*_, arguments) in enumerate(self.asked)
            for size in [torch.export.Dim(f"items_{number}")] * len(arguments)
        ]
        return read, given


def reads_everything(head: Head) -> bool:
    """Return whether a head reads all of the hidden states."""
    return getattr(type(head), "read", None) is HeadModule.read
