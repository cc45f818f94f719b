"""The gradient of a loss that compares all samples of a step with each other, computed in parts that fit into memory.

A first pass collects what the head reads of the encoder's output: for pairs, two vectors or some logits each.
The loss of all samples together, and its gradients at these few numbers, need little memory. A second pass computes each part
again, with the same random numbers, and carries its share of these gradients back through the encoder (GradCache,
arXiv 2101.06983). The result is the gradient of the whole, not that of a sum of losses of parts. Several processes exchange the
numbers between the two passes: each computes the loss of all their samples, and takes the gradients at its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ie_cli.modeling.batch import Batch, Replay
from ie_cli.modeling.heads.base import Tensors
from ie_cli.modeling.model import ExtractionModel
from ie_cli.training.checkpoint import RandomState
from ie_cli.training.processes import Processes


class FailedElsewhere(Exception):
    """Another process ran out of memory before an exchange, so that the step is computed again."""


class CachedGradients:
    """Replaces batches by ones whose losses, over all of them together, and gradients are known.

    Args:
        model: the model.
        weights: the weight of each label's loss, by task and score matrix.
        accumulation: number of batches in a step.
        processes: the processes of the run.

    Attributes:
        waits: whether batches have to wait for the end of a step, which has several, or in which processes have to agree.
        weight: of the last samples that were compared, the share that this process has, times the number of processes.
    """

    def __init__(
        self,
        model: ExtractionModel,
        weights: Mapping[str, Tensors] | None,
        *,
        accumulation: int = 1,
        processes: Processes | None = None,
    ) -> None:
        self._model, self._weights = model, weights
        self._processes = Processes() if processes is None else processes
        self.waits = accumulation > 1 or self._processes.several
        self.weight = 1.0

    def compares(self, batch: Batch) -> bool:
        """Return whether the losses of a batch compare its samples with each other."""
        return not self._model.head(batch.task).additive

    def replays(self, parts: Sequence[Batch], *, weight: float) -> Iterator[Batch]:
        """Yield each part with the losses of all parts together, in the random state that it was first computed in.

        The gradients of a part are divided by its share of the samples, because that of an additive loss, which is a mean over
        the samples of a part, is multiplied by it.

        Args:
            parts: batches of the same task; there may be none if other processes have some.
            weight: a factor of the gradients.

        Raises:
            FailedElsewhere: another process ran out of memory.
        """
        states, read = list[RandomState](), list[Tensor]()
        for part in parts:
            states.append(RandomState.now())
            # Not without gradients: attention may then be computed by other code, which draws other random numbers.
            read.append(self._model(part, read_only=True)[part.task].detach())
        values, gradients = self._losses_of_all(parts, read)
        weight *= self._processes.count  # the mean over the processes is the sum of what they add
        samples, rows = sum(map(len, parts)), [len(part) for part in read]
        by_part = zip(*(torch.split(gradient, rows) for gradient in gradients), strict=True)
        for part, state, own in zip(parts, states, by_part, strict=True):
            factor = weight * samples / len(part)
            scaled = {name: factor * gradient for name, gradient in zip(values, own, strict=True)}
            state.restore()
            yield replace(part, replay=Replay(values, scaled))

    def _losses_of_all(
        self, parts: Sequence[Batch], read: Sequence[Tensor]
    ) -> tuple[dict[str, Tensor], tuple[Tensor, ...]]:
        """Return the losses of the parts of all processes together, and the gradient of each at the own ones."""
        own = _Gold.of(parts)
        if not self._processes.several:
            return self._losses(parts[0], torch.cat(list(read)), own.entries)
        sent = (
            torch.cat(list(read)).cpu() if read else None,
            own.cpu(),
        )  # before the others are told that there is memory
        if self._processes.highest([0])[0]:
            raise FailedElsewhere
        every = self._processes.gather(sent)
        self.weight = own.samples * len(every) / sum(gold.samples for _, gold in every)
        if not parts:
            return {}, ()
        before = sum(gold.samples for _, gold in every[: self._processes.rank])
        rows, device = len(torch.cat(list(read))) // own.samples, read[0].device
        whole = torch.cat([some.to(device) for some, _ in every if some is not None])
        joined = _Gold.joined([gold for _, gold in every if gold.samples])
        entries = {name: found.to(device) for name, found in joined.entries.items()}
        values, gradients = self._losses(parts[0], whole, entries)
        here = slice(before * rows, (before + own.samples) * rows)
        return values, tuple(gradient[here] for gradient in gradients)

    def _losses(
        self, one: Batch, read: Tensor, entries: Mapping[str, Tensor]
    ) -> tuple[dict[str, Tensor], tuple[Tensor, ...]]:
        """Return the losses of some samples, and the gradient of each, given one of their batches."""
        read = read.detach().requires_grad_()
        mask = read.new_ones(len(read), 1, dtype=torch.bool)
        weights = self._weights.get(one.task) if self._weights is not None else None
        losses = self._model.head(one.task).losses(read, mask, one.collate(entries, mask), weights)
        gradients = [
            torch.autograd.grad(loss, read, retain_graph=True, allow_unused=True, materialize_grads=True)[0]
            for loss in losses.values()
        ]
        return {name: loss.detach() for name, loss in losses.items()}, tuple(gradients)


@dataclass(frozen=True, slots=True)
class _Gold:
    """The gold entries of some samples by score matrix, with the samples numbered from 0."""

    entries: Mapping[str, Tensor]
    samples: int

    @classmethod
    def of(cls, parts: Sequence[Batch]) -> _Gold:
        """Return the entries of some batches; none if there are none."""
        return cls.joined([cls(part.entries, len(part)) for part in parts])

    @classmethod
    def joined(cls, parts: Sequence[_Gold]) -> _Gold:
        """Return the entries of all parts, with the samples numbered over all of them."""
        names = list(parts[0].entries) if parts else []
        firsts = [sum(part.samples for part in parts[:number]) for number in range(len(parts))]
        return cls(
            {
                name: torch.cat([_numbered(p.entries[name], first) for p, first in zip(parts, firsts, strict=True)])
                for name in names
            },
            sum(part.samples for part in parts),
        )

    def cpu(self) -> _Gold:
        """Return the entries in main memory."""
        return replace(self, entries={name: entries.cpu() for name, entries in self.entries.items()})


def _numbered(entries: Tensor, first: int) -> Tensor:
    """Return entries whose samples are numbered from `first`."""
    entries = entries.clone()
    entries[:, 0] += first
    return entries
