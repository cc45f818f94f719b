"""Walls: imports point one way, files and functions stay small, nothing prints, start-up stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "ie_cli"
ROOMS = """
    errors document triples system formats recipe data encoding codecs metrics tasks modeling inference evaluation export
    reports training doctor serving integrations commands cli __main__
""".split()  # noqa: SIM905
"""A room imports only from itself and from rooms before it."""
LEVEL = {name: level for level, name in enumerate(ROOMS)}
MODULES_AT_THE_ROOT = {"__init__", "__main__", "cli", "errors", "triples"}
FILES = sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """Return the rooms that a file imports from, also inside functions."""
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "ie_cli":
            parts = node.module.split(".")
            rooms |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            rooms |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("ie_cli.")}
    return rooms & LEVEL.keys()


def test_every_module_has_a_room() -> None:
    assert {room_of(path) for path in FILES} - {"__init__"} == LEVEL.keys()
    assert {path.stem for path in PACKAGE.glob("*.py")} == MODULES_AT_THE_ROOT
    assert len(FILES) > 100


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_imports_point_one_way(path: Path) -> None:
    room = room_of(path)
    if room == "__init__":
        return
    below = {name for name in imported(path) - {room} if LEVEL[name] > LEVEL[room]}
    assert not below, f"{room} imports {below}, which come after it"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_files_and_functions_stay_small(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert (node.end_lineno or 0) - node.lineno <= 60, node.name
        assert not isinstance(node, (ast.Assert, ast.Global)), f"line {node.lineno}"


def test_only_the_terminal_is_drawn_on() -> None:
    """rich is imported only where tables for a terminal are created or displayed."""
    users = {path.relative_to(PACKAGE).as_posix() for path in FILES if "from rich" in path.read_text(encoding="utf-8")}
    assert users == {"reports/terminal.py", "commands/console.py", "commands/progress.py"}


@pytest.mark.parametrize(
    "statement",
    [
        "import ie_cli.cli",
        "import ie_cli, ie_cli.formats, ie_cli.recipe.loader, ie_cli.encoding.windows, ie_cli.codecs, ie_cli.metrics",
        "import ie_cli.commands",
    ],
)
def test_what_needs_no_model_imports_no_torch(statement: str) -> None:
    code = f"{statement}; import sys; sys.exit(bool({{'torch', 'transformers', 'datasets', 'sklearn'}} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
