"""`ie init -o`: the recipe is complete, or there is none."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.corpora import documents, write_jsonl
from support.runner import ie, said

from ie_cli.recipe.loader import load_recipe


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_jsonl(Path("data.jsonl"), documents())
    return tmp_path


def init(*arguments: str, data: str = "data.jsonl") -> tuple[int, str]:
    result = ie("init", data, "--encoder", "tiny", *arguments)
    return result.exit_code, said(result)


def test_a_recipe_is_written_to_a_file_as_to_stdout() -> None:
    code, message = init("-o", "recipe.yaml")
    assert (code, "wrote recipe.yaml" in message) == (0, True)
    printed = ie("init", "data.jsonl", "--encoder", "tiny")
    assert Path("recipe.yaml").read_text(encoding="utf-8") == printed.stdout
    assert load_recipe("recipe.yaml").data.train == "data.jsonl"


def test_an_error_leaves_no_file_and_keeps_an_earlier_one() -> None:
    Path("empty.jsonl").write_text("", encoding="utf-8")
    assert init("-o", "recipe.yaml", data="empty.jsonl")[0] == 1
    assert not Path("recipe.yaml").exists()
    Path("recipe.yaml").write_text("mine", encoding="utf-8")
    assert init("-o", "recipe.yaml", "--force", data="empty.jsonl")[0] == 1
    code, message = init("-o", "recipe.yaml")
    assert (code, "recipe.yaml exists already" in message, "--force" in message) == (1, True, True)
    assert Path("recipe.yaml").read_text(encoding="utf-8") == "mine"
    assert init("-o", "recipe.yaml", "--force")[0] == 0
    assert load_recipe("recipe.yaml").data.train == "data.jsonl"


def test_a_recipe_in_another_directory_finds_its_data() -> None:
    Path("recipes").mkdir()
    assert init("-o", "recipes/mine.yml")[0] == 0
    train = load_recipe("recipes/mine.yml").data.train
    assert isinstance(train, str)
    assert Path(train).resolve() == Path("data.jsonl").resolve()
    assert load_recipe("recipes/mine.yml").encoder.name == "tiny"


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("recipe.json", "recipe.json: a recipe is YAML"),
        ("no/recipe.yaml", "there is no directory"),
        (".", ".: is a directory"),
        ("data.yaml", "data.yaml: this file is also the input"),
    ],
)
def test_a_name_that_cannot_be_a_recipe_is_an_error(output: str, message: str) -> None:
    Path("data.yaml").write_bytes(Path("data.jsonl").read_bytes())
    code, shown = init("-o", output, "--force", data="data.yaml")
    assert (code, message in shown) == (1, True), shown
    assert Path("data.yaml").read_bytes() == Path("data.jsonl").read_bytes()
