"""The RECIPE argument, which several commands share."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ie_cli.recipe.schema import Recipe


def read_recipe(name: str, overrides: Sequence[str], *, quiet: bool = False) -> Recipe:
    """Read a recipe from a file, or a bundled recipe by its name.

    Args:
        name: the file, or the name.
        overrides: overrides of its fields.
        quiet: do not report the fields that overrides leave out.
    """
    from ie_cli.commands.console import say
    from ie_cli.recipe.bundled import find_recipe
    from ie_cli.recipe.loader import load_recipe

    is_file = os.path.exists(name) and not os.path.isdir(name)  # a run may have the name of its recipe
    bundled = None if is_file else find_recipe(name)
    return load_recipe(bundled.path if bundled else name, overrides, report=None if quiet else say)
