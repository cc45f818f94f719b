"""Losses and gradient norms of the last steps: their mean and pace, and whether all are finite."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from ie_cli.document import Document
from ie_cli.errors import TrainingError
from ie_cli.modeling.batch import Batch

REPORT_SECONDS = 1.0


class LossTracker:
    """Mean loss and sentences a second since the last reading; what is measured stays on the device until it is read.

    Args:
        train: the training data, to say where the examples of a batch stand.

    Attributes:
        total, count: of the losses since the last evaluation, as far as they were read: a mean that no clock has a part in.
    """

    def __init__(self, train: Mapping[str, Iterable[Document]]) -> None:
        self._train = train
        self.total, self.count = 0.0, 0
        self.restart()

    def restart(self) -> None:
        """Forget what was measured."""
        self._losses: list[Tensor] = []
        self._steps: list[tuple[int, str, Sequence[int]]] = []
        self._norms: list[Tensor] = []
        self._norm_of: list[int] = []
        self._sentences, self._since = 0.0, time.monotonic()

    def add(self, loss: Tensor, step: int, batch: Batch, *, sentences: float) -> None:
        """Take the loss of a batch of a step; a window of a document of n windows is 1/n of a sentence."""
        self._losses.append(loss)
        self._steps.append((step, batch.task, batch.documents))
        self._sentences += sentences

    def add_norm(self, norm: Tensor, step: int) -> None:
        """Take the norm of a step's gradient."""
        self._norms.append(norm.detach())
        self._norm_of.append(step)

    def due(self) -> bool:
        """Whether the last reading is long enough ago."""
        return time.monotonic() - self._since >= REPORT_SECONDS

    def check(self) -> list[float]:
        """Look at the losses since the last reading.

        Raises:
            TrainingError: a loss or a gradient is not finite; it names the first such step and its examples.
        """
        losses: list[float] = torch.stack(self._losses).tolist() if self._losses else []
        norms = torch.stack(self._norms).tolist() if self._norms else []
        bad = [
            (step, f"the loss is {x}")
            for x, (step, *_) in zip(losses, self._steps, strict=True)
            if not math.isfinite(x)
        ]
        bad += [
            (step, f"the loss is finite, but the norm of the gradient is {x}")
            for x, step in zip(norms, self._norm_of, strict=True)
            if not math.isfinite(x)
        ]
        if bad:
            step, what = min(bad, key=lambda item: item[0])
            raise TrainingError(
                f"step {step}: {what}; its batch holds {self._places(step)}",
                hint="lower training.learning_rate and training.head_learning_rate, keep training.clip at 1.0, or set "
                "training.precision: float32; if it comes again at any rate, look at these examples.",
            )
        return losses

    def _places(self, step: int) -> str:
        """Where the documents of a step's batches were read."""
        documents: dict[str, set[int]] = {}
        for at, task, numbers in self._steps:
            if at == step:
                documents.setdefault(task, set()).update(numbers)
        return ", ".join(_places(numbers, self._train[task]) for task, numbers in documents.items())

    def read(self) -> tuple[float, float]:
        """Mean loss and sentences a second; begins anew.

        Raises:
            TrainingError: as `check`.
        """
        losses = self.check()
        rate = self.rate()
        self.total, self.count = self.sums(losses)
        self.restart()
        return (sum(losses) / len(losses) if losses else math.nan), rate

    def sums(self, losses: list[float], step: int | None = None) -> tuple[float, int]:
        """`total` and `count` with what `check` gave; one by one, so that the sum does not depend on when they are read.

        Args:
            step: without the batches of later steps.
        """
        total, count = self.total, self.count
        for loss, (at, *_) in zip(losses, self._steps, strict=True):
            if step is None or at <= step:
                total, count = total + loss, count + 1
        return total, count

    def rate(self) -> float:
        """Sentences a second since the last reading."""
        return self._sentences / max(1e-9, time.monotonic() - self._since)

    def mean(self) -> float:
        """Mean loss since the last evaluation, which this one is.

        Raises:
            TrainingError: as `check`.
        """
        self.read()
        loss = self.total / self.count if self.count else math.nan
        self.total, self.count = 0.0, 0
        return loss


def gradient_norm(model: nn.Module) -> Tensor:
    """The norm of all gradients."""
    norms = [torch.linalg.vector_norm(p.grad) for p in model.parameters() if p.grad is not None]
    norm: Tensor = torch.linalg.vector_norm(torch.stack(norms))
    return norm


def _places(documents: set[int], train: Iterable[Document], most: int = 20) -> str:
    """The documents of some numbers, by where they were read."""
    wanted = sorted(documents)[:most]
    places: list[str] = []
    for number, document in enumerate(train):
        if number == wanted[len(places)]:
            places.append(document.where or f"example {number + 1}")
            if len(places) == len(wanted):
                break
    return ", ".join(places) + (f" and {len(documents) - most} more" if len(documents) > most else "")
