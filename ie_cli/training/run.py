"""Training as a generator of progress: it neither prints nor decides what is shown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from accelerate.utils import set_seed

from ie_cli.data.label_schema import schema_facts
from ie_cli.recipe.base import Precision
from ie_cli.recipe.schema import Recipe
from ie_cli.system.signals import Stop
from ie_cli.training.checkpoint import Checkpoint, read_checkpoint
from ie_cli.training.disk_room import room_lacking
from ie_cli.training.events import Evaluated, Event, FinishedBefore, Progress, Started, Trained
from ie_cli.training.loggers import Log, open_loggers, require_loggers
from ie_cli.training.loop import Run
from ie_cli.training.processes import is_first_process, require_agreement
from ie_cli.training.run_directory import (
    CHECKPOINTS,
    MODEL,
    Facts,
    clear,
    discard,
    finish_directory,
    locked_directory,
    read_run,
    require_idle,
    require_new_output,
    require_same_precision,
    require_unchanged,
    run_facts,
    state_of,
    tidy,
    write_run,
)
from ie_cli.training.run_state import NEEDED
from ie_cli.training.setup import TrainingSetup, prepare
from ie_cli.training.techniques.base import Technique

COLUMNS = ("epoch", "loss", "sentences_per_second", "learning_rate")
"""Of the logs, before those of the scores."""


def train(
    recipe: Recipe,
    output: Path,
    *,
    overwrite: bool = False,
    resume: bool = False,
    stop: Stop | None = None,
    techniques: Sequence[Technique] = (),
) -> Iterator[Event]:
    """Train a model as the recipe says and write it to ``output/model``; each iteration goes on to the next event.

    Args:
        resume: go on from the newest checkpoint in `output`; from the start where there is none.
        techniques: what is done differently from plain gradient descent, built for this run.
        stop: looked at between two steps; where it says so, a checkpoint is written.

    Raises:
        DataError, ModelError, RecipeError: of the input; also when `output` exists and neither `overwrite` nor `resume`
            is set, or what `resume` finds was begun with something else.
        StorageError: the disk is full, …; the last checkpoint and the best model so far are whole.
        TrainingError: a loss or gradient is not finite, or memory does not suffice for a single window.
        Stopped: by `stop`.
    """
    stop = stop or Stop()
    writes = is_first_process()
    if writes:
        require_idle(output)
        require_new_output(output, overwrite=overwrite, resume=resume)
    if resume and state_of(output) == "finished":
        if writes:
            finish_directory(output)
        yield FinishedBefore(output / MODEL)
        return
    with stop.interruptible():
        setup = _prepare(recipe)
    facts = _facts(recipe, setup, techniques)
    with ExitStack() as stack:
        if writes:
            stack.enter_context(locked_directory(output))
            require_new_output(output, overwrite=overwrite, resume=resume)  # another run may have ended meanwhile
            if resume and state_of(output) == "finished":
                yield FinishedBefore(output / MODEL)
                return
        earlier = _earlier(output, facts, tidies=writes) if resume else None
        run = Run.start(recipe, setup, output, stop=stop, techniques=techniques)
        require_agreement(run.accelerator, first=writes)
        yield _begin(run, facts, earlier, writes=writes)
        for path in run.damaged if writes else ():
            discard(path)
        log = stack.enter_context(_open_logs(run, recipe.training.trackers if writes else []))
        for event in _logged(run, log):
            if isinstance(event, Trained) and writes:  # from here only scores are missing
                write_run(output, facts | {"trained": asdict(event)})
            yield event
        if writes:
            write_run(output, facts | {"finished": True})
            finish_directory(output)


@dataclass(frozen=True, slots=True)
class _Earlier:
    """What an earlier process left of a run.

    Attributes:
        trained: where all its steps are done.
        precision: what it was begun in, where it goes on in another one.
    """

    checkpoint: Checkpoint | None
    trained: Trained | None
    precision: Precision | None


def _earlier(output: Path, facts: Facts, *, tidies: bool) -> _Earlier | None:
    """What there is to go on from; None where there is no run at all."""
    before = read_run(output)
    if before is None:
        return None
    require_unchanged(output, before, facts)
    precision = require_same_precision(output, before, facts)
    if tidies:
        tidy(output)
    if (trained := before.get("trained")) is not None:
        return _Earlier(None, Trained(**trained), precision)
    return _Earlier(read_checkpoint(output / CHECKPOINTS, NEEDED), None, precision)


def _begin(run: Run, facts: Facts, earlier: _Earlier | None, *, writes: bool) -> Started:
    """Put a run where it goes on, or at its start, where the directory is emptied for it."""
    room = None
    if earlier is not None and earlier.trained is not None:
        run.skip_training(earlier.trained)
    else:
        if writes:
            keep = run.recipe.training.checkpoints
            room = room_lacking(run.output, run.setup.model, checkpoints=keep)
        if earlier is not None and earlier.checkpoint is not None:
            run.load(earlier.checkpoint)
        elif writes:
            # Only now: an error in the input costs nobody the model of an earlier run.
            clear(run.output)
            write_run(run.output, facts)
    return replace(
        run.started(None if earlier is None else run.step),
        earlier_precision=None if earlier is None else earlier.precision,
        room=room,
    )


def _prepare(recipe: Recipe) -> TrainingSetup:
    require_loggers(recipe.training.trackers)
    set_seed(recipe.training.seed)
    return prepare(recipe)


def _logged(run: Run, log: Log) -> Iterator[Event]:
    """The events of a run, with what the logs record of them."""
    for event in run.stoppable():
        if isinstance(event, (Progress, Evaluated)):
            log(event.step, event.values())
        yield event


def _facts(recipe: Recipe, setup: TrainingSetup, techniques: Sequence[Technique]) -> Facts:
    """What must be the same when the run goes on."""
    data = {name: task.data for name, task in setup.tasks.items()}
    schemas = {name: schema_facts(task.schema) for name, task in setup.tasks.items()}
    names = [technique.name for technique in techniques]
    return run_facts(recipe, data, schemas, encoder=setup.encoder_facts(), precision=setup.precision, techniques=names)


def _open_logs(run: Run, names: Sequence[str]) -> AbstractContextManager[Log]:
    """The logs of a run, with the columns that its scores have."""
    columns = (*COLUMNS, *run.evaluator.columns())
    return open_loggers(names, run.output, recipe=run.recipe, columns=columns, after=run.logged())
