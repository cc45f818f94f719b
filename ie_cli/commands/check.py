"""`ie check`: find problems in recipes and their data."""

from __future__ import annotations

from collections.abc import Sequence

from ie_cli.commands.console import duration, print_error, say, warn
from ie_cli.commands.recipe_argument import read_recipe
from ie_cli.errors import DataError, IEError, counted


def run_check(names: Sequence[str], overrides: Sequence[str], *, time: bool = True) -> None:
    """Print the findings to stderr.

    With several recipes, each one is checked, whatever is wrong with another, and each finding names its recipe.

    Args:
        names: the recipes.
        overrides: overrides of their fields.
        time: time a few training steps if there is only one recipe and it has no errors.

    Raises:
        DataError: at least one finding is an error.
    """
    if len(names) == 1:
        if errors := _check(names[0], overrides):
            raise DataError(f"{counted(errors, 'error')} in the recipe or data", hint="see the lines above.")
        if time:
            _report_cost(names[0], overrides)
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


def _report_cost(name: str, overrides: Sequence[str]) -> None:
    """Print what a run would cost here; if it cannot be measured, that is no finding about the recipe."""
    from ie_cli.training.cost import estimate_cost

    try:
        cost = estimate_cost(read_recipe(name, overrides, quiet=True))
    except IEError as error:
        say(f"the cost of a run was not measured: {error.message}")
        return
    except (
        Exception
    ) as error:  # whatever a custom head raises; `ie train` will raise it, but the recipe and data are checked
        say(f"the cost of a run was not measured: {type(error).__name__}: {error}")
        return
    about = "" if cost.exact else "about "
    threads = f" with {counted(cost.threads, 'thread')}" if cost.device == "cpu" else ""
    memory = "" if cost.memory is None else f"; peak memory about {cost.memory / 1e9:.1f} GB"
    parts = (
        ""
        if cost.parts == 1
        else f"; each batch has to be computed in {cost.parts} parts, because memory is insufficient"
    )
    say(
        f"cost on {cost.device}{threads} in {cost.precision}: {about}{counted(cost.steps, 'step')} in "
        f"{counted(cost.epochs, 'epoch')}, about {cost.step_seconds:.2g} s each: about {duration(cost.seconds)} with "
        f"evaluations{memory}{parts}"
    )
    for window in cost.windows:
        say(
            f"encoder.max_length: {window.max_length} with encoder.stride: {window.stride} would take about "
            f"{duration(window.seconds)} instead of {duration(cost.seconds)}, and lose no more of the {window.total} gold items "
            f"in {counted(window.documents, 'example')}; the model would see less context"
        )


def _check_one_of_several(name: str, overrides: Sequence[str]) -> bool:
    """Return whether a recipe has errors; one that cannot be read is reported like a finding."""
    try:
        return _check(name, overrides, prefix=f"{name}: ") > 0
    except IEError as error:
        # The message of a recipe that cannot be read already starts with its file.
        message = error.message if error.message.startswith(name) else f"{name}: {error.message}"
        print_error(IEError(message, hint=error.hint))
        return True
