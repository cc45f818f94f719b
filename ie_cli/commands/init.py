"""`ie init`: propose a recipe for some data."""

from __future__ import annotations

import os
from dataclasses import replace

from ie_cli.commands.console import say
from ie_cli.commands.inputs import Input
from ie_cli.errors import RecipeError
from ie_cli.system.places import identity
from ie_cli.system.streams import is_replaceable, open_output, require_writable
from ie_cli.system.urls import is_url


def run_init(data: Input, *, encoder: str | None, output: str = "-", force: bool = False) -> None:
    """Write a recipe that fits the data to a file, which nothing replaces or creates if it fails, or to stdout."""
    _validate_output(output, data.path, force=force)
    data.require_exists()
    from huggingface_hub import constants

    from ie_cli.doctor.recipe_proposal import propose_recipe
    from ie_cli.recipe.json_schema import editor_line

    if is_replaceable(output) and os.path.realpath(os.path.dirname(output)) != os.path.realpath(os.curdir):
        # The paths of a recipe are relative to its directory.
        data, encoder = replace(data, path=_absolute(data.path)), encoder and _absolute(encoder)
    recipe = propose_recipe(
        data.path, format=data.format, encoder=encoder, reading=data.reading(), offline=constants.HF_HUB_OFFLINE
    )
    with open_output(output) as out:
        out.write(editor_line() + recipe)
    if output != "-":
        say(f"wrote {output}")


def _absolute(path: str) -> str:
    """Return the absolute path of a local file or directory; other names are unchanged."""
    return os.path.abspath(path) if os.path.exists(path) and not is_url(path) else path


def _validate_output(output: str, data: str, *, force: bool) -> None:
    """Check the name of the recipe before the data are read.

    Raises:
        RecipeError: it does not end like a recipe, or the file is the data or exists already.
        DataError: the file cannot be written.
    """
    if output == "-":
        return
    if os.path.splitext(output)[1].lower() not in (".yaml", ".yml", ""):
        raise RecipeError(f"{output}: a recipe is YAML", hint="use a name that ends in .yaml.")
    if not is_replaceable(output):
        return
    require_writable(output)
    if os.path.exists(output):
        if os.path.exists(data) and identity(output) == identity(data, reading=True):
            raise RecipeError(f"{output}: this file is also the input", hint="use another file for the recipe.")
        if not force:
            raise RecipeError(
                f"{output} exists already", hint="replace it with `ie init --force`, or choose another name."
            )
