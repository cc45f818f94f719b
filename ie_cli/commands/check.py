"""`ie check`: what is wrong with a recipe and its data."""

from __future__ import annotations

from collections.abc import Sequence

from ie_cli.commands.console import say, warn
from ie_cli.commands.recipe_argument import read_recipe
from ie_cli.errors import DataError


def run_check(name: str, overrides: Sequence[str]) -> None:
    """`ie check`: findings on stderr; an error where one of them is."""
    from ie_cli.doctor.data_checks import check

    recipe = read_recipe(name, overrides)
    errors = 0
    for finding in check(recipe):
        (warn if finding.kind == "warning" else say)(
            f"error: {finding.text}" if finding.kind == "error" else finding.text
        )
        errors += finding.kind == "error"
    if errors:
        raise DataError(f"{errors} error{'s' if errors > 1 else ''} in recipe or data", hint="see the lines above.")
