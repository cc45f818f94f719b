"""`ie recipes`: the recipes that come with `ie`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from ie_cli.commands.arguments import Debug
from ie_cli.commands.completion import complete_recipe
from ie_cli.commands.console import say
from ie_cli.system.streams import open_output

recipes_app = typer.Typer(help="List the recipes that come with `ie`, or copy one.", invoke_without_command=True)


@recipes_app.callback()
def recipes(context: typer.Context, debug: Debug = False) -> None:
    """List the recipes that come with `ie`, or copy one."""
    if context.invoked_subcommand is None:
        run_recipes()


@recipes_app.command("copy")
def copy(
    name: Annotated[str, typer.Argument(help="A name that `ie recipes` lists.", autocompletion=complete_recipe)],
    destination: Annotated[
        Path | None, typer.Argument(help="File or folder; the current folder where not given.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    debug: Debug = False,
) -> None:
    """Write a recipe to a file of your own."""
    run_copy(name, destination, force=force)


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
