"""Compute batches that do not fit into memory in parts, with the same gradient."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import Tensor

from ie_cli.errors import TrainingError
from ie_cli.modeling.batch import Batch
from ie_cli.system.memory import is_out_of_memory
from ie_cli.training.cached_gradients import CachedGradients, FailedElsewhere
from ie_cli.training.processes import Processes

CPU = torch.device("cpu")
Group = Sequence[Batch]
"""Batches of one step whose samples have a loss together; usually a single batch."""


class MicroBatching:
    """Computes the gradients of batches, and doubles the number of parts whenever memory is insufficient.

    Most losses of a batch are means over its samples. The loss of a part is weighted by its share of the samples, so that
    the sum of the parts' gradients equals the gradient of the batch, except for rounding and dropout. Losses that compare the
    samples with each other are computed with cached gradients; with accumulation, at the end of the step, over all its batches.

    Nothing in here waits for other processes, each of which finds its own number of parts, except losses that compare samples:
    several processes compute them at the end of a step, over the samples of all. Before they exchange these, and at the end, each
    says whether it has run out of memory; if one has, all compute the step again.

    Args:
        backward: computes loss and gradient of a part, with the loss times a weight; returns the loss without it.
        reset: sets all gradients to None.
        parts: initial number of parts.
        cached: computes losses that compare samples; None if there are none.
        processes: the processes of the run.
        device: where the parts are moved to; the batches are on the CPU.
    """

    def __init__(
        self,
        backward: Callable[[Batch, float], Tensor],
        reset: Callable[[], None],
        parts: int = 1,
        *,
        cached: CachedGradients | None = None,
        processes: Processes | None = None,
        device: torch.device = CPU,
    ) -> None:
        self._backward, self._reset, self.cached = backward, reset, cached
        self._processes = Processes() if processes is None else processes
        self._device = device
        self.parts = parts
        self._failed_here = False
        self._done: list[Group] = []
        self._waiting: dict[str, list[Batch]] = {}

    def add(self, batch: Batch, *, last: bool) -> Tensor | None:
        """Add the gradient of a batch to those of its step, and return the mean loss.

        Args:
            batch: the batch.
            last: whether it is the last batch of the step.

        Returns:
            The loss of the batch and of those that waited for it, times the weight of the batch, so that the mean over all
            processes is that of the whole batch; None if it waits for the rest of the step itself.

        Raises:
            TrainingError: memory is insufficient for a single sample.
        """
        due: list[Group] = [[batch]]
        if self.cached is not None and self.cached.waits and self.cached.compares(batch):
            self._waiting.setdefault(batch.task, []).append(batch)
            due = []
        if last:
            due += self._waiting.values()
            self._waiting = {}
        if not due:
            return None
        loss = self._attempt(due)
        while loss is None:
            self._double_parts([*self._done, *due])
            self._reset()  # the failed computation has left partial gradients
            if self._done and self._compute(self._done) is None:
                self._failed_here = True
                continue
            loss = self._attempt(due)
        self._done = [] if last else [*self._done, *due]
        return loss

    def _attempt(self, groups: Sequence[Group]) -> Tensor | None:
        """Return the mean loss of some batches, or None if memory is insufficient here or, if samples are exchanged, anywhere."""
        self._failed_here = False
        try:
            loss = self._compute(groups)
        except FailedElsewhere:
            return None
        self._failed_here = loss is None
        if self._processes.several and any(self._compares(group) for group in groups):
            [failed] = self._processes.highest([loss is None])
            return None if failed else loss
        return loss

    def _compares(self, group: Group) -> bool:
        return self.cached is not None and self.cached.compares(group[0])

    def _compute(self, groups: Sequence[Group]) -> Tensor | None:
        """Return the mean loss of some batches, or None if memory is insufficient."""
        total: Tensor | None = None
        count = 0
        for group in groups:
            loss = self._in_parts(group)
            if loss is None:
                return None
            weighted, count = loss * len(group), count + len(group)
            total = weighted if total is None else total + weighted
        return None if total is None else total / count

    def _in_parts(self, group: Group) -> Tensor | None:
        """Return the loss of a group, or None if memory is insufficient; allocated memory is free again on return."""
        total: Tensor | None = None
        compares = self._compares(group)
        weight = 1.0 if compares else group[0].weight
        if not weight:
            return torch.zeros((), device=self._device)
        try:
            samples = sum(len(batch) for batch in group if batch.weight)
            for part in self._split(group):
                share = weight * len(part) / samples
                loss = self._backward(part, share) * share
                total = loss if total is None else total + loss
            if total is None:  # this process has none of the samples that are compared
                total = torch.zeros((), device=self._device)
            elif compares and self.cached is not None:
                total = total * self.cached.weight
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return None
        return total

    def _split(self, group: Group) -> Iterable[Batch]:
        parts = [part for batch in group if batch.weight for part in split(batch, self.parts)]
        if self.cached is None or not self._compares(group) or (len(parts) == 1 and not self._processes.several):
            return (part.to(self._device) for part in parts)
        parts = [part.to(self._device) for part in parts]
        return self.cached.replays(parts, weight=len(group))

    def _double_parts(self, groups: Iterable[Group]) -> None:
        batches = [batch for group in groups for batch in group]
        if self._failed_here and self.parts >= max(map(len, batches)):
            raise TrainingError(
                f"out of memory, even with one window at a time ({max(b.input_ids.shape[1] for b in batches)} tokens)",
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
