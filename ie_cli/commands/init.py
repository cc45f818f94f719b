"""`ie init`: propose a recipe for some data."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ie_cli.commands.console import say
from ie_cli.commands.inputs import Input
from ie_cli.errors import DataError, RecipeError
from ie_cli.system.places import identity
from ie_cli.system.streams import is_replaceable, open_output, require_writable
from ie_cli.system.urls import is_url

if TYPE_CHECKING:
    from ie_cli.doctor.split_files import SplitFiles


def run_init(given: Sequence[Input], *, encoder: str | None, output: str = "-", force: bool = False) -> None:
    """Write a recipe that fits the data to a file, which nothing replaces or creates if it fails, or to stdout."""
    for data in given:
        _validate_output(output, data.path, force=force)
        if not os.path.isdir(data.path):
            data.require_exists()
    from huggingface_hub import constants

    from ie_cli.doctor.recipe_proposal import propose_recipe
    from ie_cli.recipe.json_schema import editor_line

    if is_replaceable(output) and os.path.realpath(os.path.dirname(output)) != os.path.realpath(os.curdir):
        # The paths of a recipe are relative to its directory.
        given = [replace(data, path=_absolute(data.path)) for data in given]
        encoder = encoder and _absolute(encoder)
    first, files = given[0], _files(given)
    name = first.path if files is None or os.path.isdir(first.path) else files.train[0]
    recipe = propose_recipe(
        name,
        files=files,
        format=first.format,
        encoder=encoder,
        reading=first.reading(),
        offline=constants.HF_HUB_OFFLINE,
    )
    with open_output(output) as out:
        out.write(editor_line() + recipe)
    if output != "-":
        say(f"wrote {output}")


def _files(given: Sequence[Input]) -> SplitFiles | None:
    """Sort several files or the files of directories into splits, and say which are left out; None for a single file.

    Raises:
        DataError: stdin is one of several inputs, or there are no training data.
    """
    from ie_cli.doctor.split_files import SplitFiles, describe_left_out
    from ie_cli.formats.directory_files import is_list_of_files

    paths = [data.path for data in given]
    if len(paths) == 1 and not is_list_of_files(paths[0], given[0].format):
        return None
    if "-" in paths:
        raise DataError("stdin is one of several inputs, but has no name that says its split", hint="name files only.")
    files = SplitFiles.of(paths, format=given[0].format, reading=given[0].reading())
    if files.left_out:
        say(f"left out: {describe_left_out(files.left_out)}")
    return files


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
