"""Talk on stderr; the only user of rich. stdout belongs to data."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from ie_cli.errors import IEError

if TYPE_CHECKING:
    from ie_cli.metrics.entities import Counts, EntityScores
    from ie_cli.metrics.relations import RelationScores
    from ie_cli.metrics.scores import Scores
    from ie_cli.training.events import Evaluated, Event, Finished, Started
    from ie_cli.training.setup import TaskSetup

PLAIN_SECONDS = 30.0
"""Between two lines of progress where there is no terminal."""


class _Talk(Console):
    """The talk of a command, which goes on with its work where nobody listens any more."""

    def on_broken_pipe(self) -> None:
        self.quiet = True


console = _Talk(stderr=True, highlight=False, soft_wrap=True, emoji=False)


# Texts and labels are shown, and belong to whoever wrote the data: none of their characters may drive the terminal.
_HARMLESS = {code: f"\\x{code:02x}" for code in [*range(0x20), *range(0x7F, 0xA0)] if chr(code) not in "\n\t"}


def harmless(text: str) -> str:
    """Control characters written out, e.g. ``\\x1b``; lines and tabs stay."""
    return text.translate(_HARMLESS)


def say(text: str) -> None:
    """Print a line."""
    console.print(harmless(text), markup=False)


def warn(text: str) -> None:
    """Print a warning."""
    console.print(harmless(f"warning: {text}"), markup=False, style="yellow")


def complain(error: IEError) -> None:
    """Print an error and what to do about it."""
    console.print(harmless(f"error: {error.message}"), markup=False, style="red")
    if error.hint:
        console.print(harmless(f"hint: {error.hint}"), markup=False)


def number(value: float | None) -> str:
    """A score with four digits, a dash where there is none."""
    return "–" if value is None else f"{value:.4f}"


def duration(seconds: float) -> str:
    """Seconds as ``1:02:03`` or ``2:03``."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"


def show_scores(scores: Scores, title: str) -> None:
    """Print scores per label or predicate and in all, the recall ceiling, and the recall on what training never had."""
    from ie_cli.metrics.entities import EntityScores

    if isinstance(scores, EntityScores):
        _show_entities(scores, title)
    else:
        _show_relations(scores, title)


def _show_entities(scores: EntityScores, title: str) -> None:
    table = _score_table(title, "label", scores.labels, scores.micro)
    _add_row(table, "borders only", scores.boundaries)
    table.add_row("macro", "", "", number(scores.macro_f1))
    console.print(table)
    for line in footnotes(scores, "entities", "names"):
        say(line)


def _show_relations(scores: RelationScores, title: str) -> None:
    table = _score_table(f"{title}: relations", "predicate", scores.predicates, scores.micro)
    ways = {"spans and types": scores.strict, "spans": scores.boundaries, "text": scores.text}
    for name, counts in ways.items():
        if counts is not None and counts is not scores.micro:
            _add_row(table, f"by {name}", counts)
    if scores.official is not None:
        _add_row(table, "DuIE's rules", scores.official)
    table.add_row("macro", "", "", number(scores.macro_f1))
    console.print(table)
    say({"text": "relations by their texts", "strict": "relations by spans and types"}.get(scores.match, "by spans"))
    for line in footnotes(scores, "relations", "triples"):
        say(line)
    if scores.entities is not None:
        _show_entities(scores.entities, f"{title}: entities")


class _Scored(Protocol):
    """Ratios with what they are ratios of."""

    @property
    def precision(self) -> float: ...
    @property
    def recall(self) -> float: ...
    @property
    def f1(self) -> float: ...
    @property
    def gold(self) -> int: ...
    @property
    def predicted(self) -> int: ...
    @property
    def correct(self) -> int: ...


def _score_table(title: str, what: str, parts: Mapping[str, Counts], micro: Counts) -> Table:
    table = Table(title=Text(harmless(title)), title_justify="left")
    table.add_column(what, overflow="fold")  # a narrow screen breaks names, and no numbers
    for name in ("precision", "recall", "F1", "gold", "predicted", "correct"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, part in parts.items():
        _add_row(table, name, part)
    table.add_section()
    _add_row(table, "all (micro)", micro)
    return table


def _add_row(table: Table, name: str, part: _Scored) -> None:
    counts = (str(part.gold), str(part.predicted), str(part.correct))
    # What is neither in gold nor in prediction has no scores.
    values = (part.precision, part.recall, part.f1) if part.gold or part.predicted else (None, None, None)
    table.add_row(Text(harmless(name)), *(number(value) for value in values), *counts)


def footnotes(scores: Scores, items: str, unseen: str) -> Iterator[str]:
    """What stands below a table of scores."""
    ceiling = scores.ceiling
    if ceiling is not None and ceiling.total:
        lost = ceiling.total - ceiling.reachable
        line = f"recall ceiling {number(ceiling.recall)}"
        if lost:
            reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(ceiling.reasons.items()))
            line += f": {lost} of {ceiling.total} {items} cannot be predicted ({reasons})"
        yield line
    if scores.unseen is not None and scores.unseen.gold:
        yield (
            f"recall on {unseen} never seen in training {number(scores.unseen.recall)} "
            f"({scores.unseen.correct} of {scores.unseen.gold})"
        )


