"""Print messages to stderr; stdout is reserved for data."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import chain
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.table import Table

from ie_cli.errors import IEError, counted, duration
from ie_cli.reports.cells import number
from ie_cli.reports.terminal import escape_controls, print_tables

if TYPE_CHECKING:
    from pathlib import Path

    from ie_cli.data.findings import Finding
    from ie_cli.metrics.scores import Scores
    from ie_cli.training.events import Evaluated, Event, Finished, Started
    from ie_cli.training.initial_model import InitialWeights
    from ie_cli.training.setup import TaskSetup

PLAIN_SECONDS = 30.0
"""Interval between progress lines if stderr is not a terminal."""


class _MessageConsole(Console):
    """A console that becomes quiet when its reader is gone, so that the command can continue."""

    def on_broken_pipe(self) -> None:
        self.quiet = True


console = _MessageConsole(stderr=True, highlight=False, soft_wrap=True, emoji=False)


def say(text: str) -> None:
    """Print a line."""
    console.print(escape_controls(text), markup=False)


def warn(text: str) -> None:
    """Print a warning."""
    console.print(escape_controls(f"warning: {text}"), markup=False, style="yellow")


def say_next(model: Path) -> None:
    """Print where a model was stored, and what to do with it."""
    say(f"model: {model}\nnext:  ie predict FILE --model {model}\n       ie eval {model} DATA")


def print_error(error: IEError) -> None:
    """Print an error and its hint."""
    console.print(escape_controls(f"error: {error.message}"), markup=False, style="red")
    if error.hint:
        console.print(escape_controls(f"hint: {error.hint}"), markup=False)


def show_scores(scores: Scores, title: str) -> None:
    """Print scores as tables with their notes."""
    print_tables(console, scores.tables(), title)


_LONG = {"f1": "F1"}
_CHOSEN = "F1 at another threshold"
"""The heading of the scores with the threshold that would be chosen; the column is left out while that is the default."""
_SHORT = {"precision": "P", "recall": "R", "f1": "F1", _CHOSEN: "F1 at"}
"""Names of scores: `_LONG` in the table on a terminal, `_SHORT` in plain lines."""


class TrainingView:
    """Show the events of a training run: a live table on a terminal, plain lines otherwise, only warnings if quiet.

    Args:
        quiet: whether only warnings are shown.
        run: which of several runs this is, e.g. ``seed 2 of 3``; it precedes the lines on the progress.
    """

    def __init__(self, *, quiet: bool, run: str = "") -> None:
        self.quiet = quiet
        self._run = f"{run}  " if run else ""
        self._rows: list[tuple[str, ...]] = []
        self._scores: tuple[str, ...] = ()
        self.several = False
        self._status = ""
        self._live: Live | None = None
        self.finished: Finished | None = None
        self._last_line = time.monotonic()

    def follow(self, events: Iterable[Event]) -> None:
        """Consume and show all events."""
        if self.quiet or not console.is_terminal:
            for event in events:
                self._report(event)
            return
        from ie_cli.training.events import FinishedBefore

        events = iter(events)
        with busy("reading the data and loading the encoder"):  # both happen before the first event
            first = next(events, None)
        with Live(console=console, auto_refresh=False, transient=False) as self._live:
            for event in chain([] if first is None else [first], events):
                self._report(event)
                if not isinstance(event, FinishedBefore):  # its table would be empty
                    self._live.update(self._table(), refresh=True)

    def _report(self, event: Event) -> None:
        from ie_cli.training import events as progress

        if isinstance(event, progress.Started):
            self._start(event)
        elif isinstance(event, progress.Progress):
            self._status = (
                f"{self._run}step {event.step}/{event.steps}  epoch {event.epoch:.2f}  loss {event.loss:.4f}  "
                f"{event.rate:.1f} examples/s  {duration(event.seconds_left)} left"
            )
            if self._live is None and time.monotonic() - self._last_line > PLAIN_SECONDS:
                self._say(self._status)
                self._last_line = time.monotonic()
        elif isinstance(event, progress.Evaluated):
            self._evaluated(event)
        elif isinstance(event, progress.Halved):
            self._say(
                f"out of memory at step {event.step}: each batch is now computed in {event.parts} parts, "
                "with the same gradient"
            )
        elif isinstance(event, progress.FinishedBefore):
            self._say(
                f"{self._run}finished before"
                if self._run
                else f"the run is already complete: there is nothing to resume\nmodel: {event.model}"
            )
        elif isinstance(event, progress.Finished):
            self.finished = event
            self._status = ""
            steps, early = counted(event.steps, "step"), ""
            if event.stopped_early:
                steps, early = (
                    f"{event.steps} of {event.steps_planned} steps",
                    " (stopped early: the score no longer improved)",
                )
            self._say(f"{self._run}trained {steps} in {duration(event.seconds)}{early}; best at step {event.best_step}")
            for name, choice in event.choices.items():
                if choice.changed:
                    task = f"{name}: " if self.several else ""
                    self._say(
                        f"{self._run}{task}threshold {choice.threshold:g}, chosen on dev: F1 {number(choice.f1)} instead of "
                        f"{number(choice.f1_before)} at {choice.before:g}"
                    )
            for advice in event.advice:
                warn(advice)

    def _start(self, event: Started) -> None:
        from ie_cli.training.disk_room import gigabytes

        if event.dev_is_train:
            warn(
                "data.dev is the same file as data.train: its scores measure memorisation, not "
                "generalisation; set data.dev: 0.1 to split dev texts off the training data"
            )
        for path in event.damaged:
            warn(f"{path} cannot be read; an older checkpoint is used instead")
        if event.earlier_precision is not None:
            warn(
                f"the run was started in {event.earlier_precision} and continues in {event.precision}, as set in "
                "the recipe"
            )
        if event.disk_space is not None:
            needed, free = map(gigabytes, event.disk_space)
            warn(
                f"the run may need {needed} of disk space for all its checkpoints, but only {free} are free "
                "(training.checkpoints: 1 keeps fewer)"
            )
        if event.trained_before:
            self._say(f"all {event.resumed_from} steps were already done: only the scores are missing")
        elif event.resumed_from:
            self._say(f"resuming from the checkpoint of step {event.resumed_from}")
        elif event.resumed_from is not None:
            self._say("there is no checkpoint yet: starting from the beginning")
        self.several = len(event.tasks) > 1
        for warning in (*event.changes, *event.notes):
            warn(warning)
        if event.initial is not None:
            self._describe_initial(event.initial)
        for name, task in event.tasks.items():
            self._describe(f"{name}: " if len(event.tasks) > 1 else "", task, event)
        for finding in event.joined:
            self._say(f"{'warning: ' if finding.kind == 'warning' else ''}{finding.text}")
        if not event.has_dev:
            self._say(
                "no dev data: nothing is evaluated, and the last weights are kept "
                "(with 50 examples or more, data.dev: 0.1 splits some off the training data)"
            )

    def _describe_initial(self, initial: InitialWeights) -> None:
        """Print what is taken from the model that the run starts from, and which weights are new."""
        from ie_cli.training.initial_model import describe_new_head

        self._say(f"starting from {initial.model}: its tokenizer and its encoder")
        for task, head in initial.heads.items():
            name = f"{task}: " if self.several else ""
            if head.reason is not None:
                warn(f"{name}{describe_new_head(head.reason)}")
                continue
            parts = [f"{len(head.kept)} of {counted(len(head.kept) + len(head.fresh), 'label')} continue"]
            parts += [
                f"{what}: {_listed(names)}" for what, names in (("new", head.fresh), ("dropped", head.dropped)) if names
            ]
            self._say(f"{name}{'; '.join(parts)}")

    def _describe(self, name: str, setup: TaskSetup, event: Started) -> None:
        """Print what a task trains on, and which gold items it cannot learn."""
        counts = setup.dataset.counts
        gold = ", ".join(setup.task.describe(counts.items, setup.schema))
        where = f" in {counted(counts.windows, 'window')}" if setup.codec.reads == "windows" else ""
        processes = f"{event.processes} processes, " if event.processes > 1 else ""
        self._say(
            f"{name}{counted(counts.documents, 'example')}{where}, {gold}; "
            f"{event.parameters / 1e6:.1f} M parameters, {counted(event.steps, 'step')} on "
            f"{processes}{event.device} in {event.precision}"
        )
        from ie_cli.data.negatives import negatives_by_file
        from ie_cli.tasks.unlearned import unlearned_entities
        from ie_cli.tasks.whole_words import describe_whole_words

        for report in setup.data.reports:
            self._say(f"{name}{report}")
        words = describe_whole_words(setup.section.head, setup.data.statistics, decided=setup.whole_words)
        for found in filter(None, (unlearned_entities(setup.section, setup.data.statistics), words)):
            self._find(found, name)
        for finding in negatives_by_file(setup.data.files, setup.task.words.a_item):
            if len(setup.data.files) > 1 or any(file.negatives for file in setup.data.files.values()):
                self._find(finding, name)
        for split in setup.unannotated:
            effect = ", and it does not stop training early" if split == "dev" else ""
            warn(f"{name}data.{split} contains no {setup.task.words.items}: its scores are meaningless{effect}")
        if (damaged := setup.dataset.replaced) is not None:
            warn(f"{name}the encoded windows in {damaged} were damaged and have been encoded again")
        for kind, reasons in counts.unreachable.items():
            listed = ", ".join(f"{n} {reason}" for reason, n in sorted(reasons.items()))
            unreachable = sum(reasons.values())
            self._say(
                f"{name}{unreachable} of {counts.items[kind]} {kind} cannot be learned: {listed} (`ie check` lists them)"
            )

    def _evaluated(self, event: Evaluated) -> None:
        from ie_cli.training.events import score_values

        values = score_values(event.scores, named=event.named)
        row = (
            f"{event.epoch:.1f}",
            f"{event.step}/{event.steps}",
            "–" if math.isnan(event.loss) else f"{event.loss:.4f}",
            *map(number, values.values()),
            ", ".join(
                f"{f'{name} ' if event.named else ''}{number(choice.f1)} at {choice.threshold:g}"
                for name, choice in event.choices.items()
                if choice.changed
            ),
            f"{event.rate:.1f}",
            duration(event.seconds_left),
            "*" if event.best else "",
        )
        self._rows.append(row)
        self._scores = tuple(_LONG.get(name, name) for name in values)
        if self._live is None:
            names = (
                *("epoch", "step", "loss"),
                *(_SHORT.get(name, name) for name in values),
                "F1",
                "examples/s",
                "left",
                "",
            )
            self._say(
                self._run
                + "  ".join(f"{name} {value}".strip() for name, value in zip(names, row, strict=True) if value)
            )
        if event.advice:
            warn(event.advice)

    def _find(self, finding: Finding, name: str) -> None:
        """Print a finding about the data of a task."""
        (warn if finding.kind == "warning" else self._say)(f"{name}{finding.text}")

    def _say(self, text: str) -> None:
        if not self.quiet:
            say(text)

    def _table(self) -> Table:
        table = Table(caption=self._status or None, caption_justify="left")
        names = ("epoch", "step", "loss", *self._scores, _CHOSEN, "examples/s", "left", "best")
        rows = self._rows[-20:]
        columns = [(name, [row[n] for row in rows]) for n, name in enumerate(names)]
        columns = fitting_columns(
            [(name, cells) for name, cells in columns if name != _CHOSEN or any(cells)], console.width
        )
        for name, _ in columns:
            table.add_column(name, justify="right", no_wrap=True)
        for row in zip(*(values for _, values in columns), strict=True):
            table.add_row(*row)
        return table


_LESS_IMPORTANT = ("left", "examples/s")
"""Columns to leave out first in a narrow terminal: the line below the table has the same facts."""


def fitting_columns(columns: Sequence[tuple[str, list[str]]], width: int) -> list[tuple[str, list[str]]]:
    """Shorten headings and leave out columns until a table fits the width; a truncated heading would explain nothing.

    Args:
        columns: the heading and the cells of each column.
        width: the width of the terminal.
    """

    def fits() -> bool:
        return 1 + sum(3 + max(map(len, (name, *cells))) for name, cells in kept) <= width

    kept = list(columns)
    if not fits():
        kept = [(_SHORT.get(name, name), cells) for name, cells in kept]
    for name in (*_LESS_IMPORTANT, *(name for name, _ in columns if name.endswith((".precision", ".recall")))):
        if not fits():
            kept = [column for column in kept if column[0] != name]
    return kept


def busy(what: str, *, quiet: bool = False) -> AbstractContextManager[object]:
    """Show an activity of unknown duration on a terminal."""
    return nullcontext() if quiet or not console.is_terminal else console.status(f"{what} …")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
