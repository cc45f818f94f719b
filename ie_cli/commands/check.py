"""`ie check`: find problems in a recipe and its data."""

from __future__ import annotations

from collections.abc import Sequence

from ie_cli.commands.console import say, warn
from ie_cli.commands.recipe_argument import read_recipe
from ie_cli.errors import DataError, counted


def run_check(name: str, overrides: Sequence[str]) -> None:
    """Print the findings to stderr.

    Raises:
        DataError: at least one finding is an error.
    """
    from ie_cli.doctor.data_checks import check

    recipe = read_recipe(name, overrides)
    errors = 0
    for finding in check(recipe):
        (warn if finding.kind == "warning" else say)(
            f"error: {finding.text}" if finding.kind == "error" else finding.text
        )
        errors += finding.kind == "error"
    if errors:
        raise DataError(f"{counted(errors, 'error')} in the recipe or data", hint="see the lines above.")
