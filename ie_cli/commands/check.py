"""`ie check`: find problems in recipes and their data."""

from __future__ import annotations

from collections.abc import Sequence

from ie_cli.commands.console import print_error, say, warn
from ie_cli.commands.recipe_argument import read_recipe
from ie_cli.errors import DataError, IEError, counted


def run_check(names: Sequence[str], overrides: Sequence[str]) -> None:
    """Print the findings to stderr.

    With several recipes, each one is checked, whatever is wrong with another, and each finding names its recipe.

    Raises:
        DataError: at least one finding is an error.
    """
    if len(names) == 1:
        if errors := _check(names[0], overrides):
            raise DataError(f"{counted(errors, 'error')} in the recipe or data", hint="see the lines above.")
        return
    wrong = [name for name in names if _check_one_of_several(name, overrides)]
    if wrong:
        raise DataError(
            f"errors in {len(wrong)} of {len(names)} recipes: {', '.join(wrong)}", hint="see the lines above."
        )


def _check(name: str, overrides: Sequence[str], *, prefix: str = "") -> int:
    """Print the findings of a recipe and return the number of errors."""
    from ie_cli.doctor.data_checks import check

    errors = warnings = 0
    for finding in check(read_recipe(name, overrides)):
        (warn if finding.kind == "warning" else say)(
            f"error: {prefix}{finding.text}" if finding.kind == "error" else f"{prefix}{finding.text}"
        )
        errors += finding.kind == "error"
        warnings += finding.kind == "warning"
    if not errors and not warnings:
        say(f"{prefix}no problems found")
    return errors


def _check_one_of_several(name: str, overrides: Sequence[str]) -> bool:
    """Return whether a recipe has errors; one that cannot be read is reported like a finding."""
    try:
        return _check(name, overrides, prefix=f"{name}: ") > 0
    except IEError as error:
        # The message of a recipe that cannot be read already starts with its file.
        message = error.message if error.message.startswith(name) else f"{name}: {error.message}"
        print_error(IEError(message, hint=error.hint))
        return True
