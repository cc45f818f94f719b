"""The argument RECIPE of several commands."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ie_cli.recipe.schema import Recipe


def read_recipe(name: str, overrides: Sequence[str]) -> Recipe:
    """A recipe by its file, or by the name of a shipped one."""
    from ie_cli.recipe.bundled import find_recipe
    from ie_cli.recipe.loader import load_recipe

    shipped = None if os.path.exists(name) else find_recipe(name)
    return load_recipe(shipped.path if shipped else name, overrides)
