from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.runner import ie, said

from ie_cli.commands.recipe_argument import read_recipe
from ie_cli.errors import RecipeError, StorageError
from ie_cli.recipe import bundled as shipped
from ie_cli.recipe.bundled import bundled_directory, copy_recipe, find_recipe, list_recipes, missing_files
from ie_cli.recipe.heads import HEADS
from ie_cli.recipe.loader import load_recipe
from ie_cli.system import atomic

REPOSITORY = Path(__file__).parent.parent.parent
RECIPES = sorted((REPOSITORY / "recipes").rglob("*.yaml"))


def test_there_are_recipes() -> None:
    assert RECIPES
    assert [recipe.path for recipe in list_recipes()] == RECIPES
    assert "quickstart" in [recipe.name for recipe in list_recipes()]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.relative_to(REPOSITORY / "recipes").as_posix())
def test_every_shipped_recipe_is_valid_short_and_described(path: Path) -> None:
    load_recipe(path)
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 30
    assert lines[0].startswith("# ")
    assert len(lines[0]) > 20


def test_their_runs_have_separate_directories() -> None:
    names = [load_recipe(path).name for path in RECIPES]
    assert len(set(names)) == len(names)


def sources(path: Path) -> list[str]:
    data = load_recipe(path).data
    given = [data.train, data.dev, data.test]
    return [one for value in given for one in (value if isinstance(value, list) else [value]) if isinstance(one, str)]


def test_the_quickstart_finds_its_data_from_any_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = find_recipe("quickstart")
    assert recipe is not None
    assert all(Path(source).is_file() for source in sources(recipe.path))


@pytest.mark.parametrize("name", HEADS)
def test_a_quickstart_works_with_every_head(name: str) -> None:
    [task] = HEADS[name].tasks
    first, *others = {
        "ner": ["quickstart"],
        "relation": ["quickstart-relations", "quickstart-en"],
        "match": ["sim-afqmc-cosent", "sim-stsb-cosent"],
    }[task]
    directory = bundled_directory() / "recipes"
    assert load_recipe(directory / f"{first}.yaml", [f"head.name={name}"]).head.name == name
    for recipe in (first, *others):
        assert load_recipe(directory / f"{recipe}.yaml", [f"head={name}"]).head.name == name


def test_the_wheel_carries_the_data_of_every_recipe_that_has_them_here() -> None:
    files = [Path(source).resolve() for path in RECIPES for source in sources(path)]
    folders = {file.parent.relative_to(REPOSITORY).as_posix() for file in files if file.is_file()}
    assert folders == {"data/quickstart", "data/quickstart-en", "data/relations"}
    included = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    assert all(f'"{folder}" = "ie_cli/_shipped/{folder}"' in included for folder in folders)


def test_a_copy_brings_its_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = copy_recipe("quickstart", Path())
    assert path == Path("quickstart.yaml")
    assert all(Path(source).is_file() for source in sources(path))
    assert all(Path(source).parts[0] == "data" for source in sources(path))
    assert load_recipe(path).encoder == load_recipe(RECIPES[[p.stem for p in RECIPES].index("quickstart")]).encoder


def test_a_copy_may_have_another_name_and_shares_data(tmp_path: Path) -> None:
    copy_recipe("quickstart", tmp_path)
    path = copy_recipe("quickstart", tmp_path / "mine.yaml")
    assert path == tmp_path / "mine.yaml"
    assert all(Path(source).is_file() for source in sources(path))


def test_existing_files_stay(tmp_path: Path) -> None:
    target = tmp_path / "quickstart.yaml"
    target.write_text("mine", encoding="utf-8")
    with pytest.raises(RecipeError, match=r"(?m)quickstart\.yaml exists already$") as raised:
        copy_recipe("quickstart", tmp_path)
    assert "--force" in str(raised.value.hint)
    assert [path.name for path in tmp_path.iterdir()] == ["quickstart.yaml"]
    assert target.read_text(encoding="utf-8") == "mine"
    copy_recipe("quickstart", tmp_path, force=True)
    assert load_recipe(target).name == "quickstart"


def test_other_data_of_the_same_name_stay(tmp_path: Path) -> None:
    other = tmp_path / "data" / "quickstart" / "train.json"
    other.parent.mkdir(parents=True)
    other.write_text("mine", encoding="utf-8")
    with pytest.raises(RecipeError, match=r"(?m)train\.json exists already$"):
        copy_recipe("quickstart", tmp_path)
    assert not (tmp_path / "quickstart.yaml").exists()
    assert other.read_text(encoding="utf-8") == "mine"


def test_a_full_disk_leaves_no_half_file_and_the_next_try_succeeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = atomic.sync
    for fails_at in (1, 2, 3):
        directory = tmp_path / str(fails_at)
        directory.mkdir()
        calls = itertools.count(1)

        def full(path: Path, calls: Iterator[int] = calls, last: int = 2 * fails_at - 1) -> None:
            if next(calls) == last:  # of each file the content is synced, then its name
                raise OSError(28, "No space left on device")
            real(path)

        with monkeypatch.context() as patch:
            patch.setattr(atomic, "sync", full)
            with pytest.raises(StorageError, match=r"(train|dev|test)\.json: No space left|yaml: No space left"):
                copy_recipe("quickstart", directory)
        whole = {path.name for path in directory.rglob("*.*")}
        assert len(whole) == fails_at - 1
        path = copy_recipe("quickstart", directory)
        for source in sources(path):
            shipped_file = bundled_directory() / "data" / Path(source).relative_to(directory / "data")
            assert Path(source).read_bytes() == shipped_file.read_bytes()
        assert not [path for path in directory.rglob(".*")]


