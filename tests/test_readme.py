"""The two READMEs say the same commands, and what they say exists."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

from ie_cli.cli import app
from ie_cli.formats import FORMATS
from ie_cli.recipe.loader import load_recipe

ROOT = Path(__file__).parent.parent
READMES = ["README.md", "README.zh-CN.md"]


def blocks(name: str, language: str | None = None) -> list[str]:
    """The code blocks of a README, of all languages or one."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", (ROOT / name).read_text(encoding="utf-8"), re.M | re.S)
    return [text for marked, text in found if language is None or marked == language]


def commands() -> list[list[str]]:
    """The words of every `ie` command of the README and of what `make demo` says at its end."""
    lines = [line for block in blocks("README.md", "sh") for line in block.splitlines()]
    lines += re.findall(r'^\t@?(?:echo ")?\s*(\$\(BIN\)/ie .*?)"?$', (ROOT / "Makefile").read_text(), re.M)
    found = []
    for line in lines:
        for part in line.replace("$(BIN)/", "").split("|"):
            words = shlex.split(part, comments=True)
            if words and words[0] == "ie":
                found.append(words[1:])
    return found


def test_both_have_the_same_blocks() -> None:
    assert blocks("README.md")
    assert blocks("README.md") == blocks("README.zh-CN.md")


def test_the_first_two_commands_set_up_everything() -> None:
    first = [line.split("#")[0].strip() for line in blocks("README.md", "sh")[0].splitlines()]
    assert first == ["make demo", "make test"]
    makefile = (ROOT / "Makefile").read_text()
    assert all(re.search(rf"^{line.split()[1]}:", makefile, re.M) for line in first)


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_and_option_exists(words: list[str]) -> None:
    command = typer.main.get_command(app)
    while words and words[0] in getattr(command, "commands", {}):
        command, words = command.commands[words[0]], words[1:]  # type: ignore[attr-defined]
    assert not getattr(command, "commands", {}) or not words or getattr(command, "invoke_without_command", False)
    options = {name for parameter in command.params for name in parameter.opts}
    assert {word for word in words if re.match("--?[a-z]", word)} <= options


def test_there_are_commands_to_test() -> None:
    expected = {"init", "export", "check", "train", "eval", "predict", "convert", "recipes", "serve", "show"}
    assert {words[0] for words in commands()} == expected


@pytest.mark.parametrize("number", range(len(blocks("README.md", "yaml"))))
def test_the_recipes_are_valid(number: int, tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(blocks("README.md", "yaml")[number], encoding="utf-8")
    assert load_recipe(tmp_path / "recipe.yaml").name == "my-run"


def test_the_python_is_python() -> None:
    for block in blocks("README.md", "python"):
        compile(block, "README.md", "exec")
        assert "Extractor.from_pretrained" in block


@pytest.mark.parametrize("name", READMES)
def test_every_format_is_named(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert all(f"| `{format}" in text for format in FORMATS)


@pytest.mark.parametrize("name", [*READMES, "CONTRIBUTING.md", "data/README.md"])
def test_links_lead_somewhere(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    targets = re.findall(r"\]\((?!https?://)([^)#]+)", text)
    assert all((ROOT / name).parent.joinpath(target).exists() for target in targets), targets
    assert "@" not in re.sub(r"`[^`]*`", "", text), "a place is left to fill in"
