"""Train the same recipe several times, with other seeds or on other parts of the data, and compare the models."""

from __future__ import annotations

import gc
import math
import os
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from ie_cli.errors import DataError
from ie_cli.recipe.schema import Recipe
from ie_cli.system.signals import Stop, Stopped
from ie_cli.tasks import TASKS
from ie_cli.training.events import Event, FinishedBefore, RunStarted, SeriesFinished
from ie_cli.training.folds import pooled_scores, require_folds
from ie_cli.training.processes import Processes, is_first_process
from ie_cli.training.run import train
from ie_cli.training.run_directory import (
    MODEL,
    PROCESSES,
    RUN,
    SCORES,
    Facts,
    clear,
    contents_of,
    locked_directory,
    read_run,
    require_idle,
    require_new_output,
    require_outside,
)
from ie_cli.training.series_directory import SHARES, keep_model, require_same_plan, write_series
from ie_cli.training.series_plan import SeriesPlan, folds_plan, seeds_plan
from ie_cli.training.series_summary import RunScores, SeriesSummary, best_run


def train_seeds(
    recipe: Recipe,
    output: str | os.PathLike[str],
    *,
    seeds: int,
    overwrite: bool = False,
    resume: bool = False,
    stop: Stop | None = None,
) -> Iterator[Event]:
    """Train with several seeds, and keep the model that is best on dev as ``output/model``.

    Each run is a directory ``output/seed-N``. The scores, their mean and their standard deviation are in ``output/seeds.json``.
    The events of each run follow a `RunStarted`; the last event is `SeriesFinished`.

    Args:
        recipe: the recipe; `training.seed` is the first seed.
        output: directory for the runs.
        seeds: number of seeds, at least 2.
        overwrite: replace earlier runs in `output`.
        resume: continue earlier runs; finished ones are not trained again, and there may be more seeds than before.
        stop: checked between steps; if it is set, a checkpoint is written and the run stops.

    Raises:
        IEError: see `train`; or `output` contains runs with other seeds, or the recipe has no data to compare models on.
        Stopped: the runs were stopped by `stop`.
    """
    processes = Processes.connect(recipe)
    plan = processes.together(lambda: seeds_plan(recipe, seeds))
    series = _Series(plan, Path(output), stop or Stop(), processes, resume=resume)
    yield from series.events(overwrite=overwrite)


def train_folds(
    recipe: Recipe,
    output: str | os.PathLike[str],
    *,
    folds: int,
    overwrite: bool = False,
    resume: bool = False,
    stop: Stop | None = None,
) -> Iterator[Event]:
    """Train on each part of the training data but one, score the model on that one, and keep the best model.

    A hash of the text decides in which fold an example is, so that duplicates are in the same fold. Each run is a directory
    ``output/fold-N``. The scores, their mean and their standard deviation, and the scores of all predictions for held-out folds
    together are in ``output/folds.json``. The events of each run follow a `RunStarted`; the last event is `SeriesFinished`.

    Args:
        recipe: the recipe; the folds replace a fraction in `data.dev`.
        output: directory for the runs.
        folds: number of folds, at least 2.
        overwrite: replace earlier runs in `output`.
        resume: continue earlier runs; finished ones are not trained again.
        stop: checked between steps; if it is set, a checkpoint is written and the run stops.

    Raises:
        IEError: see `train`; or `output` contains other runs, `data.dev` names files, or a fold has no annotation.
        Stopped: the runs were stopped by `stop`.
    """
    processes = Processes.connect(recipe)
    plan = processes.together(lambda: folds_plan(recipe, folds))
    series = _Series(plan, Path(output), stop or Stop(), processes, resume=resume)
    yield from series.events(overwrite=overwrite)


