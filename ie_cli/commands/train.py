"""`ie train`: train one or several models, show the progress, and print the scores of the stored model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ie_cli.commands.console import TrainingView, busy, say, say_next, show_scores
from ie_cli.commands.recipe_argument import read_recipe
from ie_cli.commands.train_series import follow_series, series_of
from ie_cli.errors import StorageError, join_hints
from ie_cli.inference.model_paths import RUNS
from ie_cli.system.signals import Stop
from ie_cli.training.run_directory import CHECKPOINTS, MODEL


def run_train(
    name: str,
    output: Path | None,
    overrides: Sequence[str],
    *,
    overwrite: bool,
    resume: bool,
    quiet: bool,
    seeds: int | None = None,
    folds: int | None = None,
) -> None:
    """Train a model, show the progress, and print the scores of the stored model.

    Args:
        name: the recipe.
        output: the run directory.
        overrides: overrides of the recipe's fields.
        overwrite: replace an earlier run.
        resume: resume an earlier run.
        quiet: show nothing.
        seeds: train with this number of seeds.
        folds: train on all but one of this number of parts of the data, for each part.
    """
    recipe = read_recipe(name, overrides)
    directory = output or Path(RUNS) / recipe.name
    view = TrainingView(quiet=quiet)
    with Stop(_report_stop).listening() as stop:
        with busy("starting", quiet=quiet):
            from ie_cli.training.run import train

        try:
            if (start := series_of(seeds=seeds, folds=folds)) is not None:
                follow_series(start(recipe, directory, overwrite=overwrite, resume=resume, stop=stop), quiet=quiet)
            else:
                view.follow(train(recipe, directory, overwrite=overwrite, resume=resume, stop=stop))
        except StorageError as error:
            stored = any(directory.glob(f"{CHECKPOINTS}/step-*")) or any(directory.glob(f"*/{CHECKPOINTS}/step-*"))
            stored = stored or any(directory.glob(f"*/{MODEL}"))
            kept = "the last checkpoint and the best model so far are intact: continue with --resume"
            raise StorageError(
                error.message, hint=join_hints(error.hint, kept if stored else "no checkpoint was written yet")
            ) from error
    if quiet or view.finished is None:
        return
    for split, tasks in view.finished.scores.items():
        for name, scores in tasks.items():
            show_scores(scores, f"{split}: {name}" if view.several else split)
    say_next(view.finished.model)


def _report_stop(signum: int) -> None:
    say("stopping after this step with a checkpoint; interrupt again to stop at once without one")
