"""Check that the names in a data section occur in the data."""

from __future__ import annotations

from collections.abc import Collection

from ie_cli.errors import RecipeError, did_you_mean
from ie_cli.recipe.schema import DataSection


def unknown_name(section: DataSection, found: Collection[str], known: Collection[str]) -> RecipeError | None:
    """Return an error if `data.rename` or `data.ignore` has a name that does not occur, or None.

    Args:
        section: the data section of the recipe.
        found: those names that occurred when all splits were read.
        known: the labels and predicates of the data after renaming.
    """
    known = set(known) - {new for old, new in section.rename.items() if old in found} | set(found)
    for field, names in (("rename", section.rename), ("ignore", section.ignore or ())):
        for name in names:
            if name not in found:
                return RecipeError(
                    f"data.{field}: the data contain no label or predicate '{name}'{did_you_mean(name, known)}",
                    hint=f"use one of: {', '.join(sorted(known)[:20])}",
                )
    return None
