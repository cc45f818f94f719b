"""What a training run tells while it goes on; who runs it decides what is shown."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ie_cli.data.label_schema import LabelSchema
from ie_cli.evaluation.evaluate import Scores
from ie_cli.recipe.base import Precision
from ie_cli.training.encoded_dataset import EncodedDataset


@dataclass(frozen=True, slots=True)
class Started:
    """What is about to be trained.

    Attributes:
        resumed_from: the step of the checkpoint that it goes on from; 0 where there was none; None where nobody asked.
        damaged: newer checkpoints that could not be read.
        dev_is_train: both are the same files.
    """

    train: EncodedDataset
    schema: LabelSchema
    steps: int
    device: str
    precision: Precision
    parameters: int
    has_dev: bool
    resumed_from: int | None = None
    damaged: tuple[Path, ...] = ()
    dev_is_train: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """Where the run is: `loss` is the mean since the last report, `rate` in windows a second."""

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
            "windows_per_second": self.rate,
            "learning_rate": self.learning_rate,
        }


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A score on dev; `advice` is set when training looks hopeless."""

    step: int
    epoch: float
    loss: float
    scores: Scores
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
            "windows_per_second": self.rate,
            "learning_rate": self.learning_rate,
            "precision": self.scores.precision,
            "recall": self.scores.recall,
            "f1": self.scores.f1,
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
    folder: Path


@dataclass(frozen=True, slots=True)
class Finished:
    """The model as a user loads it, with its scores on dev and test where there are any."""

    model: Path
    scores: dict[str, Scores]
    best_step: int
    steps: int
    stopped_early: bool
    seconds: float


@dataclass(frozen=True, slots=True)
class FinishedBefore:
    """There was nothing to go on with: the run in the folder had come to its end."""

    model: Path


Event = Started | Progress | Evaluated | Halved | Saved | Finished | FinishedBefore
