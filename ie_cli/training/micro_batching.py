"""Batches that memory does not suffice for, computed in parts with the same gradient."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from ie_cli.errors import TrainingError
from ie_cli.modeling.batch import Batch
from ie_cli.system.memory import is_out_of_memory


class MicroBatching:
    """Computes the gradients of batches, in twice as many parts whenever memory does not suffice.

    The loss of a batch is the mean over its windows: that of a part weighs as its share of them, so that the sum of the
    parts' gradients is the batch's, but for rounding and for what dropout draws.

    Args:
        backward: computes loss and gradient of a part, the loss times a weight; returns the loss without it.
        forget: sets all gradients to none.
        parts: to begin with.
    """

    def __init__(self, backward: Callable[[Batch, float], Tensor], forget: Callable[[], None], parts: int = 1) -> None:
        self._backward, self._forget = backward, forget
        self.parts = parts
        self._group: list[Batch] = []

    def add(self, batch: Batch, *, last: bool) -> Tensor:
        """Add the gradient of a batch to those of its step; `last`: the step has no more. Returns its mean loss.

        Raises:
            TrainingError: memory does not suffice for a window.
        """
        self._group.append(batch)
        loss = self._in_parts(batch)
        while loss is None:
            self._halve()
            self._forget()  # what was cut off left a part of its gradient
            loss = self._all()
        if last:
            self._group.clear()
        return loss

    def _all(self) -> Tensor | None:
        """The batches of this step so far once more; the loss of the last."""
        loss: Tensor | None = None
        for batch in self._group:
            loss = self._in_parts(batch)
            if loss is None:
                return None
        return loss

    def _in_parts(self, batch: Batch) -> Tensor | None:
        """None where memory did not suffice; what it took is free again when this returns."""
        total: Tensor | None = None
        try:
            for part in split(batch, self.parts):
                share = len(part.input_ids) / len(batch.input_ids)
                loss = self._backward(part, share) * share
                total = loss if total is None else total + loss
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return None
        return total

    def _halve(self) -> None:
        largest = max(len(batch.input_ids) for batch in self._group)
        if self.parts >= largest:
            raise TrainingError(
                f"out of memory, even with one window at a time ({max(b.input_ids.shape[1] for b in self._group)} tokens)",
                hint="set encoder.max_length lower or encoder.gradient_checkpointing: true, or use a smaller encoder.",
            )
        self.parts *= 2
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def split(batch: Batch, parts: int) -> Iterator[Batch]:
    """Cut a batch into so many parts of about one size, none of them empty."""
    count = len(batch.input_ids)
    parts = min(parts, count)
    for part in range(parts):
        yield batch.part(part * count // parts, (part + 1) * count // parts) if parts > 1 else batch
