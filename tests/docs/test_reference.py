"""The pages of docs/reference say what the code says."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import generate
import pytest
from reference_pages import environment
from reference_pages.markdown import from_docstring, table
from support.pages import ROOT

import ie_cli
from ie_cli.formats import FORMATS
from ie_cli.recipe.heads import HEADS
from ie_cli.recipe.schema import DataSection, EncoderSection, Recipe, TrainingSection

_VARIABLE = re.compile(r"(?:IE|XDG|WANDB|MLFLOW|HF|OMP|GOMP)_[A-Z_]+")


@pytest.mark.parametrize("name", generate.PAGES)
def test_pages_are_up_to_date(name: str) -> None:
    stored = (generate.PAGES_DIRECTORY / name).read_text(encoding="utf-8")
    assert stored == generate.text_of(name), "run `python docs/generate.py` (or `make docs`) and commit docs/reference"


def test_pages_that_are_out_of_date_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generate, "PAGES_DIRECTORY", tmp_path)
    monkeypatch.setattr(sys, "argv", ["generate.py", "--check"])
    assert generate.main() == 1
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(sys, "argv", ["generate.py"])
    assert generate.main() == 0
    assert generate.outdated() == []
    (tmp_path / "recipe.md").write_text("old", encoding="utf-8")
    assert generate.outdated() == ["recipe.md"]


def test_every_part_of_the_code_is_there() -> None:
    recipe, formats, python = (generate.text_of(name) for name in ("recipe.md", "formats.md", "python.md"))
    for section in (Recipe, DataSection, EncoderSection, TrainingSection, *(spec.section for spec in HEADS.values())):
        assert all(f"| `{field}` |" in recipe for field in section.model_fields)
    assert all(f"\n## {name}\n" in formats for name in FORMATS)
    assert all(f"\n### {name}\n" in python for name in ie_cli.__all__)


def test_every_variable_is_there() -> None:
    """Those that the code names; what it only sets for others is explained beside what it reads."""
    files = (ROOT / "ie_cli").rglob("*.py")
    nodes = (node for file in files for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
    texts = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    page = environment.page()
    named = {text for text in texts if _VARIABLE.fullmatch(text)}
    assert {"IE_MODEL", "IE_CACHE", "IE_TOKEN"} <= named
    assert not {name for name in named if f"`{name}" not in page}
    ours = {name for names in environment.VARIABLES for name in names.split(", ")}
    assert {name for name in ours if _VARIABLE.fullmatch(name)} <= named


def test_docstrings_become_markdown() -> None:
    assert from_docstring("A ``b`` c.\n\n::\n\n    code ``x``\n\nEnd.") == "A `b` c.\n\n```text\ncode `x`\n```\n\nEnd."
    assert table(("a", "b"), [("x|y", "`p|q`\n z")]) == "| a | b |\n|---|---|\n| x\\|y | `p\\|q` z |\n\n"
    assert table(("a",), []) == ""
