"""`ie init`: propose a recipe for some data."""

from __future__ import annotations

from ie_cli.commands.inputs import Input
from ie_cli.system.streams import open_output


def run_init(data: Input, *, encoder: str | None) -> None:
    """Write a recipe that fits the data to stdout."""
    data.require_exists()
    from ie_cli.doctor.recipe_proposal import propose_recipe
    from ie_cli.recipe.json_schema import editor_line

    with open_output("-") as out:
        out.write(
            editor_line() + propose_recipe(data.path, format=data.format, encoder=encoder, reading=data.reading())
        )
