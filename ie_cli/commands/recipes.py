"""`ie recipes`: list or copy bundled recipes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from ie_cli.commands.arguments import Debug
from ie_cli.commands.completion import complete_recipe
from ie_cli.commands.console import say
from ie_cli.system.streams import open_output

recipes_app = typer.Typer(help="List the bundled recipes, or copy one.", invoke_without_command=True)


@recipes_app.callback()
def recipes(context: typer.Context, debug: Debug = False) -> None:
    """List the bundled recipes, or copy one."""
    if context.invoked_subcommand is None:
        run_recipes()


@recipes_app.command("copy")
def copy(
    name: Annotated[str, typer.Argument(help="A name listed by `ie recipes`.", autocompletion=complete_recipe)],
    destination: Annotated[
        Path | None, typer.Argument(help="File or directory; the current directory if omitted.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    debug: Debug = False,
) -> None:
    """Copy a recipe to a file that you can edit."""
    run_copy(name, destination, force=force)


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
    from ie_cli.recipe.bundled import copy_recipe, missing_files

    path = copy_recipe(name, destination or Path(os.curdir), force=force)
    if missing := missing_files(path):
        say(f"wrote {path}; its data are not bundled: put them at {', '.join(map(str, missing))}, or change the paths")
    else:
        say(f"wrote {path}; it reads its data from {path.parent / 'data'}")
