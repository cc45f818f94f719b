"""Every command, option, make target and extra that a page names exists, also in blocks that are not executed."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from itertools import pairwise
from typing import Any

import pytest
import typer
from site_links import prose
from support.page_shell import require_json
from support.pages import EXECUTED, ROOT, SHOWN, Block, Call, blocks, ie_words, pages, pipelines

from ie_cli.cli import app

DIRECTORIES = {"ie-cli": ".", "ie-cli-predict": "distributions/predict"}
"""Of the two distributions; `pip install` takes their names or these directories."""
SHELL = [block for page in pages() for block in blocks(page) if block.language == "sh"]


def calls(block: Block) -> list[Call]:
    return [call for pipeline in pipelines(block.text) for call in pipeline]


def makefile_commands() -> list[str]:
    """What `make demo` runs, and says at its end."""
    lines = re.findall(
        r'^\t@?(?:echo ")?\s*\$\(BIN\)/(ie .*?)"?$', (ROOT / "Makefile").read_text(encoding="utf-8"), re.M
    )
    assert lines
    return lines


@cache
def command_line() -> Any:
    """The commands as Click has them."""
    return typer.main.get_command(app)


def require_known(words: list[str]) -> None:
    """Fail where `ie` has no such command or option."""
    command = command_line()
    while words and words[0] in getattr(command, "commands", {}):
        command, words = command.commands[words[0]], words[1:]
    options = {name for parameter in command.params for name in [*parameter.opts, *parameter.secondary_opts]}
    options |= {"--help", "-h"}
    named = {word.split("=")[0] for word in words if re.match("--?[a-z]", word)}
    assert named <= options, f"ie has no {', '.join(sorted(named - options))}"
    subcommands = getattr(command, "commands", {})
    assert not subcommands or named or not words, f"ie has no command {words[0]}"


@pytest.mark.parametrize("block", SHELL, ids=str)
def test_every_command_and_option_exists(block: Block) -> None:
    for call in calls(block):
        if (words := ie_words(call)) is not None:
            require_known(words)


@pytest.mark.parametrize("line", makefile_commands())
def test_what_the_makefile_runs_exists(line: str) -> None:
    for pipeline in pipelines(line):
        for call in pipeline:
            if (words := ie_words(call)) is not None:
                require_known(words)


def test_unknown_commands_and_options_are_found() -> None:
    for words in (["trian", "recipe.yaml"], ["train", "recipe.yaml", "--out", "x"], ["recipes", "cpoy", "quickstart"]):
        with pytest.raises(AssertionError, match="ie has no"):
            require_known(words)


def test_every_command_is_documented() -> None:
    named = {words[0] for block in SHELL for call in calls(block) if (words := ie_words(call))}
    assert command_line().commands.keys() <= named


def extras_of(name: str) -> set[str]:
    """The extras of a distribution."""
    project = ROOT / DIRECTORIES.get(name, name) / "pyproject.toml"
    return set(tomllib.loads(project.read_text(encoding="utf-8"))["project"]["optional-dependencies"])


@pytest.mark.parametrize("block", SHELL, ids=str)
def test_every_target_and_extra_exists(block: Block) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    for call in calls(block):
        if call.words[:1] == ("make",):
            assert {word for word in call.words[1:] if re.fullmatch("[a-z]+", word)} <= targets
        if call.words[:2] == ("pip", "install"):
            asked = [found for word in call.words for found in re.findall(r"^([\w./-]+)\[([\w,]+)\]", word)]
            assert all(set(names.split(",")) <= extras_of(distribution) for distribution, names in asked)


@pytest.mark.parametrize("page", pages())
def test_every_block_is_marked(page: str) -> None:
    """A block of another mark would be executed by nobody."""
    known = {block.language for block in blocks(page) if not block.language.startswith("{")}
    assert known <= EXECUTED | SHOWN


@pytest.mark.parametrize("page", pages())
def test_every_block_begins_at_the_margin(page: str) -> None:
    """Indented ones would be executed by nobody either."""
    lines = prose((ROOT / page).read_text(encoding="utf-8"))
    assert not [line for line in lines if re.match(r"\s+(`{3}|~{3})", line)]


@pytest.mark.parametrize("page", pages())
def test_what_is_not_executed_is_still_code(page: str) -> None:
    for block in blocks(page):
        if block.reason is not None and block.language == "python":
            compile(block.text, str(block), "exec")
        elif block.reason is not None and block.language in ("json", "jsonl"):
            require_json(block.text, lines=block.language == "jsonl")


@pytest.mark.parametrize("page", pages())
def test_every_comment_precedes_a_block(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    said = [block for block in blocks(page) if block.reason or block.file or block.exit_code or block.printed]
    comments = re.findall(r"^<!--\s*(?:not executed|file|exit code|printed):", text, re.M)
    every = ((block.reason, block.file, block.exit_code, block.printed) for block in said)
    assert len(comments) == sum(bool(value) for values in every for value in values)


@pytest.mark.parametrize("page", pages())
def test_what_is_printed_follows_commands(page: str) -> None:
    found = [block for block in blocks(page) if block.language == "sh" or block.printed]
    for before, block in pairwise([None, *found]):
        assert not block.printed or (before is not None and before.language == "sh" and before.reason is None), block
