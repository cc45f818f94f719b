"""Training as a generator of progress: it neither prints nor decides what is shown."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from accelerate.utils import set_seed

from ie_cli.checkpoint import Checkpoint, read_checkpoint
from ie_cli.durable import recover
from ie_cli.loop import Run
from ie_cli.prepare import prepare
from ie_cli.progress import Evaluated, Event, FinishedBefore, Progress
from ie_cli.recipe import Recipe
from ie_cli.run_folder import (
    CHECKPOINTS,
    MODEL,
    Facts,
    clear,
    discard,
    own_folder,
    read_run,
    refuse_changed,
    refuse_existing,
    run_facts,
    state_of,
    write_run,
)
from ie_cli.schema import schema_facts
from ie_cli.stopping import Stop
from ie_cli.trackers import open_trackers


def train(
    recipe: Recipe, output: Path, *, overwrite: bool = False, resume: bool = False, stop: Stop | None = None
) -> Iterator[Event]:
    """Train a model as the recipe says and write it to ``output/model``.

    Works as a generator: each iteration goes on until there is something to tell.

    Args:
        resume: go on from the newest checkpoint in `output`; from the start where there is none.
        stop: looked at between two steps; where it says so, a checkpoint is written.

    Raises:
        DataError, ModelError, RecipeError: of the input; also when `output` exists and neither `overwrite` nor `resume`
            is set, or what `resume` finds was begun with something else.
        StorageError: the disk is full, …; the last checkpoint and the best model so far are whole.
        TrainingError: a loss or gradient is not finite, or memory does not suffice for a single window.
        Stopped: by `stop`.
    """
    stop = stop or Stop()
    refuse_existing(output, overwrite=overwrite, resume=resume)
    if resume and state_of(output) == "finished":
        yield FinishedBefore(output / MODEL)
        return
    with stop.at_once():
        set_seed(recipe.training.seed)
        prepared = prepare(recipe)
    facts = run_facts(recipe, prepared.train, prepared.dev, schema_facts(prepared.schema), prepared.encoder_facts())
    writes = os.environ.get("RANK", "0") == "0"  # of several processes, the first one
    with ExitStack() as stack:
        # Only now: an error in the input costs nobody the model of an earlier run.
        if writes:
            stack.enter_context(own_folder(output))
        checkpoint = _earlier(output, facts) if resume else None
        if checkpoint is None and writes:
            clear(output)
            write_run(output, facts)
        run = Run.start(recipe, prepared, output, stop)
        if checkpoint is not None:
            run.load(checkpoint)
        yield run.started(None if checkpoint is None else run.step)
        trackers = recipe.training.trackers if writes else []
        log = stack.enter_context(open_trackers(trackers, output, after=run.step))
        for event in run.stoppable():
            if isinstance(event, (Progress, Evaluated)):
                log(event.step, event.values())
            yield event
        if writes:
            write_run(output, facts | {"finished": True})
            discard(output / CHECKPOINTS)


def _earlier(output: Path, facts: Facts) -> Checkpoint | None:
    """The checkpoint to go on from, if there is one."""
    before = read_run(output)
    if before is None:
        return None
    refuse_changed(output, before, facts)
    recover(output / MODEL)
    return read_checkpoint(output / CHECKPOINTS)
