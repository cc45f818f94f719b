"""The recipes and the data that come with `ie`: in the wheel under `ie_cli/_shipped`, in a checkout beside the package."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from ie_cli.errors import RecipeError
from ie_cli.suggest import did_you_mean


@dataclass(frozen=True, slots=True)
class ShippedRecipe:
    """A recipe with the sentence that its first line says of it."""

    name: str
    description: str
    path: Path


def shipped_folder() -> Path:
    """Where `recipes/` and `data/` are."""
    package = Path(__file__).parent
    inside = package / "_shipped"
    return inside if inside.is_dir() else package.parent


def list_recipes() -> list[ShippedRecipe]:
    """All recipes that come with `ie`, by name."""
    recipes = []
    for path in sorted((shipped_folder() / "recipes").glob("*.yaml")):
        first = path.read_text(encoding="utf-8").split("\n", 1)[0]
        recipes.append(ShippedRecipe(path.stem, first.removeprefix("#").strip(), path))
    return recipes


def find_recipe(name: str) -> ShippedRecipe | None:
    """The recipe of a name, None where there is none (the name is then a file's)."""
    return next((recipe for recipe in list_recipes() if recipe.name == name), None)


def copy_recipe(name: str, destination: Path, *, force: bool = False) -> Path:
    """Copy a recipe, and the shipped data that it names, so that it runs from where it stands.

    Args:
        destination: a folder, or the file to write. Data go into `data/` beside it.
        force: replace existing files.

    Raises:
        RecipeError: no such recipe, or a file exists.
    """
    recipe = find_recipe(name)
    if recipe is None:
        names = [known.name for known in list_recipes()]
        raise RecipeError(f"no recipe '{name}'{did_you_mean(name, names)}", hint=f"there are: {', '.join(names)}.")
    target = destination / recipe.path.name if destination.is_dir() else destination
    text = recipe.path.read_text(encoding="utf-8")
    data = shipped_folder() / "data"
    sources = {}
    for path in sorted(
        p for p in data.rglob("*") if p.is_file() and f"../data/{p.relative_to(data).as_posix()}" in text
    ):
        inside = path.relative_to(data)
        sources[target.parent / "data" / inside] = path
        text = text.replace(f"../data/{inside.as_posix()}", f"data/{inside.as_posix()}")
    for path in [target, *sources]:
        if path.exists() and not force and not (path in sources and path.read_bytes() == sources[path].read_bytes()):
            raise RecipeError(f"{path} exists already", hint="give another name, or --force to replace it.")
    if not target.parent.is_dir():
        raise RecipeError(f"no folder {target.parent}", hint=f"mkdir -p {target.parent}")
    for path, source in sources.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, path)
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, target)
    return target
