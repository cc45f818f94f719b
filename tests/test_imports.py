"""Walls: imports point one way, files and functions stay small, nothing prints, start-up stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "ie_cli"
ORDER = [
    "errors suggest stopping",
    "tokenizer_file",
    "durable",
    "example schema recipe textio triples",
    "yaml_nodes recipe_faults recipe_file",
    "formats",
    "corpus shipped init model_folder belonging units",
    "run_folder jobs",
    "ahead padding tokenization windows decode metrics pairing analysis duie_scorer relation_metrics relation_analysis "
    "targets decode_links relations",
    "layers losses streamed batches",
    "heads",
    "devices dropout attention cpu encoder model",
    "backends predict",
    "model_card evaluate extractor",
    "optim trackers prepare advice halving meter progress checkpoint",
    "loop",
    "train check export serve",
    "console commands cli __main__",
]
LEVEL = {name: level for level, names in enumerate(ORDER) for name in names.split()}
FILES = sorted(PACKAGE.rglob("*.py"))


def module_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """Top-level modules of the package that a file imports, also inside functions."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "ie_cli":
            parts = node.module.split(".")
            names |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
    return names & LEVEL.keys()


def test_every_module_has_a_place() -> None:
    assert {module_of(path) for path in FILES} - {"__init__"} == LEVEL.keys()
    assert len(FILES) > 30


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_imports_point_one_way(path: Path) -> None:
    module = module_of(path)
    if module == "__init__":
        return
    above = {name for name in imported(path) - {module} if LEVEL[name] > LEVEL[module]}
    assert not above, f"{module} imports {above}, which stand above it"


def test_no_cycles() -> None:
    graph = {name: set[str]() for name in LEVEL}
    for path in FILES:
        if module_of(path) != "__init__":
            graph[module_of(path)] |= imported(path) - {module_of(path)}
    while graph:
        leaves = {name for name, needs in graph.items() if not needs & graph.keys()}
        assert leaves, f"cycle among {sorted(graph)}"
        for name in leaves:
            del graph[name]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_files_and_functions_stay_small(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert (node.end_lineno or 0) - node.lineno <= 60, node.name
        assert not isinstance(node, (ast.Assert, ast.Global)), f"line {node.lineno}"


@pytest.mark.parametrize("module", ["rich"])
def test_only_the_console_talks(module: str) -> None:
    users = {module_of(path) for path in FILES if f"from {module}" in path.read_text(encoding="utf-8")}
    assert users == {"console"}


@pytest.mark.parametrize(
    "statement",
    [
        "import ie_cli.cli",
        "import ie_cli, ie_cli.formats, ie_cli.recipe_file, ie_cli.windows, ie_cli.decode, ie_cli.metrics",
        "import ie_cli.commands",
    ],
)
def test_what_needs_no_model_imports_no_torch(statement: str) -> None:
    code = f"{statement}; import sys; sys.exit(bool({{'torch', 'transformers', 'datasets'}} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
