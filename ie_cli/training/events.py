"""What a training run tells while it goes on; who runs it decides what is shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ie_cli.metrics.scores import Scores
from ie_cli.recipe.base import Precision
from ie_cli.training.setup import TaskSetup


@dataclass(frozen=True, slots=True)
class Started:
    """What is about to be trained.

    Attributes:
        resumed_from: the step of the checkpoint that it goes on from; 0 where there was none; None where nobody asked.
        damaged: newer checkpoints that could not be read.
        dev_is_train: both are the same files, of some task.
        trained_before: all steps were done by an earlier process; only the scores of the result are missing.
        earlier_precision: what the run was begun in, where the recipe demands another one now.
        room: bytes that the run may need on the disk and bytes that there are, where these are fewer.
    """

    tasks: Mapping[str, TaskSetup]
    steps: int
    device: str
    precision: Precision
    parameters: int
    has_dev: bool
    resumed_from: int | None = None
    damaged: tuple[Path, ...] = ()
    dev_is_train: bool = False
    trained_before: bool = False
    earlier_precision: Precision | None = None
    room: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """Where the run is: `loss` is the mean since the last report, `rate` in sentences a second."""

    step: int
    epoch: float
    loss: float
    rate: float
    learning_rate: float
    seconds_left: float

    def values(self) -> dict[str, float]:
        """What the logs record."""
        return {
            "epoch": self.epoch,
            "loss": self.loss,
            "sentences_per_second": self.rate,
            "learning_rate": self.learning_rate,
        }


def score_values(scores: Mapping[str, Scores], *, named: bool) -> dict[str, float]:
    """The columns of the logs.

    Args:
        named: the run has several tasks: each column has the task's name before it.
    """
    if not named and scores:
        return next(iter(scores.values())).values()
    return {f"{task}.{name}": value for task, part in scores.items() for name, value in part.values().items()}


@dataclass(frozen=True, slots=True)
class Evaluated:
    """Scores on dev by task (`named`: of several), and the one that selects models; `advice` if the model does not learn."""

    step: int
    epoch: float
    loss: float
    scores: Mapping[str, Scores]
    named: bool
    primary: float
    best: bool
    rate: float
    learning_rate: float
    seconds: float
    seconds_left: float
    advice: str | None

    def values(self) -> dict[str, float]:
        """What the logs record."""
        return {
            "epoch": self.epoch,
            "loss": self.loss,
            "sentences_per_second": self.rate,
            "learning_rate": self.learning_rate,
            **score_values(self.scores, named=self.named),
        }


@dataclass(frozen=True, slots=True)
class Halved:
    """Memory did not suffice: the batches are computed in so many parts from now on, with the same gradient."""

    step: int
    parts: int


@dataclass(frozen=True, slots=True)
class Saved:
    """A checkpoint that `resume` can go on from."""

    step: int
    directory: Path


@dataclass(frozen=True, slots=True)
class Trained:
    """All steps are done; what is left is to score the model as a user loads it."""

    best_step: int
    steps: int
    stopped_early: bool


@dataclass(frozen=True, slots=True)
class Finished:
    """The model as a user loads it, with its scores by split (dev and test, where there are any) and task."""

    model: Path
    scores: Mapping[str, Mapping[str, Scores]]
    best_step: int
    steps: int
    stopped_early: bool
    seconds: float


@dataclass(frozen=True, slots=True)
class FinishedBefore:
    """There was nothing to go on with: the run in the directory had come to its end."""

    model: Path


Event = Started | Progress | Evaluated | Halved | Saved | Trained | Finished | FinishedBefore
