"""The runs that `ie train --seeds N` and `--folds K` compare."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from ie_cli.errors import RecipeError
from ie_cli.recipe.schema import DataSection, Recipe

Kind = Literal["seed", "fold"]
"""What the runs differ in: the seed, or the part of the training data that is the development data."""
_LARGEST_SEED = 2**32 - 1
MOST_FOLDS = 1000
"""The largest number of folds; `data.fold` allows more digits, but every fold is a run of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One of several runs.

    Attributes:
        label: its seed, or the number of its fold.
        name: the name of its directory.
    """

    label: str
    name: str
    recipe: Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesPlan:
    """Several runs that are compared, in their order."""

    kind: Kind
    members: tuple[Member, ...]

    @property
    def option(self) -> str:
        """The option of `ie train` that makes these runs."""
        return f"--{self.kind}s {len(self.members)}"

    @property
    def names(self) -> list[str]:
        """The names of the directories."""
        return [member.name for member in self.members]


def seeds_plan(recipe: Recipe, count: int) -> SeriesPlan:
    """Return runs with consecutive seeds, from `training.seed`.

    Raises:
        RecipeError: there are fewer than two seeds, a seed is too large, or the recipe has no data to compare models on.
    """
    if count < 2:
        raise RecipeError(f"--seeds: got {count}, expected at least 2", hint="omit it to train a single model.")
    first = recipe.training.seed
    if first + count - 1 > _LARGEST_SEED:
        raise RecipeError(
            f"training.seed: {first} and the {count - 1} seeds after it exceed {_LARGEST_SEED}",
            hint="use a smaller seed.",
        )
    sections = recipe.instances().values()
    if not any(section.data.has_dev or section.data.test is not None for section in sections):
        raise RecipeError(
            "--seeds compares models, but the recipe has neither data.dev nor data.test",
            hint="data.dev: 0.1 splits development data off the training data.",
        )
    members = [
        _member("seed", str(seed), recipe.model_copy(update={"training": _with(recipe.training, seed=seed)}))
        for seed in range(first, first + count)
    ]
    return SeriesPlan(kind="seed", members=tuple(members))


def folds_plan(recipe: Recipe, count: int) -> SeriesPlan:
    """Return runs that each use one fold of the training data as development data; a fraction in `data.dev` is replaced.

    Raises:
        RecipeError: the number of folds is not possible, or the recipe names other development data.
    """
    if not 2 <= count <= MOST_FOLDS:
        raise RecipeError(f"--folds: got {count}, expected a number from 2 to {MOST_FOLDS}", hint="5 or 10 are usual.")
    for name, section in recipe.instances().items():
        where = f"tasks.{name}.data" if recipe.tasks else "data"
        _validate_data(section.data, where)
    return SeriesPlan(
        kind="fold",
        members=tuple(
            _member("fold", str(number), _with_fold(recipe, f"{number}/{count}")) for number in range(1, count + 1)
        ),
    )


def _validate_data(data: DataSection, where: str) -> None:
    """Check that a fold can be the development data.

    Raises:
        RecipeError: the recipe names other development data.
    """
    if data.fold is not None:
        raise RecipeError(
            f"--folds sets {where}.fold, but the recipe has it, too ({data.fold})", hint=f"remove {where}.fold."
        )
    if data.dev is not None and not isinstance(data.dev, float):
        files = ", ".join([data.dev] if isinstance(data.dev, str) else data.dev)
        raise RecipeError(
            f"--folds takes development data from {where}.train, but {where}.dev names {files}",
            hint=f"omit them with --set {where}.dev=null; with --set {where}.test=FILE, every fold's model is scored on them.",
        )


def _with_fold(recipe: Recipe, fold: str) -> Recipe:
    if not recipe.tasks:
        return recipe.model_copy(update={"data": _with(recipe.data, dev=None, fold=fold)})
    tasks = {
        name: _with(section, data=_with(section.data, dev=None, fold=fold)) for name, section in recipe.tasks.items()
    }
    return recipe.model_copy(update={"tasks": tasks})


def _with(section: Any, **fields: object) -> Any:
    return section.model_copy(update=fields)


def _member(kind: Kind, label: str, recipe: Recipe) -> Member:
    """Return a run whose recipe has a name of its own, by which tracking services and model cards distinguish it."""
    name = f"{kind}-{label}"
    return Member(label=label, name=name, recipe=recipe.model_copy(update={"name": f"{recipe.name}-{name}"}))