_LONG = {"f1": "F1"}
_SHORT = {"precision": "P", "recall": "R", "f1": "F1"}
"""Names of scores in the table on a terminal, and in lines."""


class TrainingView:
    """Show the events of a training run: a live table on a terminal, plain lines elsewhere, nothing if quiet."""

    def __init__(self, *, quiet: bool) -> None:
        self.quiet = quiet
        self._rows: list[tuple[str, ...]] = []
        self._scores: tuple[str, ...] = ()
        self._status = ""
        self._live: Live | None = None
        self.finished: Finished | None = None
        self._told = time.monotonic()

    def follow(self, events: Iterable[Event]) -> None:
        """Consume and show all events."""
        if self.quiet or not console.is_terminal:
            for event in events:
                self._tell(event)
            return
        with Live(console=console, auto_refresh=False, transient=False) as self._live:
            for event in events:
                self._tell(event)
                self._live.update(self._table(), refresh=True)

    def _tell(self, event: Event) -> None:
        from ie_cli.training import events as progress

        if isinstance(event, progress.Started):
            self._start(event)
        elif isinstance(event, progress.Progress):
            self._status = (
                f"step {event.step}  epoch {event.epoch:.2f}  loss {event.loss:.4f}  {event.rate:.1f} sentences/s  "
                f"{duration(event.seconds_left)} left"
            )
            if self._live is None and time.monotonic() - self._told > PLAIN_SECONDS:
                self._say(self._status)
                self._told = time.monotonic()
        elif isinstance(event, progress.Evaluated):
            self._evaluated(event)
        elif isinstance(event, progress.Halved):
            self._say(
                f"out of memory at step {event.step}: batches are computed in {event.parts} parts from now on, "
                "with the same gradient"
            )
        elif isinstance(event, progress.FinishedBefore):
            self._say(f"finished before: nothing to go on with\nmodel: {event.model}")
        elif isinstance(event, progress.Finished):
            self.finished = event
            self._status = ""
            early = " (stopped early: no better score in time)" if event.stopped_early else ""
            self._say(
                f"trained {event.steps} steps in {duration(event.seconds)}{early}; best at step {event.best_step}"
            )

    def _start(self, event: Started) -> None:
        if event.dev_is_train:
            self._say(
                "warning: data.dev is the file of data.train: its scores say how well texts are known by heart; "
                "data.dev: 0.1 splits texts off train"
            )
        for path in event.damaged:
            self._say(f"warning: {path} cannot be read; an older checkpoint takes its place")
        if event.resumed_from:
            self._say(f"goes on from the checkpoint of step {event.resumed_from}")
        elif event.resumed_from is not None:
            self._say("no checkpoint yet: begins from the start")
        for name, task in event.tasks.items():
            self._describe(f"{name}: " if len(event.tasks) > 1 else "", task, event)
        if not event.has_dev:
            self._say("no dev data: nothing is measured, and the last weights are kept (data.dev: 0.1 splits some off)")

    def _describe(self, name: str, setup: TaskSetup, event: Started) -> None:
        """What a task trains on, and what of it cannot be learned."""
        counts = setup.dataset.counts
        gold = ", ".join(setup.task.describe(counts.items, setup.schema))
        self._say(
            f"{name}{counts.documents} examples in {counts.windows} windows, {gold}; "
            f"{event.parameters / 1e6:.1f} M parameters, {event.steps} steps on {event.device} in {event.precision}"
        )
        for kind, reasons in counts.unreachable.items():
            listed = ", ".join(f"{n} {reason}" for reason, n in sorted(reasons.items()))
            lost = sum(reasons.values())
            self._say(
                f"{name}{lost} of {counts.items[kind]} {kind} cannot be learned: {listed} (`ie check` shows them)"
            )

    def _evaluated(self, event: Evaluated) -> None:
        from ie_cli.training.events import score_values

        values = score_values(event.scores)
        row = (
            f"{event.epoch:.1f}",
            str(event.step),
            "–" if math.isnan(event.loss) else f"{event.loss:.4f}",
            *map(number, values.values()),
            f"{event.rate:.1f}",
            duration(event.seconds_left),
            "*" if event.best else "",
        )
        self._rows.append(row)
        self._scores = tuple(_LONG.get(name, name) for name in values)
        if self._live is None:
            names = ("epoch", "step", "loss", *(_SHORT.get(name, name) for name in values), "sentences/s", "left", "")
            self._say("  ".join(f"{name} {value}".strip() for name, value in zip(names, row, strict=True)).rstrip())
        if event.advice:
            self._say(f"warning: {event.advice}")

    def _say(self, text: str) -> None:
        if not self.quiet:
            say(text)

    def _table(self) -> Table:
        table = Table(caption=self._status or None, caption_justify="left")
        for name in ("epoch", "step", "loss", *self._scores, "sentences/s", "left", "best"):
            table.add_column(name, justify="right")
        for row in self._rows[-20:]:
            table.add_row(*row)
        return table


@contextmanager
def counting(what: str, *, quiet: bool, done: int = 0) -> Iterator[Callable[[], None]]:
    """A counter on a terminal, nothing elsewhere; what comes back is called for every item, `done` are there already."""
    if quiet or not console.is_terminal:
        yield lambda: None
        return
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=None, completed=done)
        yield lambda: progress.advance(task)
