"""The recipes and the data that come with `ie`: in the wheel under `ie_cli/_shipped`, in a checkout beside the package."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from ie_cli.errors import RecipeError, did_you_mean, nearest
from ie_cli.system.atomic import storing
from ie_cli.system.streams import open_output

_FOR_EDITORS = re.compile(r"#\s*yaml-language-server\s*:")


@dataclass(frozen=True, slots=True)
class ShippedRecipe:
    """A recipe with the sentence that its first line says of it, or its second below a line for editors."""

    name: str
    description: str
    path: Path


def shipped_folder() -> Path:
    """Where `recipes/` and `data/` are."""
    package = Path(__file__).parent.parent
    inside = package / "_shipped"
    return inside if inside.is_dir() else package.parent


def list_recipes() -> list[ShippedRecipe]:
    """All recipes that come with `ie`, by name: the path below `recipes/` without its ending."""
    folder = shipped_folder() / "recipes"
    recipes = []
    for path in sorted(folder.rglob("*.yaml")):
        lines = path.read_text(encoding="utf-8").split("\n")
        first = next(line for line in (*lines, "") if not _FOR_EDITORS.match(line))
        description = first[1:].strip() if first.startswith("#") else ""
        recipes.append(ShippedRecipe(path.relative_to(folder).with_suffix("").as_posix(), description, path))
    return recipes


def find_recipe(name: str) -> ShippedRecipe | None:
    """The recipe of a name, None where there is none (the name is then a file's).

    Raises:
        RecipeError: there is none, and the name is no file's either but a slip of the pen.
    """
    recipes = {recipe.name: recipe for recipe in list_recipes()}
    if name not in recipes and not Path(name).suffix and not os.path.exists(name) and nearest(name, recipes):
        raise RecipeError(f"{name}: no such recipe{did_you_mean(name, recipes)}", hint="`ie recipes` lists them.")
    return recipes.get(name)


def copy_recipe(name: str, destination: Path, *, force: bool = False) -> Path:
    """Copy a recipe, and the shipped data that it names, so that it runs from where it stands.

    Args:
        destination: a folder, or the file to write. Data go into `data/` beside it; a recipe for data that do not come
            with `ie` looks for them there.
        force: replace existing files.

    Raises:
        RecipeError: no such recipe, or a file exists.
        StorageError: one cannot be written; those before it are whole.
    """
    recipe = next((recipe for recipe in list_recipes() if recipe.name == name), None)
    if recipe is None:
        names = [known.name for known in list_recipes()]
        raise RecipeError(f"no recipe '{name}'{did_you_mean(name, names)}", hint=f"there are: {', '.join(names)}.")
    target = destination / recipe.path.name if destination.is_dir() else destination
    if not target.parent.is_dir():
        raise RecipeError(f"{target}: no folder {target.parent}", hint="make it first.")
    text = re.sub(r"(\.\./)+data/", "data/", recipe.path.read_text(encoding="utf-8"))
    copies = _data_of(text, target.parent)
    for path in [target, *copies]:
        if path.exists() and not force:
            other = "another name" if path == target else "another folder: the recipe's data go into data/ beside it"
            raise RecipeError(f"{path} exists already", hint=f"give {other}; --force replaces it.")
    for path, source in copies.items():
        with storing(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, source.read_bytes())
    _write(target, text.encode("utf-8"))
    return target


def _write(path: Path, content: bytes) -> None:
    with open_output(str(path)) as out:
        out.write(content.decode("utf-8"))


def _data_of(text: str, folder: Path) -> dict[Path, Path]:
    """The shipped data that a recipe names and that are not in a folder yet: new file -> shipped file."""
    shipped = shipped_folder() / "data"
    copies: dict[Path, Path] = {}
    for inside in re.findall(r"\bdata/([^\s'\",\]}]+)", text):
        source, path = shipped / inside, folder / "data" / inside
        if source.is_file() and not (path.is_file() and path.read_bytes() == source.read_bytes()):
            copies[path] = source
    return copies
