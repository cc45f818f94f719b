"""`ie train`: train one or several models, show the progress, and print the scores of the stored model."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import typer

from ie_cli.commands.console import TrainingView, busy, console, say, say_next, show_scores
from ie_cli.commands.exit_codes import report_of_other
from ie_cli.commands.recipe_argument import read_recipe
from ie_cli.commands.train_series import follow_series, series_of
from ie_cli.errors import IEError, StorageError, join_hints
from ie_cli.inference.model_paths import RUNS
from ie_cli.recipe.schema import Recipe
from ie_cli.system.launcher import launched_rank
from ie_cli.system.signals import Stop
from ie_cli.training.run_directory import CHECKPOINTS, MODEL


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainOptions:
    """The options of a training command.

    Attributes:
        overwrite: replace an earlier run.
        resume: resume an earlier run.
        quiet: show nothing.
        seeds: train with this number of seeds.
        folds: train on all but one of this number of parts of the data, for each part.
        debug: show tracebacks.
    """

    overwrite: bool = False
    resume: bool = False
    quiet: bool = False
    seeds: int | None = None
    folds: int | None = None
    debug: bool = False

    def arguments(self) -> list[str]:
        """Return the options as they are written on a command line."""
        flags = [f"--{name}" for name in ("overwrite", "resume", "quiet", "debug") if getattr(self, name)]
        numbers = {"--seeds": self.seeds, "--folds": self.folds}
        return [*flags, *(f"{name}={value}" for name, value in numbers.items() if value is not None)]


def run_train(
    name: str, output: Path | None, overrides: Sequence[str], options: TrainOptions, *, processes: int = 1
) -> None:
    """Train a model, show the progress, and print the scores of the stored model.

    Args:
        name: the recipe.
        output: the run directory.
        overrides: overrides of the recipe's fields.
        options: the other options.
        processes: number of processes to start; with 1, the model is trained in this one.
    """
    with _reporting():
        recipe = read_recipe(name, overrides)
        directory = output or Path(RUNS) / recipe.name
        if processes > 1:
            _launch(recipe, name, directory, overrides, options, processes=processes)
            return
        _train(recipe, directory, options)


def _launch(
    recipe: Recipe,
    name: str,
    directory: Path,
    overrides: Sequence[str],
    options: TrainOptions,
    *,
    processes: int,
) -> None:
    with busy("starting", quiet=options.quiet):
        from ie_cli.training.launch import launch
    given = [f"--set={override}" for override in overrides]
    arguments = ["train", f"--output={directory}", *given, *options.arguments(), "--", name]
    if code := launch(recipe, arguments, processes=processes):
        raise typer.Exit(code)


@contextmanager
def _reporting() -> Iterator[None]:
    """Let the first of several processes report: the others print only errors that it does not have."""
    if not (rank := launched_rank()):
        yield
        return
    console.quiet = True
    try:
        yield
    except typer.Exit:
        raise
    except Exception as error:
        processes = sys.modules.get("ie_cli.training.processes")  # not imported here: torch may be what is missing
        if processes is None or not processes.is_connected():
            report_of_other(rank, wait=True)  # the first process cannot read the recipe either, for example
        elif isinstance(error, IEError) and error.everywhere:
            processes.wait_for_end_of_first()
        else:
            report_of_other(rank, wait=False)
        raise


def _train(recipe: Recipe, directory: Path, options: TrainOptions) -> None:
    quiet = options.quiet
    view = TrainingView(quiet=quiet)
    with Stop(_report_stop).listening() as stop:
        with busy("starting", quiet=quiet):
            from ie_cli.training.run import train

        overwrite, resume = options.overwrite, options.resume
        try:
            if (start := series_of(seeds=options.seeds, folds=options.folds)) is not None:
                follow_series(start(recipe, directory, overwrite=overwrite, resume=resume, stop=stop), quiet=quiet)
            else:
                view.follow(train(recipe, directory, overwrite=overwrite, resume=resume, stop=stop))
        except StorageError as error:
            stored = any(directory.glob(f"{CHECKPOINTS}/step-*")) or any(directory.glob(f"*/{CHECKPOINTS}/step-*"))
            stored = stored or any(directory.glob(f"*/{MODEL}"))
            kept = "the last checkpoint and the best model so far are intact: continue with --resume"
            hint = join_hints(error.hint, kept if stored else "no checkpoint was written yet")
            explained = StorageError(error.message, hint=hint)
            explained.everywhere = error.everywhere
            raise explained from error
    if quiet or view.finished is None:
        return
    for split, tasks in view.finished.scores.items():
        for name, scores in tasks.items():
            show_scores(scores, f"{split}: {name}" if view.several else split)
    say_next(view.finished.model)


def _report_stop(signum: int) -> None:
    say("stopping after this step with a checkpoint; interrupt again to stop at once without one")
