"""What a run of a recipe would cost, for `ie check`."""

from __future__ import annotations

from collections.abc import Sequence

from ie_cli.commands.console import say
from ie_cli.commands.recipe_argument import read_recipe
from ie_cli.errors import IEError, counted, duration


def report_cost(name: str, overrides: Sequence[str]) -> None:
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
