"""Track losses and gradient norms of recent steps: their mean, the speed, and whether all are finite."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from ie_cli.document import Document
from ie_cli.errors import TrainingError
from ie_cli.modeling.batch import Batch, Numbers, single_numbers
from ie_cli.modeling.model import first_not_finite
from ie_cli.training.processes import Processes, reported_once

REPORT_SECONDS = 1.0
MOST_SKIPPED = 24
"""The number of steps in a row that loss scaling may skip: it starts at 2^16, and halves the scale each time."""
_FIRST_STEPS = 2


class LossTracker:
    """Mean loss and sentences per second since the last reading; values stay on the device until they are read.

    Args:
        train: the training data by task, to report the locations of examples in a batch.
        processes: the processes of the run, whose mean losses are those of the whole batches; all of them read at the same steps.

    Attributes:
        total: sum of the losses that were read since the last evaluation; unlike the readings, it does not depend on time.
        count: number of these losses.
        first: the losses of the first steps of each task, once they were read; none in a run that was resumed later.
    """

    def __init__(self, train: Mapping[str, Iterable[Document]], processes: Processes | None = None) -> None:
        self._train = train
        self._processes = Processes() if processes is None else processes
        self.total, self.count, self._rate = 0.0, 0, 0.0
        self.first: dict[str, list[tuple[int, float]]] = {}
        self._latest: dict[str, tuple[float, int]] = {}
        self._may_overflow, self._skipped, self._skipped_next = False, 0, 0
        self.restart()

    def restart(self) -> None:
        """Reset the measurements."""
        self._losses: list[Tensor] = []
        self._loss_of: list[int] = []
        self._task_of: list[str | None] = []
        self._waiting: dict[int, set[str]] = {}
        self._steps: list[tuple[int, str, Sequence[Numbers]]] = []
        self._norms: list[Tensor] = []
        self._norm_of: list[int] = []
        self._skipped = self._skipped_next
        self._sentences, self._since = 0.0, time.monotonic()

    def add(self, loss: Tensor | None, step: int, batch: Batch, *, sentences: float) -> None:
        """Add a batch and its loss, unless the loss is that of a later batch, too.

        A window of a document with n windows counts as 1/n sentences.
        """
        if loss is not None:
            self._losses.append(loss)
            self._loss_of.append(step)
            others = self._waiting.get(step, set()) - {batch.task}
            self._task_of.append(None if others else batch.task)
        else:
            self._waiting.setdefault(step, set()).add(batch.task)
        self._steps.append((step, batch.task, batch.documents))
        self._sentences += sentences

    def add_norm(self, norm: Tensor, step: int, *, may_overflow: bool = False) -> None:
        """Add the norm of a step's gradient; with loss scaling, it may overflow, and the step is then skipped."""
        self._norms.append(norm.detach())
        self._norm_of.append(step)
        self._may_overflow = may_overflow

    def due(self) -> bool:
        """Return whether it is time for the next reading."""
        return time.monotonic() - self._since >= REPORT_SECONDS

    def check(self) -> list[float]:
        """Check the losses and norms since the last reading, and return the losses.

        Raises:
            TrainingError: a loss or a gradient is not finite; the first such step and its examples are reported.
        """
        losses: list[float] = []
        if self._losses:
            self._processes.average([stacked := torch.stack(self._losses)])
            losses = stacked.tolist()
        norms = self._settled(torch.stack(self._norms).tolist()) if self._norms else []
        bad = [
            (step, f"the loss is {x}") for x, step in zip(losses, self._loss_of, strict=True) if not math.isfinite(x)
        ]
        bad += [
            (step, f"the loss is finite, but the norm of the gradient is {x}")
            for x, step in zip(norms, self._norm_of, strict=True)
            if not math.isfinite(x)
        ]
        if bad:
            step, what = min(bad, key=lambda item: item[0])
            where = ", ".join(part for part in self._processes.gather(self._locations(step)) if part)
            error = TrainingError(
                f"step {step}: {what}; its batch contains {where}",
                hint="lower training.learning_rate and training.head_learning_rate, keep training.clip at 1.0, or set "
                "training.precision: float32; if the error persists, check these examples.",
            )
            raise reported_once(error)
        return losses

    def _settled(self, norms: list[float]) -> list[float]:
        """Return the norms, with 0 for those of steps that loss scaling skipped, unless it has skipped too many in a row."""
        if not self._may_overflow:
            return norms
        found, skipped = list[float](), self._skipped
        for norm in norms:
            skipped = 0 if math.isfinite(norm) else skipped + 1
            found.append(norm if math.isfinite(norm) or skipped > MOST_SKIPPED else 0.0)
        self._skipped_next = skipped
        return found

    def _locations(self, step: int) -> str:
        """Return the locations of the documents in a step's batches."""
        documents: dict[str, set[int]] = {}
        for at, task, numbers in self._steps:
            if at == step:
                documents.setdefault(task, set()).update(single_numbers(numbers))
        return ", ".join(_locations(numbers, self._train[task]) for task, numbers in documents.items())

    def read(self) -> tuple[float, float]:
        """Return the mean loss and sentences per second since the last reading, and reset them.

        Raises:
            TrainingError: see `check`.
        """
        losses = self.check()
        rate = self.rate()
        self.total, self.count = self.sums(losses)
        for loss, step, task in zip(losses, self._loss_of, self._task_of, strict=True):
            if task is None:
                continue
            total, count = self._latest.get(task, (0.0, 0))
            self._latest[task] = total + loss, count + 1
            if step == 1 or self.first:  # not in a resumed run
                first = self.first.setdefault(task, [])
                if len({*(at for at, _ in first), step}) <= _FIRST_STEPS:
                    first.append((step, loss))
        self.restart()
        return (sum(losses) / len(losses) if losses else math.nan), rate

    def sums(self, losses: list[float], step: int | None = None) -> tuple[float, int]:
        """Return `total` and `count` including some losses, added one by one so that the sum does not depend on time.

        Args:
            losses: the losses that `check` returned.
            step: ignore batches of later steps.
        """
        total, count = self.total, self.count
        for loss, at in zip(losses, self._loss_of, strict=True):
            if step is None or at <= step:
                total, count = total + loss, count + 1
        return total, count

    def by_task(self) -> dict[str, tuple[float | None, float | None]]:
        """Return the mean losses of each task in its first steps and since the last call, as far as they are known.

        Tasks have losses of different sizes, so a mean over the batches of several tasks shows which of them were drawn,
        not whether they have learned.
        """
        latest = {task: total / count for task, (total, count) in self._latest.items()}
        first = {task: sum(loss for _, loss in some) / len(some) for task, some in self.first.items() if some}
        self._latest = {}
        return {task: (first.get(task), latest.get(task)) for task in self._train}

    def rate(self) -> float:
        """Return the sentences per second since the last reading; those of the reading if there was none since."""
        if sentences := sum(self._processes.gather(self._sentences)):
            self._rate = sentences / max(1e-9, time.monotonic() - self._since)
        return self._rate

    def mean(self) -> float:
        """Return the mean loss since the last evaluation, and reset it.

        Raises:
            TrainingError: see `check`.
        """
        self.read()
        loss = self.total / self.count if self.count else math.nan
        self.total, self.count = 0.0, 0
        return loss


def gradient_norm(model: nn.Module) -> Tensor:
    """Return the norm of all gradients."""
    norms = [torch.linalg.vector_norm(p.grad) for p in model.parameters() if p.grad is not None]
    norm: Tensor = torch.linalg.vector_norm(torch.stack(norms))
    return norm


def require_finite(model: nn.Module, step: int) -> None:
    """Check the weights, which can become non-finite in a step whose loss and gradient were still finite.

    Raises:
        TrainingError: a weight is not finite.
    """
    if (name := first_not_finite(model)) is not None:
        error = TrainingError(
            f"step {step}: the weights {name} are no longer finite",
            hint="lower training.learning_rate and training.head_learning_rate.",
        )
        raise reported_once(error)


def _locations(documents: set[int], train: Iterable[Document], most: int = 20) -> str:
    """Return the locations of documents given by their numbers."""
    wanted = sorted(documents)[:most]
    locations: list[str] = []
    for number, document in enumerate(train):
        if number == wanted[len(locations)]:
            locations.append(document.where or f"example {number + 1}")
            if len(locations) == len(wanted):
                break
    return ", ".join(locations) + (f" and {len(documents) - most} more" if len(documents) > most else "")