def test_a_copy_keeps_the_mode_and_the_link_of_what_it_replaces(tmp_path: Path) -> None:
    copy_recipe("quickstart", tmp_path)
    data = tmp_path / "data" / "quickstart" / "train.json"
    for file in (tmp_path / "quickstart.yaml", data):
        file.write_text("old", encoding="utf-8")
        file.chmod(0o600)
    data.rename(tmp_path / "real.json")
    data.symlink_to(tmp_path / "real.json")
    copy_recipe("quickstart", tmp_path, force=True)
    assert data.is_symlink()
    for file in (tmp_path / "quickstart.yaml", data):
        assert file.stat().st_mode & 0o777 == 0o600
        assert file.stat().st_size > 100


@pytest.mark.skipif(not os.path.exists("/dev/null"), reason="no devices")
def test_a_device_stays_one(tmp_path: Path) -> None:
    copy_recipe("quickstart", tmp_path)
    (tmp_path / "null.yaml").symlink_to("/dev/null")
    copy_recipe("quickstart", tmp_path / "null.yaml", force=True)
    assert (tmp_path / "null.yaml").is_char_device()


def test_unknown_recipe() -> None:
    with pytest.raises(RecipeError, match=r"(?m)^no recipe 'quikstart'; did you mean 'quickstart'\?$"):
        copy_recipe("quikstart", Path())
    with pytest.raises(RecipeError, match=r"(?m)^quikstart: no such recipe; did you mean 'quickstart'\?$"):
        find_recipe("quikstart")
    with pytest.raises(RecipeError, match=r"(?m)^no recipe 'xyzzy'$"):
        copy_recipe("xyzzy", Path())


@pytest.mark.parametrize("name", ["xyzzy", "quickstart.yaml", "mine/quickstart.yml"])
def test_what_is_the_name_of_a_file(name: str) -> None:
    assert find_recipe(name) is None


def test_missing_directory(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no directory"):
        copy_recipe("quickstart", tmp_path / "no" / "quickstart.yaml")


def test_recipes_in_directories_and_for_data_that_are_not_bundled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = tmp_path / "package"
    (inside / "recipes" / "zh").mkdir(parents=True)
    (inside / "data").mkdir()
    (inside / "recipes" / "zh" / "cluener.yaml").write_text(
        "name: cluener\ndata: {train: ../../data/cluener/train.json}\nencoder: {name: tiny}\n", encoding="utf-8"
    )
    monkeypatch.setattr(shipped, "bundled_directory", lambda: inside)
    assert [(recipe.name, recipe.description) for recipe in list_recipes()] == [("zh/cluener", "")]
    path = copy_recipe("zh/cluener", tmp_path)
    assert load_recipe(path).data.train == str(tmp_path / "data" / "cluener" / "train.json")


def test_in_a_wheel_the_directory_is_in_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "site-packages" / "ie_cli"
    (package / "_shipped").mkdir(parents=True)
    for name in ("recipes", "data"):
        shutil.copytree(REPOSITORY / name, package / "_shipped" / name)
    monkeypatch.setattr(shipped, "__file__", str(package / "recipe" / "bundled.py"))
    assert bundled_directory() == package / "_shipped"
    assert all(
        Path(source).is_file()
        for recipe in list_recipes()
        if recipe.name == "quickstart"
        for source in sources(recipe.path)
    )


def test_data_that_are_not_bundled_are_named(tmp_path: Path) -> None:
    """A copy of a recipe for a corpus cannot run before the corpus is there, and does not claim otherwise."""
    corpus = said(ie("recipes", "copy", "ner-cluener-egp", str(tmp_path)))
    assert "its data are not bundled: put them at" in corpus
    assert all(str(tmp_path / "data" / "cluener" / name) in corpus for name in ("train.json", "dev.json"))
    bundled = said(ie("recipes", "copy", "quickstart", str(tmp_path)))
    assert f"it reads its data from {tmp_path / 'data'}" in bundled
    (tmp_path / "data" / "cluener").mkdir()
    for name in ("train.json", "dev.json"):
        (tmp_path / "data" / "cluener" / name).touch()
    assert missing_files(tmp_path / "ner-cluener-egp.yaml") == []


def test_a_directory_does_not_hide_the_recipe_of_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run may be stored in a directory that is called like its recipe; a file of that name is the recipe."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quickstart").mkdir()
    assert read_recipe("quickstart", []).name == "quickstart"
    (tmp_path / "quickstart").rmdir()
    copied = copy_recipe("quickstart", tmp_path)
    copied.write_text(copied.read_text(encoding="utf-8").replace("name: quickstart", "name: own"), encoding="utf-8")
    copied.rename(tmp_path / "quickstart")
    assert read_recipe("quickstart", []).name == "own"
