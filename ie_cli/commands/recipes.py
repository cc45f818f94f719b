"""`ie init`, `show`, `check`, `train`, `recipes`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ie_cli.commands.console import TrainingView, say, show_scores, warn
from ie_cli.commands.inputs import Input
from ie_cli.errors import DataError, StorageError, hints
from ie_cli.system.signals import Stop
from ie_cli.system.streams import open_output
from ie_cli.training.run_directory import CHECKPOINTS

if TYPE_CHECKING:
    from ie_cli.recipe.schema import Recipe


def _recipe(name: str, overrides: Sequence[str]) -> Recipe:
    """A recipe by its file, or by the name of a shipped one."""
    from ie_cli.recipe.bundled import find_recipe
    from ie_cli.recipe.loader import load_recipe

    shipped = None if os.path.exists(name) else find_recipe(name)
    return load_recipe(shipped.path if shipped else name, overrides)


def run_init(data: Input, *, encoder: str | None) -> None:
    """`ie init`: a recipe on stdout."""
    from ie_cli.doctor.recipe_proposal import propose_recipe

    with open_output("-") as out:
        out.write(propose_recipe(data.path, format=data.format, encoder=encoder, reading=data.reading()))


def run_show(name: str, overrides: Sequence[str], *, help_fields: bool) -> None:
    """`ie show`: the recipe in full on stdout."""
    from ie_cli.recipe.loader import dump_recipe

    recipe = _recipe(name, overrides)
    with open_output("-") as out:
        out.write(dump_recipe(recipe, explain=help_fields))


def run_check(name: str, overrides: Sequence[str]) -> None:
    """`ie check`: findings on stderr; an error where one of them is."""
    from ie_cli.doctor.data_checks import check

    recipe = _recipe(name, overrides)
    errors = 0
    for finding in check(recipe):
        (warn if finding.kind == "warning" else say)(
            f"error: {finding.text}" if finding.kind == "error" else finding.text
        )
        errors += finding.kind == "error"
    if errors:
        raise DataError(f"{errors} error{'s' if errors > 1 else ''} in recipe or data", hint="see the lines above.")


def run_train(
    name: str, output: Path | None, overrides: Sequence[str], *, overwrite: bool, resume: bool, quiet: bool
) -> None:
    """`ie train`: a live table, then the scores of the model as it was stored."""
    recipe = _recipe(name, overrides)
    folder = output or Path("runs") / recipe.name
    view = TrainingView(quiet=quiet)
    with Stop(_tell_stop).listening() as stop:
        from ie_cli.training.run import train

        try:
            view.follow(train(recipe, folder, overwrite=overwrite, resume=resume, stop=stop))
        except StorageError as error:
            stored = any((folder / CHECKPOINTS).glob("step-*"))
            kept = "the last checkpoint and the best model so far are whole: go on with --resume"
            raise StorageError(
                error.message, hint=hints(error.hint, kept if stored else "no checkpoint was written yet")
            ) from error
    if quiet or view.finished is None:
        return
    for split, tasks in view.finished.scores.items():
        for name, scores in tasks.items():
            show_scores(scores, f"{split}: {name}" if len(tasks) > 1 else split)
    model = view.finished.model
    say(f"model: {model}\nnext:  ie predict FILE --model {model}    or    ie eval {model} DATA")


def _tell_stop(signum: int) -> None:
    say("stopping after this step, with a checkpoint; once more stops at once, without")


def run_recipes() -> None:
    """`ie recipes`: names and descriptions on stdout."""
    from ie_cli.recipe.bundled import list_recipes

    recipes = list_recipes()
    width = max((len(recipe.name) for recipe in recipes), default=0)
    with open_output("-") as out:
        for recipe in recipes:
            out.write(f"{recipe.name.ljust(width)}  {recipe.description}\n")


def run_copy(name: str, destination: Path | None, *, force: bool) -> None:
    """`ie recipes copy`."""
    from ie_cli.recipe.bundled import copy_recipe

    path = copy_recipe(name, destination or Path(os.curdir), force=force)
    say(f"wrote {path}; its data are, or belong, in {path.parent / 'data'}")
