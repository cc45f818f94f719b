"""An encoder with the heads of one or several tasks, as one trainable module."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import cast

import torch
from torch import Tensor, nn

from ie_cli.modeling.batch import Batch
from ie_cli.modeling.heads.base import Head, Tensors


def _key(task: str) -> str:
    return f"{task}_head"


class ExtractionModel(nn.Module):
    """Calling it with a batch gives the losses of the batch's task.

    Args:
        heads: by the names of the tasks in the recipe.
    """

    def __init__(self, encoder: nn.Module, heads: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.encoder = encoder
        # Not the bare names: a module may have no child that is called like one of its own attributes.
        self.heads = nn.ModuleDict({_key(task): head for task, head in heads.items()})
        self.tasks = tuple(heads)

    def head(self, task: str) -> Head:
        """The head of a task."""
        return cast(Head, self.heads[_key(task)])

    def hidden(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Encoder output ``[batch, L, hidden]`` of ids and mask ``[batch, L]``."""
        output: Tensor = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return output

    def forward(self, batch: Batch, weights: Mapping[str, Tensors] | None = None) -> dict[str, Tensor]:
        """Losses of a batch, named ``TASK.LOSS``.

        Args:
            weights: of the rows' losses ``[rows]``, by task and table.
        """
        hidden = self.hidden(batch.input_ids, batch.attention_mask)
        losses = self.head(batch.task).losses(
            hidden, batch.text_mask, batch.targets, weights.get(batch.task) if weights is not None else None
        )
        return {f"{batch.task}.{name}": loss for name, loss in losses.items()}


def distinct_tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Weights and buffers with their names, tied ones once: they are loaded by one of their names, and tied again."""
    seen: set[int] = set()
    for name, tensor in module.state_dict().items():
        if tensor.data_ptr() not in seen or not tensor.numel():
            seen.add(tensor.data_ptr())
            yield name, tensor


def first_not_finite(module: nn.Module) -> str | None:
    """The name of the first weight that is infinite or no number, None where all are finite."""
    for name, parameter in module.named_parameters():
        if not _is_finite(parameter.detach()):
            return name
    return None


def _is_finite(tensor: Tensor) -> bool:
    """A sum is not finite where a number in it is not; where it alone is too large, each is looked at, which takes longer."""
    total = tensor.sum(dtype=torch.promote_types(tensor.dtype, torch.float32))
    return bool(total.isfinite()) or bool(tensor.isfinite().all())


_EARLIER_TABLES = {"head.entity.": "entities", "head.start_link.": "start_links", "head.end_link.": "end_links"}


def name_of_earlier(name: str, task: str) -> str:
    """The name that a tensor has now which version 0.1 called `name`; its models had one task."""
    for prefix, table in {**_EARLIER_TABLES, "head.": "entities"}.items():
        if name.startswith(prefix):
            return f"heads.{_key(task)}.tables.{table}.{name.removeprefix(prefix)}"
    return name
