"""The events of a run that are made of its state: the first, the last, and the progress."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ie_cli.training.events import Finished, Progress, Started
from ie_cli.training.optimizer import OWN_RATE
from ie_cli.training.run_directory import MODEL

if TYPE_CHECKING:
    from ie_cli.training.loop import Run


def started(run: Run, resumed_from: int | None) -> Started:
    """Return the event for the start of a run."""
    setup, device = run.setup, run.accelerator.device
    return Started(
        tasks=setup.tasks,
        steps=run.steps,
        device=device.type if run.processes.several else str(device),
        precision=setup.precision,
        parameters=sum(parameter.numel() for parameter in setup.model.parameters()),
        has_dev=setup.has_dev,
        resumed_from=resumed_from,
        damaged=run.damaged,
        dev_is_train=any(task.data.dev_is_train for task in setup.tasks.values()),
        trained_before=run.trained,
        processes=run.processes.count,
    )


def progress(run: Run) -> Progress:
    """Return the event for the progress since the last one."""
    loss, rate = run.tracker.read()
    return Progress(
        run.step, run.epochs(), loss, rate, learning_rate(run), seconds_left(run), run.steps, run.balancer.values()
    )


def learning_rate(run: Run) -> float:
    """Return the learning rate of a run, without those that heads decide."""
    return max(float(group["lr"]) for group in run.optimizer.param_groups if OWN_RATE not in group)


def seconds_left(run: Run) -> float:
    """Return the time that the remaining steps of a run will take, by the mean of those done here."""
    done = run.step - run.resumed_at
    return (time.monotonic() - run.started_at) / max(1, done) * max(0, run.steps - run.step)


def finished(run: Run) -> Finished:
    """Load the model as users would, score it, and store the scores with it."""
    directory = run.output / MODEL
    scores = run.evaluator.final_scores(directory)
    advice = (*run.diagnostics.finished(scores.get("dev", {})), *run.evaluator.threshold_advice())
    seconds = time.monotonic() - run.started_at
    return Finished(
        directory,
        scores,
        run.best_step,
        run.step,
        run.stopped_early,
        seconds,
        steps_planned=run.steps,
        advice=advice,
        choices=run.evaluator.chosen(),
    )