class _Series:
    """Several runs that are compared.

    Args:
        plan: the runs.
        output: the directory that contains theirs.
        stop: checked between steps.
        processes: the processes of all runs.
        resume: whether earlier runs are continued.
    """

    def __init__(self, plan: SeriesPlan, output: Path, stop: Stop, processes: Processes, *, resume: bool) -> None:
        self._plan, self._output, self._stop, self._resume = plan, output, stop, resume
        self._processes, self._shares = processes, processes.count
        self._begun = False

    def events(self, *, overwrite: bool) -> Iterator[Event]:
        """Train all runs, compare them, and keep a model."""
        plan, output, writes = self._plan, self._output, is_first_process()
        before = self._validate(overwrite=overwrite)
        self._shares = self._processes.on_first(lambda: self._started_with(before))
        finished = before is not None and before["finished"] and before["runs"] == plan.names
        self._begun = before is not None
        with ExitStack() as stack:
            for number, member in enumerate(plan.members, 1):
                directory = output / member.name
                yield RunStarted(plan.kind, number, len(plan.members), member.label, directory)
                try:
                    resume = self._resume and (directory / RUN).is_file()
                    options: dict[str, Any] = {"overwrite": overwrite, "resume": resume, "shares": self._shares}
                    events = train(member.recipe, directory, stop=self._stop, **options)
                    first = next(events)
                    finished = finished and isinstance(first, FinishedBefore)
                    if number == 1:
                        # Only now, so that an error in the input does not destroy the models of earlier runs.
                        begin = partial(self._begin, stack, new=before is None, finished=finished)
                        self._processes.on_first(begin)
                        self._begun = True
                    yield first
                    yield from events
                except Stopped as stopped:
                    raise self._stopped(stopped, number) from stopped
                gc.collect()  # the model of this run, which is in reference cycles, before the next one is loaded
            if finished or not writes:
                yield SeriesFinished(output / MODEL, None)
                return
            yield self._compare()

    def _begin(self, stack: ExitStack, *, new: bool, finished: bool) -> None:
        """Lock the directory, and store the names of the runs, of which the first one has started."""
        output, plan = self._output, self._plan
        stack.enter_context(locked_directory(output))
        if new:
            clear(output, keep=output / plan.members[0].name)
        if not finished:
            write_series(output, plan, shares=self._shares)

    def _started_with(self, before: Facts | None) -> int:
        """Return the number of processes for whose batches all runs are computed, so that they can be compared.

        It is that of the first run that was started, whatever the number of processes now is.
        """
        if before is not None and SHARES in before:
            return int(before[SHARES])
        runs = (read_run(self._output / name) for name in self._plan.names) if self._resume else ()
        started = next((facts for facts in runs if facts is not None), None)
        return self._processes.count if started is None else int(started.get(PROCESSES, 1))

    def _validate(self, *, overwrite: bool) -> Facts | None:
        """Check the directory and the data before the first run, and return the facts of the runs to resume, if any."""
        output, plan, processes = self._output, self._plan, self._processes
        before = processes.together(lambda: require_same_plan(output, plan)) if self._resume else None
        processes.on_first(lambda: self._require_free(new=before is None, overwrite=overwrite))
        processes.together(lambda: require_outside(output, plan.members[0].recipe.training.init_from))
        if plan.kind == "fold" and before is None:
            with self._stop.interruptible():
                processes.together(lambda: require_folds(plan))
        return before

    def _require_free(self, *, new: bool, overwrite: bool) -> None:
        require_idle(self._output)
        if new:
            self._require_new(overwrite=overwrite)

    def _require_new(self, *, overwrite: bool) -> None:
        """Check that the directory contains no other run.

        Raises:
            DataError: it does.
        """
        output, option = self._output, self._plan.option
        if self._resume and (output / RUN).is_file():
            raise DataError(
                f"{output} contains a single run, which was started without {option}",
                hint=f"continue it without {option}, or choose another directory with --output.",
            )
        # The first run may have begun in a process that ended before the names of all were stored.
        if not self._resume or contents_of(output) != [self._plan.members[0].name]:
            require_new_output(output, overwrite=overwrite)

    def _compare(self) -> SeriesFinished:
        """Compare the runs, keep a model, and store the scores of all."""
        plan, output = self._plan, self._output
        facts = [_finished_run(output / member.name) for member in plan.members]
        runs = [
            RunScores(member.label, _numbers(found[SCORES])) for member, found in zip(plan.members, facts, strict=True)
        ]
        recipe = plan.members[0].recipe
        try:
            with self._stop.interruptible():
                precisions = [found["precision"] for found in facts]
                pooled = pooled_scores(plan, output, precisions) if plan.kind == "fold" else {}
        except Stopped as stopped:
            kept = f"all {plan.kind}s are trained; continue with --resume to compare them"
            raise Stopped(stopped.signum, None if self._stop.repeated else kept) from stopped
        summary = SeriesSummary(
            kind=plan.kind,
            runs=runs,
            metrics={name: TASKS[section.task].metric for name, section in recipe.instances().items()},
            best=best_run(runs, recipe.training.select),
            pooled=pooled,
        )
        keep_model(output / f"{plan.kind}-{summary.best}" / MODEL, output / MODEL, summary)
        write_series(output, plan, summary.to_dict(), shares=self._shares)
        return SeriesFinished(output / MODEL, summary)

    def _stopped(self, stopped: Stopped, number: int) -> Stopped:
        """Return a stop that says which run was stopped, if something is kept."""
        if self._stop.repeated or not self._begun:
            return stopped
        where = f"{self._plan.kind} {number} of {len(self._plan.members)}"
        kept = stopped.kept or f"stopped; continue with {self._plan.option} --resume"
        return Stopped(stopped.signum, f"{where}: {kept}")


def _finished_run(directory: Path) -> Facts:
    """Return the facts of a finished run.

    Raises:
        DataError: it has no scores.
    """
    facts = read_run(directory)
    if facts is None or not isinstance(facts.get(SCORES), dict):
        raise DataError(
            f"{directory / RUN}: contains no scores", hint="remove this directory, and continue with --resume."
        )
    return facts


def _numbers(scores: Facts) -> dict[str, dict[str, float]]:
    """Return stored scores as numbers."""
    return {
        split: {task: math.nan if value is None else value for task, value in tasks.items()}
        for split, tasks in scores.items()
    }
