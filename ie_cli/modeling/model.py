"""An encoder with the heads of one or more tasks, as one trainable module."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from ie_cli.modeling.batch import Batch
from ie_cli.modeling.compilation import callable_of
from ie_cli.modeling.gpu_attention import accepts_no_mask
from ie_cli.modeling.heads.base import Head, Tensors


def _key(task: str) -> str:
    return f"{task}_head"


class ExtractionModel(nn.Module):
    """The model; calling it with a batch returns the losses of the batch's task.

    Args:
        heads: the heads by the names of the tasks in the recipe.

    Attributes:
        r_drop: α of R-Drop (arXiv 2106.14448); None for the plain losses.
    """

    def __init__(self, encoder: nn.Module, heads: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.encoder = encoder
        # Not the bare task names: the name of a child module must not be the name of an attribute of the module.
        self.heads = nn.ModuleDict({_key(task): head for task, head in heads.items()})
        self.tasks = tuple(heads)
        self.r_drop: float | None = None

    def head(self, task: str) -> Head:
        """Return the head of a task."""
        return cast(Head, self.heads[_key(task)])

    def hidden(self, input_ids: Tensor, attention_mask: Tensor | None) -> Tensor:
        """Return the encoder output ``[batch, L, hidden]`` for ids and mask ``[batch, L]``; None: there is no padding."""
        encode = callable_of(self.encoder)
        output: Tensor = encode(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return output

    def read(
        self, tasks: Sequence[str], input_ids: Tensor, attention_mask: Tensor, *, padded: bool = True
    ) -> dict[str, Tensor]:
        """Return what the heads of some tasks keep of the encoder output, which is computed once for all of them."""
        heads = {task: self.head(task) for task in tasks}
        needed = padded or input_ids.device.type == "cpu" or not accepts_no_mask(self.encoder)
        visible = attention_mask if needed else None
        if not any(head.needs_first_layer for head in heads.values()):
            hidden, first = self.hidden(input_ids, visible), None
        else:
            encode = callable_of(self.encoder)
            output = encode(input_ids=input_ids, attention_mask=visible, output_hidden_states=True)
            hidden, first = output.last_hidden_state, output.hidden_states[1]
        return {task: head.read(hidden, attention_mask, first) for task, head in heads.items()}

    def begin_step(self, progress: float) -> None:
        """Prepare all heads for the next step of training, when this share of the steps is completed."""
        for task in self.tasks:
            self.head(task).begin_step(progress)

    def forward(
        self, batch: Batch, weights: Mapping[str, Tensors] | None = None, *, read_only: bool = False
    ) -> dict[str, Tensor]:
        """Return the losses of a batch, named ``TASK.LOSS``.

        Args:
            batch: the batch.
            weights: the weight of each label's loss ``[labels]``, by task and score matrix.
            read_only: return what the head reads of the encoder's output, named ``TASK``, instead of losses.
        """
        if read_only or batch.replay is not None:
            read = self._read_by_head(batch)
            if batch.replay is None:
                return {batch.task: read}
            losses = batch.replay.carried(read)
        else:
            losses = self._losses(batch, weights.get(batch.task) if weights is not None else None)
        return {f"{batch.task}.{name}": loss for name, loss in losses.items()}

    def _losses(self, batch: Batch, weights: Tensors | None) -> dict[str, Tensor]:
        """Return the losses of a batch by name; with R-Drop, those of two passes, and α times their divergence, halved.

        The paper's loss is not halved. As a mean, it is as large as the plain loss, whatever the number of passes.
        """
        head, copies = self.head(batch.task), 1 if self.r_drop is None else 2
        hidden = head.input_dropout(self._read_by_head(batch, copies))  # [copies · batch, L, hidden]
        passes = [(part, head.losses(part, batch.text_mask, batch.targets, weights)) for part in hidden.chunk(copies)]
        if self.r_drop is None:
            return passes[0][1]
        (s, one), (t, two) = passes
        apart = head.divergences(s, t, batch.text_mask, batch.targets, weights)
        return {name: (one[name] + two[name] + self.r_drop * apart[name]) / 2 for name in one}

    def _read_by_head(self, batch: Batch, copies: int = 1) -> Tensor:
        """Return what the head of a batch keeps of the encoder output of some copies of it."""
        ids, mask = (x.repeat(copies, 1) if copies > 1 else x for x in (batch.input_ids, batch.attention_mask))
        return self.read([batch.task], ids, mask, padded=batch.padded)[batch.task]


def distinct_tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield weights and buffers with their names, tied ones once: loading one of the names restores all of them."""
    seen: set[int] = set()
    for name, tensor in module.state_dict().items():
        if tensor.data_ptr() not in seen or not tensor.numel():
            seen.add(tensor.data_ptr())
            yield name, tensor


def first_not_finite(module: nn.Module) -> str | None:
    """Return the name of the first weight that holds a non-finite number, or None if all are finite."""
    for name, parameter in module.named_parameters():
        if not _is_finite(parameter.detach()):
            return name
    return None


def _is_finite(tensor: Tensor) -> bool:
    """Return whether all numbers are finite.

    If the sum is finite, so is every number. If only the sum overflows, every number is checked, which takes longer.
    """
    total = tensor.sum(dtype=torch.promote_types(tensor.dtype, torch.float32))
    return bool(total.isfinite()) or bool(tensor.isfinite().all())


_MATRICES_OF_0_1 = {"head.entity.": "entities", "head.start_link.": "start_links", "head.end_link.": "end_links"}


def rename_tensor_of_0_1(name: str, task: str) -> str:
    """Return the current name of a tensor that version 0.1 called `name`; its models had one task."""
    for prefix, matrix in {**_MATRICES_OF_0_1, "head.": "entities"}.items():
        if name.startswith(prefix):
            return f"heads.{_key(task)}.tables.{matrix}.{name.removeprefix(prefix)}"
    return name
