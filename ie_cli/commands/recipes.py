"""`ie recipes`: list or copy bundled recipes."""

from __future__ import annotations

import os
from pathlib import Path

from ie_cli.commands.console import say
from ie_cli.system.streams import open_output


def run_recipes() -> None:
    """Write the names and descriptions of the bundled recipes to stdout."""
    from ie_cli.recipe.bundled import list_recipes

    recipes = list_recipes()
    width = max((len(recipe.name) for recipe in recipes), default=0)
    with open_output("-") as out:
        for recipe in recipes:
            out.write(f"{recipe.name.ljust(width)}  {recipe.description}\n")


def run_copy(name: str, destination: Path | None, *, force: bool) -> None:
    """Copy a bundled recipe to a file."""
    from ie_cli.recipe.bundled import copy_recipe

    path = copy_recipe(name, destination or Path(os.curdir), force=force)
    say(f"wrote {path}; its data directory is {path.parent / 'data'}")
