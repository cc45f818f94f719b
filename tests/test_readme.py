"""The two READMEs show the same blocks, which `tests/docs` executes, and name what there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
READMES = ["README.md", "README.zh-CN.md"]


def blocks(name: str, language: str | None = None) -> list[str]:
    """The code blocks of a README, of all languages or one."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", (ROOT / name).read_text(encoding="utf-8"), re.M | re.S)
    return [text for marked, text in found if language is None or marked == language]


def test_both_have_the_same_blocks() -> None:
    assert blocks("README.md")
    assert blocks("README.md") == blocks("README.zh-CN.md")


def test_the_first_two_commands_set_up_everything() -> None:
    first = [line.split("#")[0].strip() for line in blocks("README.md", "sh")[0].splitlines()]
    assert first == ["make demo", "make test"]
    makefile = (ROOT / "Makefile").read_text()
    assert all(re.search(rf"^{line.split()[1]}:", makefile, re.M) for line in first)


def test_it_stays_a_page() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 130


@pytest.mark.parametrize("name", [*READMES, "CONTRIBUTING.md", "data/README.md"])
def test_no_place_is_left_to_fill_in(name: str) -> None:
    assert "@" not in re.sub(r"`[^`]*`", "", (ROOT / name).read_text(encoding="utf-8"))
