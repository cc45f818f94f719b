"""Compute batches that do not fit into memory in parts, with the same gradient."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from ie_cli.errors import TrainingError
from ie_cli.modeling.batch import Batch
from ie_cli.system.memory import is_out_of_memory


class MicroBatching:
    """Computes the gradients of batches, and doubles the number of parts whenever memory is insufficient.

    The loss of a batch is the mean over its windows. The loss of a part is weighted by its share of the windows, so that
    the sum of the parts' gradients equals the gradient of the batch, except for rounding and dropout.

    Args:
        backward: computes loss and gradient of a part, with the loss times a weight; returns the loss without it.
        reset: sets all gradients to None.
        parts: initial number of parts.
    """

    def __init__(self, backward: Callable[[Batch, float], Tensor], reset: Callable[[], None], parts: int = 1) -> None:
        self._backward, self._reset = backward, reset
        self.parts = parts
        self._group: list[Batch] = []

    def add(self, batch: Batch, *, last: bool) -> Tensor:
        """Add the gradient of a batch to those of its step, and return the mean loss.

        Args:
            batch: the batch.
            last: whether it is the last batch of the step.

        Raises:
            TrainingError: memory is insufficient for a single window.
        """
        self._group.append(batch)
        loss = self._in_parts(batch)
        while loss is None:
            self._double_parts()
            self._reset()  # the failed computation has left partial gradients
            loss = self._repeat()
        if last:
            self._group.clear()
        return loss

    def _repeat(self) -> Tensor | None:
        """Compute all batches of this step again, and return the loss of the last one, or None if memory is insufficient."""
        loss: Tensor | None = None
        for batch in self._group:
            loss = self._in_parts(batch)
            if loss is None:
                return None
        return loss

    def _in_parts(self, batch: Batch) -> Tensor | None:
        """Return the loss of a batch, or None if memory is insufficient; allocated memory is free again on return."""
        total: Tensor | None = None
        try:
            for part in split(batch, self.parts):
                share = len(part) / len(batch)
                loss = self._backward(part, share) * share
                total = loss if total is None else total + loss
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return None
        return total

    def _double_parts(self) -> None:
        largest = max(len(batch) for batch in self._group)
        if self.parts >= largest:
            raise TrainingError(
                f"out of memory, even with one window at a time ({max(b.input_ids.shape[1] for b in self._group)} tokens)",
                hint="lower encoder.max_length, set encoder.gradient_checkpointing: true, or use a smaller encoder.",
            )
        self.parts *= 2
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def split(batch: Batch, parts: int) -> Iterator[Batch]:
    """Split a batch into up to `parts` parts of similar size, none of them empty."""
    count = len(batch)
    parts = min(parts, count)
    for part in range(parts):
        yield batch.part(part * count // parts, (part + 1) * count // parts) if parts > 1 else batch
