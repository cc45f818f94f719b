"""`ie init`: propose a recipe for some data."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from ie_cli.commands.console import say
from ie_cli.commands.inputs import Input
from ie_cli.commands.sources import Sources
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
    sources = Sources.find(given, quiet=False)
    sources.require_exist()
    from huggingface_hub import constants

    from ie_cli.doctor.recipe_proposal import propose_recipe
    from ie_cli.doctor.split_files import require_utf8
    from ie_cli.recipe.json_schema import editor_line

    first, paths, found = sources.files[0], sources.paths, set(sources.found)
    name = given[0].path
    if is_replaceable(output) and os.path.realpath(os.path.dirname(output)) != os.path.realpath(os.curdir):
        # The paths of a recipe are relative to its directory.
        paths, found = list(map(_absolute, paths)), set(map(_absolute, found))
        name, encoder = _absolute(name), encoder and _absolute(encoder)
    require_utf8([*paths, *(first.named_columns or ()), first.joiner or "", encoder or ""])
    files = _files(paths, found, first) if sources.are_several else None
    if not os.path.isdir(name):
        name = paths[0] if files is None else files.train[0]
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


def _files(paths: Sequence[str], found: Collection[str], first: Input) -> SplitFiles:
    """Sort files into splits, and say which are what.

    Raises:
        DataError: stdin is one of several inputs, or there are no training data.
    """
    from ie_cli.doctor.split_files import SplitFiles

    if "-" in paths:
        raise DataError("stdin is one of several inputs, but has no name that says its split", hint="name files only.")
    files = SplitFiles.of(paths, found=found, format=first.format, reading=first.reading())
    say(files.describe())
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
