"""Events of a training run; the caller decides what to show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ie_cli.data.findings import Finding
from ie_cli.metrics.scores import Scores
from ie_cli.metrics.threshold_curve import ThresholdChoice
from ie_cli.recipe.base import Precision
from ie_cli.training.initial_model import InitialWeights
from ie_cli.training.series_plan import Kind
from ie_cli.training.series_summary import SeriesSummary
from ie_cli.training.setup import TaskSetup


@dataclass(frozen=True, slots=True)
class Started:
    """The run is about to start.

    Attributes:
        device: the device; without its number if there are several processes, which have different ones.
        resumed_from: step of the checkpoint to resume from; 0 if there was none; None if `resume` was not requested.
        damaged: newer checkpoints that could not be read.
        dev_is_train: dev and train are the same files for some task.
        trained_before: all steps were done by an earlier process; only the scores of the result are missing.
        earlier_precision: the precision that the run was started in, if the recipe sets a different one now.
        disk_space: bytes that the run may need and bytes that are free, if these do not suffice.
        initial: what the weights were taken from, if the run starts from a trained model and is not resumed.
        changes: what options of the recipe change in a pretrained encoder, unless the run is resumed.
        notes: what a user should know of the pairs of texts in the training data, of the order of batches, and of options without
            effect.
        joined: what a user should know of the texts that are joined.
        processes: number of processes.
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
    disk_space: tuple[int, int] | None = None
    initial: InitialWeights | None = None
    changes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    joined: tuple[Finding, ...] = ()
    processes: int = 1


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of the run.

    Attributes:
        loss: the mean since the last report.
        rate: examples per second: a text of several windows is one.
        steps: number of steps of the whole run.
        balance: what balancing did since the last evaluation.
    """

    step: int
    epoch: float
    loss: float
    rate: float
    learning_rate: float
    seconds_left: float
    steps: int
    balance: Mapping[str, float] = field(default_factory=dict)

    def values(self) -> dict[str, float]:
        """Return the values for the logs."""
        return {
            "epoch": self.epoch,
            "loss": self.loss,
            "sentences_per_second": self.rate,
            "learning_rate": self.learning_rate,
            **self.balance,
        }


def score_values(scores: Mapping[str, Scores], *, named: bool) -> dict[str, float]:
    """Return the scores as columns of the logs.

    Args:
        scores: the scores by task.
        named: prefix each column with the name of its task; set if the run has several tasks.
    """
    if not named and scores:
        return next(iter(scores.values())).values()
    return {f"{task}.{name}": value for task, part in scores.items() for name, value in part.values().items()}


def choice_values(choices: Mapping[str, ThresholdChoice], *, named: bool) -> dict[str, float]:
    """Return the thresholds that would be chosen, and their F1, as columns of the logs, see `score_values`."""
    return {
        (f"{task}.{name}" if named else name): value
        for task, choice in choices.items()
        for name, value in (("threshold", choice.threshold), ("f1_at_threshold", choice.f1))
    }


@dataclass(frozen=True, slots=True)
class Evaluated:
    """The model was evaluated on dev.

    Attributes:
        scores: the scores by task.
        named: whether the run has several tasks.
        primary: the score that selects models.
        advice: a diagnosis if the model does not learn.
        steps: number of steps of the whole run.
        balance: what balancing did since the last evaluation.
        choices: the thresholds that would be chosen if the run ended here, by task; their F1 is the score of a task.
    """

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
    steps: int
    balance: Mapping[str, float] = field(default_factory=dict)
    choices: Mapping[str, ThresholdChoice] = field(default_factory=dict)

    def values(self) -> dict[str, float]:
        """Return the values for the logs."""
        return {
            "epoch": self.epoch,
            "loss": self.loss,
            "sentences_per_second": self.rate,
            "learning_rate": self.learning_rate,
            **self.balance,
            **score_values(self.scores, named=self.named),
            **choice_values(self.choices, named=self.named),
        }


@dataclass(frozen=True, slots=True)
class Halved:
    """Memory was insufficient: each batch is computed in `parts` parts from now on, with the same gradient."""

    step: int
    parts: int


@dataclass(frozen=True, slots=True)
class Saved:
    """A checkpoint was written, from which the run can be resumed."""

    step: int
    directory: Path


@dataclass(frozen=True, slots=True)
class Trained:
    """All steps are done; the model still has to be scored."""

    best_step: int
    steps: int
    stopped_early: bool


@dataclass(frozen=True, slots=True)
class Finished:
    """The run is finished: the model and its scores by split (dev and test, if given) and task.

    Attributes:
        steps: number of completed steps.
        steps_planned: number of steps of the run without stopping early.
        advice: what the scores suggest, if anything.
        choices: the thresholds chosen on dev, by task.
    """

    model: Path
    scores: Mapping[str, Mapping[str, Scores]]
    best_step: int
    steps: int
    stopped_early: bool
    seconds: float
    steps_planned: int
    advice: tuple[str, ...] = ()
    choices: Mapping[str, ThresholdChoice] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FinishedBefore:
    """The run in the directory was already finished, so there is nothing to resume."""

    model: Path


@dataclass(frozen=True, slots=True)
class RunStarted:
    """One of several runs that are compared begins; its events follow.

    Attributes:
        kind: what the runs differ in.
        number: the number of the run, from 1.
        total: the number of runs.
        label: its seed, or the number of its fold.
        directory: its run directory.
    """

    kind: Kind
    number: int
    total: int
    label: str
    directory: Path


@dataclass(frozen=True, slots=True)
class SeriesFinished:
    """All of several runs are finished, and the model of one of them is kept.

    Attributes:
        model: the directory of this model.
        summary: their scores; None if they were all finished before.
    """

    model: Path
    summary: SeriesSummary | None


Event = (
    Started | Progress | Evaluated | Halved | Saved | Trained | Finished | FinishedBefore | RunStarted | SeriesFinished
)
