"""The scores of several runs that are compared: mean and standard deviation, and which model is the best."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ie_cli.metrics.scores import Row, Scores, ScoreTable
from ie_cli.recipe.balance import Select
from ie_cli.training.selection import combined_score
from ie_cli.training.series_plan import Kind

Values = Mapping[str, Mapping[str, float]]
"""Primary scores by split (``dev``, ``test``) and task."""


@dataclass(frozen=True, slots=True)
class RunScores:
    """The primary scores of one of several runs.

    Attributes:
        label: its seed, or the number of its fold.
    """

    label: str
    scores: Values


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesSummary:
    """The primary scores of several runs; all have the same splits and tasks.

    Attributes:
        metrics: the name of the primary score by task.
        best: the label of the run whose model is kept.
        pooled: the scores of all predictions for held-out folds together, by task; empty for seeds.
    """

    kind: Kind
    runs: Sequence[RunScores]
    metrics: Mapping[str, str]
    best: str
    pooled: Mapping[str, Scores] = field(default_factory=dict)

    def mean(self) -> dict[str, dict[str, float]]:
        """Return the means by split and task."""
        return self._over_runs(statistics.fmean)

    def deviation(self) -> dict[str, dict[str, float]]:
        """Return the sample standard deviations by split and task."""
        return self._over_runs(_deviation)

    def _over_runs(self, function: Callable[[list[float]], float]) -> dict[str, dict[str, float]]:
        return {
            split: {task: function([run.scores[split][task] for run in self.runs]) for task in tasks}
            for split, tasks in self.runs[0].scores.items()
        }

    @property
    def title(self) -> str:
        """The title of the table."""
        return f"{len(self.runs)} seeds" if self.kind == "seed" else f"cross-validation with {len(self.runs)} folds"

    @property
    def reason(self) -> str:
        """Why the model is kept."""
        return "the best on dev" if "dev" in self.runs[0].scores else "the first one, because there are no dev data"

    def table(self) -> ScoreTable:
        """Return a table with a row per run, and mean, deviation and pooled scores below."""
        summary: list[Row] = [("mean", self._cells(self.mean())), ("deviation", self._cells(self.deviation()))]
        if self.pooled:
            summary.append(("pooled", self._cells({"dev": {name: part.primary for name, part in self.pooled.items()}})))
        return ScoreTable(
            "",
            (self.kind, *(self.heading(split, task) for split, task in self._columns())),
            tuple((run.label, self._cells(run.scores)) for run in self.runs),
            tuple(summary),
            (f"the model of {self.kind} {self.best} is kept: {self.reason}",),
        )

    def heading(self, split: str, task: str) -> str:
        """Return the heading of a column, e.g. ``dev F1``."""
        name = self.metrics[task]
        parts = (split, task if len(self.metrics) > 1 else "", "F1" if name == "f1" else name)
        return " ".join(filter(None, parts))

    def _columns(self) -> list[tuple[str, str]]:
        return [(split, task) for split, tasks in self.runs[0].scores.items() for task in tasks]

    def _cells(self, values: Values) -> tuple[float | None, ...]:
        return tuple(values.get(split, {}).get(task) for split, task in self._columns())

    def to_dict(self) -> dict[str, Any]:
        """Return all numbers, unrounded, as JSON values; None for numbers that are not finite."""
        fields = {
            "best": self.best,
            "metrics": dict(self.metrics),
            "scores": {run.label: _finite(run.scores) for run in self.runs},
            "mean": _finite(self.mean()),
            "deviation": _finite(self.deviation()),
        }
        if self.pooled:
            fields["pooled"] = {name: part.to_dict() for name, part in self.pooled.items()}
        return fields


def best_run(runs: Sequence[RunScores], select: Select) -> str:
    """Return the label of the run with the best score on dev; the first one if several are equal, or there are no dev data.

    Args:
        runs: the runs.
        select: how the scores of several tasks are combined.
    """

    def rank(run: RunScores) -> float:
        value = combined_score(run.scores["dev"], select)
        return -math.inf if math.isnan(value) else value

    return max(runs, key=rank).label if "dev" in runs[0].scores else runs[0].label


def _deviation(values: list[float]) -> float:
    """Return the sample standard deviation, or NaN if a value is not finite."""
    return statistics.stdev(values) if all(map(math.isfinite, values)) else math.nan


def _finite(values: Values) -> dict[str, dict[str, float | None]]:
    return {
        split: {task: value if math.isfinite(value) else None for task, value in tasks.items()}
        for split, tasks in values.items()
    }
