"""`ie show`: print a complete recipe."""

from __future__ import annotations

from collections.abc import Sequence

from ie_cli.commands.recipe_argument import read_recipe
from ie_cli.system.streams import open_output


def run_show(name: str, overrides: Sequence[str], *, help_fields: bool) -> None:
    """Write a recipe with all defaults to stdout."""
    from ie_cli.recipe.loader import dump_recipe

    recipe = read_recipe(name, overrides)
    with open_output("-") as out:
        out.write(dump_recipe(recipe, explain=help_fields))


def run_show_schema() -> None:
    """Write the JSON Schema of recipes to stdout."""
    from ie_cli.recipe.json_schema import schema_text

    with open_output("-") as out:
        out.write(schema_text())
