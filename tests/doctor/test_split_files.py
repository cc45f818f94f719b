"""Files of several names and formats, sorted into splits."""

from __future__ import annotations

import doctest
import sys
from pathlib import Path

import pytest
from support.runner import ie, said

from ie_cli.commands.inputs import Input
from ie_cli.commands.sources import Sources
from ie_cli.doctor.split_files import NO_ANNOTATION, NO_SPLIT, SplitFiles
from ie_cli.errors import DataError
from ie_cli.formats import directory_files
from ie_cli.formats.directory_files import split_of
from ie_cli.recipe.loader import load_recipe

LINE = '{"text": "Ann slept.", "entities": [{"start": 0, "end": 3, "label": "person"}]}\n'
COLUMNS = "Ann B-person\nslept O\n\n"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(**files: str) -> None:
    for name, text in files.items():
        path = Path(name.replace("__", "/").replace("_json", ".jsonl").replace("_bio", ".conll").replace("_md", ".md"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def sort(*paths: str, format: str | None = None) -> SplitFiles:
    sources = Sources.find([Input(path, format=format) for path in paths], quiet=True)
    return SplitFiles.of(sources.paths, found=sources.found, format=format)


def test_the_names_of_splits() -> None:
    assert doctest.testmod(directory_files) == (0, 1)
    named = (
        "Train.json",
        "x.validation.json",
        "test2.json",
        "training/a.json",
        "contest.json",
        "latest/b.json",
        "evaluate.json",
        "train_dev.json",
        "tests/test_run/a.json",
        "Valid/",
    )
    expected = ["train", "dev", "test", "train", None, None, None, "dev", None, "dev"]
    assert list(map(split_of, named)) == expected


def test_a_directory_of_several_formats() -> None:
    write(d__train_json=LINE, d__dev_bio=COLUMNS, d__test_json='{"text": "x"}\n', d__schema_json=LINE, d__notes_md="x")
    found = sort("d")
    assert (found.train, found.dev, found.test) == (("d/train.jsonl",), ("d/dev.conll",), ())
    assert found.left_out == (("d/schema.jsonl", NO_SPLIT), ("d/test.jsonl", NO_ANNOTATION))
    assert found.formats == {"conll"}


def test_a_directory_may_be_data_only_in_the_format_that_is_named() -> None:
    write(d__a__x="", d__b__x="")
    Path("d/a/x.ann").touch()
    with pytest.raises(DataError, match="no file with a suffix"):
        sort("d")
    assert sort("d", format="brat").train == ("d",)


def test_subdirectories_and_files_without_splits() -> None:
    write(d__train__a_json=LINE, d__train__b_json=LINE, d__valid__a_json=LINE, d__other__a_json=LINE)
    found = sort("d")
    assert (found.train, found.dev) == (("d/train/a.jsonl", "d/train/b.jsonl"), ("d/valid/a.jsonl",))
    write(one_json=LINE, two_json=LINE)
    assert sort("two.jsonl", "one.jsonl").train == ("two.jsonl", "one.jsonl")


def test_what_has_no_training_data_is_an_error() -> None:
    write(dev_json=LINE, test_json=LINE)
    with pytest.raises(DataError, match="no training data among dev.jsonl, test.jsonl"):
        sort("dev.jsonl", "test.jsonl")
    Path("empty").mkdir()
    with pytest.raises(DataError, match="empty: this directory contains no file"):
        sort("empty")


def test_a_recipe_of_a_directory_reads_all_its_files() -> None:
    write(d__train_a_json=LINE * 3, d__train_b_bio=COLUMNS * 2, d__dev_json=LINE, d__readme_json=LINE)
    result = ie("init", "d", "--encoder", "tiny", "-o", "recipe.yaml")
    assert result.exit_code == 0, result.stderr
    train = ", ".join(str(Path("d", name)) for name in ("train_a.jsonl", "train_b.conll"))
    assert f"train: {train}; dev: {Path('d/dev.jsonl')}; left out: readme.jsonl: its name says no split" in said(result)
    recipe = load_recipe("recipe.yaml")
    assert recipe.data is not None
    assert (recipe.name, recipe.data.train, recipe.data.dev) == (
        "d",
        ["d/train_a.jsonl", "d/train_b.conll"],
        "d/dev.jsonl",
    )
    assert recipe.data.format is None
    text = Path("recipe.yaml").read_text(encoding="utf-8")
    assert "# 5 examples, 5 entities." in text
    assert "# the files have several formats, which are detected: conll, jsonl" in text


def test_a_file_that_is_named_is_training_data_unless_its_name_says_otherwise() -> None:
    """`ie init` and `ie check` sort files in one way."""
    write(train_json=LINE * 4, more_json=LINE * 3, dev_json=LINE, d__train_json=LINE, d__more_json=LINE)
    for given, left_out in (
        (["train.jsonl", "more.jsonl", "dev.jsonl"], ()),
        (["*.jsonl"], ()),
        (["d"], ("more.jsonl",)),
    ):
        result = ie("init", *given, "--encoder", "tiny", "-o", "recipe.yaml", "--force")
        assert result.exit_code == 0, result.stderr
        data = load_recipe("recipe.yaml").data
        assert data is not None
        train = [data.train] if isinstance(data.train, str) else list(data.train)
        splits = f"train: {', '.join(train)}" + ("" if left_out else "; dev: dev.jsonl")
        assert sorted(train) == ([str(Path("d/train.jsonl"))] if left_out else ["more.jsonl", "train.jsonl"])
        rest = "".join(f"{name}: {NO_SPLIT}" for name in left_out)
        assert splits + (f"; left out: {rest}" if rest else "") in said(result)
        assert f"checked as {splits}" + (f"; not checked: {rest}" if rest else "") in said(ie("check", *given))


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such file names")
@pytest.mark.parametrize("command", ["init", "check"])
def test_a_name_that_no_recipe_can_contain_is_an_error(command: str) -> None:
    Path("a\udcff.jsonl").write_text(LINE, encoding="utf-8")
    result = ie(command, "a\udcff.jsonl")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "this name is not valid UTF-8, so that no recipe can contain it" in said(result)


def test_several_files_are_named_and_stdin_is_none_of_them() -> None:
    write(a__train_json=LINE * 4, b__dev_json=LINE)
    Path("recipes").mkdir()
    result = ie("init", "a/train.jsonl", "b/dev.jsonl", "--encoder", "tiny", "-o", "recipes/r.yaml")
    assert result.exit_code == 0, result.stderr
    recipe = load_recipe("recipes/r.yaml")
    assert recipe.data is not None
    assert recipe.data.format == "jsonl"
    assert recipe.data.dev == str(Path("b/dev.jsonl").resolve())
    wrong = ie("init", "-", "b/dev.jsonl", stdin=LINE)
    assert (wrong.exit_code, "stdin is one of several inputs" in said(wrong)) == (1, True)
    assert "a/none.jsonl" in said(ie("init", "a/train.jsonl", "a/none.jsonl"))
