"""Training as a generator of events, which does not print anything itself."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from accelerate.utils import set_seed

from ie_cli.data.label_schema import schema_facts
from ie_cli.recipe.base import Precision
from ie_cli.recipe.encoder_functions import changes_of_pretrained
from ie_cli.recipe.schema import Recipe
from ie_cli.system.signals import Stop
from ie_cli.training.acceleration import require_agreement
from ie_cli.training.checkpoint import Checkpoint, read_checkpoint
from ie_cli.training.context_notes import context_notes
from ie_cli.training.disk_room import missing_space
from ie_cli.training.events import Evaluated, Event, Finished, FinishedBefore, Progress, Started, Trained
from ie_cli.training.initial_model import initial_fingerprint
from ie_cli.training.loggers import Log, open_loggers, require_loggers
from ie_cli.training.loop import Run
from ie_cli.training.pair_notes import pair_notes
from ie_cli.training.processes import Processes, is_first_process
from ie_cli.training.run_changes import (
    require_same_precision,
    require_same_result,
    require_unchanged,
    with_started_thresholds,
)
from ie_cli.training.run_directory import (
    CHECKPOINTS,
    MODEL,
    PROCESSES,
    RATE_FACTORS,
    SCORES,
    Facts,
    clean_up,
    clear,
    discard,
    finish_directory,
    locked_directory,
    read_run,
    require_idle,
    require_new_output,
    require_outside,
    run_facts,
    stored_schemas,
    tokens_of_run,
    whole_words_of_run,
    write_run,
)
from ie_cli.training.run_events import started
from ie_cli.training.run_state import NEEDED, skip_training
from ie_cli.training.run_state import resume as resume_from
from ie_cli.training.sampling import sampling_notes
from ie_cli.training.selection import primary_scores
from ie_cli.training.setup import TrainingSetup, prepare
from ie_cli.training.sharding import require_divisible, sharding_notes
from ie_cli.training.techniques.base import Technique

COLUMNS = ("epoch", "loss", "sentences_per_second", "learning_rate")
"""Columns of the logs before those of the scores."""


def train(
    recipe: Recipe,
    output: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    resume: bool = False,
    stop: Stop | None = None,
    techniques: Sequence[Technique] = (),
    shares: int | None = None,
) -> Iterator[Event]:
    """Train a model from a recipe and write it to ``output/model``; each iteration continues to the next event.

    Args:
        recipe: the recipe.
        output: directory for the run.
        overwrite: replace an earlier run in `output`.
        resume: resume from the newest checkpoint in `output`, or start from the beginning if there is none.
        stop: checked between steps; if it is set, a checkpoint is written and the run stops.
        techniques: deviations from plain gradient descent, created for this run.
        shares: number of processes for whose batches together a step of a new run is computed; by default, as many as there are.

    Raises:
        DataError, ModelError, RecipeError: the input is invalid; or `output` exists and neither `overwrite` nor `resume`
            is set; or the run to resume was started with different settings.
        StorageError: a file cannot be written; the last checkpoint and the best model so far are intact.
        TrainingError: a loss or gradient is not finite, or memory is insufficient for a single window.
        Stopped: the run was stopped by `stop`.
    """
    output, stop, writes = Path(output), stop or Stop(), is_first_process()
    processes = Processes.connect(recipe)
    if writes or processes.several:
        processes.on_first(lambda: _require_ready(output, overwrite=overwrite, resume=resume))
    recipe = processes.together(lambda: _as_started(recipe, output)) if resume else recipe
    if resume and processes.together(lambda: _is_finished(output, recipe)):
        if writes:
            finish_directory(output)
        yield FinishedBefore(output / MODEL)
        return
    processes.together(lambda: require_outside(output, recipe.training.init_from))
    processes.together(lambda: require_divisible(recipe, techniques))
    with stop.interruptible():
        setup = processes.together(lambda: _prepare(recipe, output if resume else None))
    facts = processes.together(lambda: _facts(recipe, setup, techniques, processes=shares or processes.count))
    with ExitStack() as stack:
        enter = partial(_enter, stack, output, recipe, overwrite=overwrite, resume=resume)
        if (writes or processes.several) and processes.on_first(enter):
            yield FinishedBefore(output / MODEL)
            return
        earlier = _find_earlier_run(output, facts, processes, clean=writes) if resume else None
        options = {"techniques": techniques, "processes": processes, "shares": facts.get(PROCESSES, 1)}
        run = Run.start(recipe, setup, output, stop=stop, **options)
        processes.together(lambda: require_agreement(run.accelerator, first=writes))
        yield processes.together(lambda: _start_or_resume(run, facts, earlier, writes=writes))
        names = recipe.training.trackers if writes else []
        log = processes.together(lambda: stack.enter_context(_open_logs(run, names)))
        for event in _logged(run, log, facts):
            if isinstance(event, Trained) and writes:  # from now on, only the scores are missing
                write_run(output, facts | {"trained": asdict(event)})
            yield event
        if writes:
            _finish(output, facts)


def _finish(output: Path, facts: Facts) -> None:
    """Record that a run is finished, and remove what only an unfinished one needs."""
    write_run(output, facts | {"finished": True})
    finish_directory(output)


def _require_ready(output: Path, *, overwrite: bool, resume: bool) -> None:
    require_idle(output)
    require_new_output(output, overwrite=overwrite, resume=resume)


def _enter(stack: ExitStack, output: Path, recipe: Recipe, *, overwrite: bool, resume: bool) -> bool:
    """Lock the directory, and return whether another run has been finished in it in the meantime."""
    stack.enter_context(locked_directory(output))
    require_new_output(output, overwrite=overwrite, resume=resume)
    return resume and _is_finished(output, recipe)


def _as_started(recipe: Recipe, output: Path) -> Recipe:
    """Return a recipe with what an earlier version meant by its defaults, if such a version has started the run to resume."""
    before = read_run(output)
    return recipe if before is None else with_started_thresholds(recipe, before)


def _is_finished(output: Path, recipe: Recipe) -> bool:
    """Return whether a directory contains the finished run of a recipe.

    Raises:
        RecipeError, DataError: it contains the finished run of another recipe.
    """
    before = read_run(output)
    if before is None or not before["finished"]:
        return False
    require_same_result(output, before, recipe, initial_fingerprint(recipe))
    return True


@dataclass(frozen=True, slots=True)
class _EarlierRun:
    """The state of a run that an earlier process has left.

    Attributes:
        trained: set if all steps are done.
        precision: the original precision, if the run continues in a different one.
    """

    checkpoint: Checkpoint | None
    trained: Trained | None
    precision: Precision | None


def _find_earlier_run(output: Path, facts: Facts, processes: Processes, *, clean: bool) -> _EarlierRun | None:
    """Return the run to resume, or None if there is none; the facts get the number of processes that it was started with."""
    before = processes.together(lambda: read_run(output))
    if before is None:
        return None
    processes.together(lambda: require_unchanged(output, before, facts))
    precision = processes.together(lambda: require_same_precision(output, before, facts))
    facts.pop(PROCESSES, None)
    facts |= {name: before[name] for name in (PROCESSES,) if name in before}
    if clean or processes.several:
        processes.on_first(lambda: clean_up(output))
    if (trained := before.get("trained")) is not None:
        return _EarlierRun(None, Trained(**trained), precision)
    checkpoint = processes.together(lambda: read_checkpoint(output / CHECKPOINTS, NEEDED))
    return _EarlierRun(checkpoint, None, precision)


def _start_or_resume(run: Run, facts: Facts, earlier: _EarlierRun | None, *, writes: bool) -> Started:
    """Restore the state of a run to resume, or clear the directory for a new run."""
    disk_space = None
    if earlier is not None and earlier.trained is not None:
        skip_training(run, earlier.trained)
    else:
        if writes:
            keep = run.recipe.training.checkpoints
            state = run.techniques.nbytes()
            disk_space = missing_space(run.output, run.setup.model, checkpoints=keep, state=state)
        if earlier is not None and earlier.checkpoint is not None:
            resume_from(run, earlier.checkpoint)
        elif writes:
            # Only now, so that an error in the input does not destroy the model of an earlier run.
            clear(run.output)
            write_run(run.output, facts)
    for path in run.damaged if writes else ():
        discard(path)
    return replace(
        started(run, None if earlier is None else run.step),
        earlier_precision=None if earlier is None else earlier.precision,
        disk_space=disk_space,
        initial=run.setup.initial if run.step == 0 else None,
        changes=tuple(changes_of_pretrained(run.recipe)) if run.step == 0 else (),
        notes=(
            *pair_notes(
                run.setup,
                run.sampler.samplers,
                accumulation=run.recipe.training.accumulation,
            ),
            *sampling_notes(run.sampler, list(run.setup.tasks)),
            *sharding_notes(run.recipe, run.processes),
        ),
        joined=tuple(context_notes(run.setup, run.sampler.samplers)),
    )


def _prepare(recipe: Recipe, earlier: Path | None) -> TrainingSetup:
    """Prepare a run, or the rest of an earlier one in a directory."""
    require_loggers(recipe.training.trackers)
    set_seed(recipe.training.seed)
    before = None if earlier is None else read_run(earlier)
    if earlier is None or before is None:
        return prepare(recipe)
    setup = prepare(
        recipe,
        tokens=tokens_of_run(before, recipe),
        earlier=stored_schemas(recipe, before),
        whole_words=whole_words_of_run(before),
    )
    return replace(setup, rate_factors=bool(before.get(RATE_FACTORS, False)))


def _logged(run: Run, log: Log, facts: Facts) -> Iterator[Event]:
    """Yield the events of a run, write their values to the logs, and add the scores of the stored model to its facts."""
    for event in run.stoppable():
        if isinstance(event, (Progress, Evaluated)):
            log(event.step, event.values())
        elif isinstance(event, Finished):
            facts[SCORES] = primary_scores(event.scores)
        yield event


def _facts(recipe: Recipe, setup: TrainingSetup, techniques: Sequence[Technique], *, processes: int) -> Facts:
    """Return the settings that must not change if the run is resumed."""
    data = {name: task.data for name, task in setup.tasks.items()}
    schemas = {name: schema_facts(task.schema) for name, task in setup.tasks.items()}
    names = [technique.name for technique in techniques]
    return run_facts(
        recipe,
        data,
        schemas,
        encoder=setup.encoder_facts(),
        precision=setup.precision,
        techniques=names,
        initial=initial_fingerprint(recipe),
        rate_factors=setup.rate_factors,
        processes=processes,
        whole_words=[name for name, task in setup.tasks.items() if task.whole_words],
    )


def _open_logs(run: Run, names: Sequence[str]) -> AbstractContextManager[Log]:
    """Open the logs of a run, with the columns of its scores."""
    columns = (*COLUMNS, *run.balancer.columns(), *run.evaluator.columns())
    return open_loggers(names, run.output, recipe=run.recipe, columns=columns, after=run.logged())
