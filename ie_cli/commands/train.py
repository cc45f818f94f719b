"""`ie train`: train a model, show the progress, and print the scores of the stored model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ie_cli.commands.console import TrainingView, busy, say, show_scores
from ie_cli.commands.recipe_argument import read_recipe
from ie_cli.errors import StorageError, join_hints
from ie_cli.inference.model_paths import RUNS
from ie_cli.system.signals import Stop
from ie_cli.training.run_directory import CHECKPOINTS


def run_train(
    name: str, output: Path | None, overrides: Sequence[str], *, overwrite: bool, resume: bool, quiet: bool
) -> None:
    """Train a model, show the progress, and print the scores of the stored model."""
    recipe = read_recipe(name, overrides)
    directory = output or Path(RUNS) / recipe.name
    view = TrainingView(quiet=quiet)
    with Stop(_report_stop).listening() as stop:
        with busy("starting", quiet=quiet):
            from ie_cli.training.run import train

        try:
            view.follow(train(recipe, directory, overwrite=overwrite, resume=resume, stop=stop))
        except StorageError as error:
            stored = any((directory / CHECKPOINTS).glob("step-*"))
            kept = "the last checkpoint and the best model so far are intact: continue with --resume"
            raise StorageError(
                error.message, hint=join_hints(error.hint, kept if stored else "no checkpoint was written yet")
            ) from error
    if quiet or view.finished is None:
        return
    for split, tasks in view.finished.scores.items():
        for name, scores in tasks.items():
            show_scores(scores, f"{split}: {name}" if view.several else split)
    model = view.finished.model
    say(f"model: {model}\nnext:  ie predict FILE --model {model}\n       ie eval {model} DATA")


def _report_stop(signum: int) -> None:
    say("stopping after this step with a checkpoint; interrupt again to stop at once without one")
