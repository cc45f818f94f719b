"""Every block of code of the README and of docs/ does what a reader would do with it, page by page, in order."""

from __future__ import annotations

import importlib
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from support.graphs import write_once
from support.page_shell import PageShell, require_json, require_printed
from support.pages import EXECUTED, ROOT, Block, blocks, pages
from support.runner import ie

import ie_cli.recipe.bundled
from ie_cli.export import onnx
from ie_cli.formats import FORMATS
from ie_cli.recipe.heads import HEADS
from ie_cli.recipe.loader import load_recipe
from ie_cli.recipe.schema import Recipe
from ie_cli.recipe.yaml import flow
from ie_cli.tasks import TASKS

MODELS = ("quickstart", "quickstart-en")
MOST_TRAIN, MOST_OTHER = 120, 30
"""Lines of the data in a page's checkout: enough to learn something, few enough to be fast."""
NEEDED = {"name": "page", "encoder": {"name": "tiny"}, "data": {"train": "train.jsonl"}}
"""What a recipe must have; a page may show a part of one."""


def train_model(name: str) -> None:
    """Train a model on the few dev data that pages score it on, so that it finds something there."""
    [data] = Path("data", name).glob("dev.*")
    settings = {
        "data.train": data,
        "data.dev": data,
        "training.epochs": 8,
        "training.batch_size": 4,
        "training.learning_rate": 2e-3,
        "training.head_learning_rate": 5e-3,
    }
    options = [word for field, value in settings.items() for word in ("--set", f"{field}={value}")]
    trained = ie("train", f"recipes/{name}.yaml", "--output", f"runs/{name}", "--quiet", *options)
    assert trained.exit_code == 0, trained.stderr


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with less data, and models trained on them."""
    directory = tmp_path_factory.mktemp("checkout")
    for name in ("data", "recipes"):
        shutil.copytree(ROOT / name, directory / name, ignore=shutil.ignore_patterns("__pycache__"))
    for file in directory.glob("data/*/*.json*"):
        most = MOST_TRAIN if file.stem == "train" else MOST_OTHER
        with file.open("rb") as lines:
            kept = [line for line, _ in zip(lines, range(most), strict=False)]
        if len(kept) == most:
            file.write_bytes(b"".join(kept))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)  # the models name their data as seen from a page's checkout
        for name in MODELS:
            if Path("recipes", f"{name}.yaml").exists():
                train_model(name)
    return directory


@pytest.fixture(scope="module")
def graphs() -> dict[str, dict[str, bytes]]:
    """Of each exported model the graphs."""
    return {}


@pytest.fixture(autouse=True)
def same_graphs(graphs: dict[str, dict[str, bytes]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx, "_write_graph", write_once(onnx._write_graph, graphs))


@pytest.fixture
def shell(checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PageShell]:
    """The current directory is a checkout of this test alone, and what its page registers is forgotten after it."""
    here = tmp_path / "ie"
    shutil.copytree(checkout, here)
    monkeypatch.chdir(here)
    monkeypatch.setattr(ie_cli.recipe.bundled, "bundled_directory", lambda: here)
    monkeypatch.syspath_prepend(str(here))
    modules = set(sys.modules)
    tables: list[tuple[dict[str, Any], dict[str, Any]]] = [(table, dict(table)) for table in (HEADS, TASKS, FORMATS)]
    shell = PageShell({f"runs/{path.name}" for path in (here / "runs").iterdir()})
    with shell.resources:
        yield shell
    for table, before in tables:
        table.clear()
        table.update(before)
    for name in set(sys.modules) - modules:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(here)):
            del sys.modules[name]


def executed(page: str) -> list[Block]:
    """The blocks that are executed, written to a file, or compared with what the block before them prints."""
    found = (block for block in blocks(page) if block.language in EXECUTED or block.file is not None or block.printed)
    return [block for block in found if block.reason is None]


@pytest.mark.parametrize("page", [page for page in pages() if executed(page)])
def test_the_blocks_of_a_page(page: str, shell: PageShell) -> None:
    namespace: dict[str, Any] = {"__name__": "page"}
    for block in executed(page):
        try:
            run_block(block, shell, namespace)
        except Exception as error:
            raise AssertionError(f"{block}: {error}\n{block.text}") from error


def run_block(block: Block, shell: PageShell, namespace: dict[str, Any]) -> None:
    """Do what a reader does with a block."""
    if block.file is not None:
        Path(block.file).parent.mkdir(parents=True, exist_ok=True)
        Path(block.file).write_text(block.text, encoding="utf-8")
    if block.printed:
        require_printed(block.text, shell.printed)
    elif block.language == "sh":
        shell.run(block)
    elif block.language == "python":
        run_python(block, namespace)
    elif block.language == "yaml":
        require_recipe(block.text)
    elif block.language in ("json", "jsonl"):
        require_json(block.text, lines=block.language == "jsonl")


def run_python(block: Block, namespace: dict[str, Any]) -> None:
    """Execute a block after those before it; one that begins with the name of a file becomes that file, and is imported."""
    first, _, rest = block.text.partition("\n")
    name = first.removeprefix("# ").strip()
    if not (first.startswith("# ") and name.endswith(".py") and name.removesuffix(".py").isidentifier()):
        exec(compile("\n" * (block.line - 1) + block.text, block.page, "exec", dont_inherit=True), namespace)
        return
    Path(name).write_text(rest, encoding="utf-8")
    importlib.invalidate_caches()
    module = importlib.import_module(name.removesuffix(".py"))
    namespace.update({key: value for key, value in vars(module).items() if not key.startswith("__")})


def require_recipe(text: str) -> None:
    """Load a recipe, or the part of one; YAML of other kinds must be YAML."""
    data = YAML(typ="safe", pure=True).load(text)
    if not isinstance(data, dict) or not data.keys() <= Recipe.model_fields.keys():
        return
    missing = {
        key: value for key, value in NEEDED.items() if key not in data and not (key == "data" and "tasks" in data)
    }
    Path("page-recipe.yaml").write_text(
        text + "".join(f"{key}: {flow(value)}\n" for key, value in missing.items()), encoding="utf-8"
    )
    load_recipe("page-recipe.yaml")


def test_a_block_that_fails_is_found(shell: PageShell) -> None:
    def block(language: str, text: str, exit_code: int = 0, *, printed: bool = False) -> Block:
        return Block(page="x.md", line=1, language=language, text=text, exit_code=exit_code, printed=printed)

    bad = [
        block("sh", "ie predict missing.jsonl\n"),
        block("sh", "ie recipes | grep nothing-like-this\n"),
        block("sh", "ie recipes\n", exit_code=1),
        block("sh", "rsync a b\n"),
        block("python", "raise ValueError\n"),
        block("yaml", "training: {epoch: 1}\n"),
        block("json", "{]\n"),
        block("jsonl", '{"text": "a"}\n{\n'),
        block("text", "something\n", printed=True),
    ]
    for one in bad:
        with pytest.raises(Exception, match=r".*"):
            run_block(one, shell, {})
    good = [
        block("sh", "ie predict missing.jsonl\n", exit_code=1),
        block("sh", "ie recipes | head -n 1 > first.txt  # the first\ncat first.txt \\\n  >> twice.txt\n"),
        block("yaml", "training: {epochs: 1}\n"),
        block("python", "# made.py\nvalue = 1\n"),
        block("python", "import made\n\nassert made.value == 1\n"),
        block("sh", "printf 'a \\nb\\nc\\nd\\n'\necho a > a.txt\n"),
        block("text", "a\n…\nd\n", printed=True),
        block("text", "…\nb\nc\n…\n", printed=True),
    ]
    for one in good:
        run_block(one, shell, {})
    assert Path("twice.txt").read_text(encoding="utf-8").count("\n") == 1
