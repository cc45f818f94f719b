"""The field `data.fold`: a part of the training data, chosen by a text hash, that becomes development data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ie_cli.recipe.schema import TaskSection
    from ie_cli.recipe.yaml import Loc

FOLD = r"^[1-9][0-9]{0,3}/[1-9][0-9]{0,3}$"
"""The pattern of the field."""
FOLD_TEXT = "a fold and the number of folds, such as 2/5"


def fold_of(value: str) -> tuple[int, int]:
    """Return the number of a fold, from 1, and the number of folds.

    >>> fold_of("2/5")
    (2, 5)
    """
    number, _, count = value.partition("/")
    return int(number), int(count)


def fold_problems(section: TaskSection) -> Iterator[tuple[Loc, str]]:
    """Yield what is wrong with the fold of a task, and a message."""
    data = section.data
    if data.fold is None:
        return
    number, count = fold_of(data.fold)
    if number > count or count < 2:
        yield ("data", "fold"), f"got '{data.fold}', expected {FOLD_TEXT}, with at least two folds"
    if data.dev is not None:
        yield ("data", "fold"), "the fold is the development data: remove data.dev"
