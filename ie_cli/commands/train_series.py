"""`ie train --seeds` and `--folds`: show the progress of several runs, and print how they compare."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import groupby, islice
from typing import TYPE_CHECKING

from ie_cli.commands.console import TrainingView, console, say, say_next, show_scores
from ie_cli.reports.cells import number
from ie_cli.reports.terminal import print_tables

if TYPE_CHECKING:
    from ie_cli.training.events import Event, RunStarted, SeriesFinished


def series_of(*, seeds: int | None, folds: int | None) -> Callable[..., Iterator[Event]] | None:
    """Return the function that trains several models, or None if neither number is given."""
    from ie_cli.training.series import train_folds, train_seeds

    if seeds is not None:
        return partial(train_seeds, seeds=seeds)
    return partial(train_folds, folds=folds) if folds is not None else None


def follow_series(events: Iterable[Event], *, quiet: bool) -> None:
    """Consume and show the events of several runs, and print how the runs compare."""
    from ie_cli.training.events import RunStarted, SeriesFinished

    latest: RunStarted | SeriesFinished | None = None

    def heading(event: Event) -> RunStarted | SeriesFinished | None:
        """Return the event that the events of a run follow."""
        nonlocal latest
        if isinstance(event, (RunStarted, SeriesFinished)):
            latest = event
        return latest

    for start, part in groupby(events, key=heading):
        if isinstance(start, RunStarted):
            _follow_run(start, part, quiet=quiet)
        elif isinstance(start, SeriesFinished) and not quiet:
            _report(start)


def _follow_run(start: RunStarted, events: Iterable[Event], *, quiet: bool) -> None:
    """Show one of several runs with a view of its own, so that each has a table of its own on a terminal."""
    run = f"{start.kind} {start.number} of {start.total}"
    view = TrainingView(quiet=quiet, run=run)
    if not quiet:
        seed = f": training.seed {start.label}" if start.kind == "seed" else ""
        say(f"{run}{seed}, in {start.directory}")
    view.follow(islice(events, 1, None))  # without the start itself
    if quiet or view.finished is None:
        return
    scores = [
        f"{split}{f' {name}' if view.several else ''} {number(part.primary)}"
        for split, tasks in view.finished.scores.items()
        for name, part in tasks.items()
    ]
    say(f"{run}  {'  '.join(scores)}")


def _report(event: SeriesFinished) -> None:
    """Print the scores of all runs, and of all held-out predictions together."""
    summary = event.summary
    if summary is None:
        say("all runs are already complete: there is nothing to resume")
    else:
        print_tables(console, [summary.table()], summary.title)
        for name, scores in summary.pooled.items():
            task = f": {name}" if len(summary.pooled) > 1 else ""
            show_scores(scores, f"held-out predictions of all folds{task}")
    say_next(event.model)
