"""The recipes and data bundled with `ie`: in the wheel under `ie_cli/_shipped`, in a checkout next to the package."""

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
class BundledRecipe:
    """A bundled recipe, with the description from its first line that is not for editors alone."""

    name: str
    description: str
    path: Path


def bundled_directory() -> Path:
    """Return the directory that contains `recipes/` and `data/`."""
    package = Path(__file__).parent.parent
    inside = package / "_shipped"
    return inside if inside.is_dir() else package.parent


def list_recipes() -> list[BundledRecipe]:
    """List all bundled recipes; a name is the path below `recipes/` without the suffix."""
    directory = bundled_directory() / "recipes"
    recipes = []
    for path in sorted(directory.rglob("*.yaml")):
        lines = path.read_text(encoding="utf-8").split("\n")
        first = next(line for line in (*lines, "") if not _FOR_EDITORS.match(line))
        description = first[1:].strip() if first.startswith("#") else ""
        recipes.append(BundledRecipe(path.relative_to(directory).with_suffix("").as_posix(), description, path))
    return recipes


def find_recipe(name: str) -> BundledRecipe | None:
    """Return the bundled recipe of a name, or None if there is none and the name is that of a file.

    Raises:
        RecipeError: neither exists, and the name is similar to that of a bundled recipe.
    """
    recipes = {recipe.name: recipe for recipe in list_recipes()}
    if name not in recipes and not Path(name).suffix and not os.path.exists(name) and nearest(name, recipes):
        raise RecipeError(
            f"{name}: no such recipe{did_you_mean(name, recipes)}", hint="list the recipes with `ie recipes`."
        )
    return recipes.get(name)


def copy_recipe(name: str, destination: Path, *, force: bool = False) -> Path:
    """Copy a bundled recipe and the bundled data that it names, so that it runs from its new location.

    Args:
        name: the name of the recipe.
        destination: a directory, or the file to write. Data are copied to `data/` next to it; a recipe for data that are not
            bundled looks for them there.
        force: whether to replace existing files.

    Raises:
        RecipeError: there is no such recipe, or a file exists already.
        StorageError: a file cannot be written; those before it are complete.
    """
    recipe = next((recipe for recipe in list_recipes() if recipe.name == name), None)
    if recipe is None:
        names = [known.name for known in list_recipes()]
        raise RecipeError(f"no recipe '{name}'{did_you_mean(name, names)}", hint=f"choose one of {', '.join(names)}.")
    target = destination / recipe.path.name if destination.is_dir() else destination
    if not target.parent.is_dir():
        raise RecipeError(f"{target}: there is no directory {target.parent}", hint="create it first.")
    text = re.sub(r"(\.\./)+data/", "data/", recipe.path.read_text(encoding="utf-8"))
    copies = _missing_data(text, target.parent)
    for path in [target, *copies]:
        if path.exists() and not force:
            other = "name" if path == target else "directory: the recipe's data are copied to data/ next to it"
            raise RecipeError(f"{path} exists already", hint=f"replace it with --force, or choose another {other}.")
    for path, source in copies.items():
        with storing(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, source.read_bytes())
    _write(target, text.encode("utf-8"))
    return target


def missing_files(recipe: Path) -> list[Path]:
    """Return the data files that a copied recipe names and that are not there: not all data are bundled."""
    text = re.sub(r"(?m)^\s*#.*$", "", recipe.read_text(encoding="utf-8"))
    names = re.findall(r"\bdata/([^\s'\",\]}]+)", text)
    paths = dict.fromkeys(recipe.parent / "data" / name for name in names)
    return [path for path in paths if not path.is_file()]


def _write(path: Path, content: bytes) -> None:
    with open_output(str(path)) as out:
        out.write(content.decode("utf-8"))


def _missing_data(text: str, directory: Path) -> dict[Path, Path]:
    """Map new files to bundled files, for the bundled data that a recipe names and a directory lacks."""
    shipped = bundled_directory() / "data"
    copies: dict[Path, Path] = {}
    for inside in re.findall(r"\bdata/([^\s'\",\]}]+)", text):
        source, path = shipped / inside, directory / "data" / inside
        if source.is_file() and not (path.is_file() and path.read_bytes() == source.read_bytes()):
            copies[path] = source
    return copies
