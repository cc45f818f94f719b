"""The page of the Python API, from signatures and docstrings, without importing the modules (torch takes seconds)."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import ie_cli
from reference_pages.markdown import code, fence, from_docstring, table

PACKAGE = Path(__file__).resolve().parent.parent.parent / "ie_cli"
RELATED = {
    "Reading options": ("ie_cli.formats.common.base", ("Reading",)),
    "Evaluation results": ("ie_cli.evaluation.result", ("EvaluationResult",)),
    "Evaluation options": ("ie_cli.tasks.base", ("ScoringOptions",)),
    "Training events": (
        "ie_cli.training.events",
        (
            "Started",
            "Progress",
            "Evaluated",
            "Halved",
            "Saved",
            "Trained",
            "Finished",
            "FinishedBefore",
            "RunStarted",
            "SeriesFinished",
        ),
    ),
    "Several runs": ("ie_cli.training.series_summary", ("SeriesSummary",)),
    "Entropy": (
        "ie_cli.metrics.entropy",
        ("normalise_entropy", "normalise_logit_entropy", "entropy", "NormalisedEntropy"),
    ),
    "Errors": (
        "ie_cli.errors",
        ("RecipeError", "DataError", "ModelError", "TrainingError", "StorageError", "ServiceError"),
    ),
}
"""The types that the public functions accept, return or raise."""
INTRO = """# Python API

The names in `from ie_cli import …` are the public API, which changes only with a note in the
[changelog](../../CHANGELOG.md). They are followed by the types that the functions accept, return or raise, with their modules.

"""
Definition = ast.ClassDef | ast.FunctionDef


def page() -> str:
    """The page."""
    public = {name: where for name, where in _exports().items() if name in ie_cli.__all__}
    rest = [name for name in ie_cli.__all__ if name not in public]
    parts = [INTRO, "## ie_cli\n\n", _index(public)]
    parts += [_entry(name, _find(module, name)) for name, module in public.items()]
    parts += [f"### {name}\n\n{code(f'ie_cli.{name}')}: the version of the package.\n\n" for name in rest]
    for title, (module, names) in RELATED.items():
        parts.append(f"## {title}\n\n")
        parts += [_entry(name, _find(module, name), module) for name in names]
    return "".join(parts)


def _exports() -> dict[str, str]:
    """The modules of the exported names, from the imports that only type checkers see."""
    imports = (node for node in ast.walk(_tree("ie_cli")) if isinstance(node, ast.ImportFrom))
    return {
        alias.name: node.module for node in imports if node.module and node.module != "typing" for alias in node.names
    }


@cache
def _tree(module: str) -> ast.Module:
    path = PACKAGE.parent.joinpath(*module.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(file.read_text(encoding="utf-8"))


def _find(module: str, name: str) -> Definition:
    """The definition of a name.

    Raises:
        LookupError: the module does not define it.
    """
    for node in _tree(module).body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and node.name == name:
            return node
    raise LookupError(f"{module} does not define {name}")


def _index(public: dict[str, str]) -> str:
    def summary(name: str, module: str) -> str:
        return from_docstring((ast.get_docstring(_find(module, name)) or "").split("\n\n")[0])

    rows = ((f"[{code(name)}](#{name.lower()})", summary(name, module)) for name, module in public.items())
    return table(("name", ""), rows)


def _entry(name: str, node: Definition, module: str | None = None) -> str:
    """A class with its public methods, or a function."""
    imported = f"{code(f'from {module} import {name}')}\n\n" if module else ""
    shown = _class(node) if isinstance(node, ast.ClassDef) else _signature(node)
    parts = [f"### {name}\n\n", imported, fence(shown, "py"), _description(node)]
    if isinstance(node, ast.ClassDef):
        for method in _methods(node):
            parts += [f"#### {name}.{method.name}\n\n", fence(_signature(method), "py"), _description(method)]
    return "".join(parts)


def _methods(node: ast.ClassDef) -> Iterator[ast.FunctionDef]:
    for part in node.body:
        if isinstance(part, ast.FunctionDef) and not part.name.startswith("_") and ast.get_docstring(part):
            yield part


def _code(node: ast.AST) -> str:
    """An expression or a field as code, with the quotes of the code's formatter."""
    text = ast.unparse(node)
    return text if '"' in text else text.replace("'", '"')


def _class(node: ast.ClassDef) -> str:
    """The head of a class and its fields."""
    decorators = [f"@{_code(one)}" for one in node.decorator_list]
    bases = f"({', '.join(map(_code, node.bases))})" if node.bases else ""
    fields = [
        f"    {_code(part)}"
        for part in node.body
        if isinstance(part, ast.AnnAssign) and not (isinstance(part.target, ast.Name) and part.target.id == "_")
    ]
    head = f"class {node.name}{bases}:"
    return "\n".join([*decorators, *([head, *fields] if fields else [f"{head} ..."])])


def _signature(node: ast.FunctionDef) -> str:
    """The head of a function, an argument per line if it is long."""
    decorators = [f"@{_code(one)}" for one in node.decorator_list]
    returns = f" -> {_code(node.returns)}" if node.returns else ""
    line = f"def {node.name}({_code(node.args)}){returns}"
    if len(line) > 100:
        line = f"def {node.name}(\n{''.join(f'    {one},{chr(10)}' for one in _arguments(node.args))}){returns}"
    return "\n".join([*decorators, line])


def _arguments(given: ast.arguments) -> list[str]:
    """The arguments one by one, as in the source."""
    defaults = [None] * (len(given.args) - len(given.defaults)) + list(given.defaults)
    found = [_argument(one, default) for one, default in zip(given.args, defaults, strict=True)]
    if given.kwonlyargs:
        found.append("*")
    return found + [_argument(one, default) for one, default in zip(given.kwonlyargs, given.kw_defaults, strict=True)]


def _argument(one: ast.arg, default: ast.expr | None) -> str:
    annotation = f": {_code(one.annotation)}" if one.annotation else ""
    return f"{one.arg}{annotation}" + (f" = {_code(default)}" if default is not None else "")


def _description(node: Definition) -> str:
    """The docstring; its sections become lists."""
    text = ast.get_docstring(node) or ""
    first, *sections = re.split(r"^(Args|Attributes|Raises|Returns|Yields):\n", text, flags=re.MULTILINE)
    parts = [from_docstring(first)]
    for title, body in zip(sections[::2], sections[1::2], strict=True):
        items = re.split(r"\n(?=    \S)", body.rstrip())
        parts += [f"{title}:", "\n".join(map(_item, items))]
    return "\n\n".join(filter(None, parts)) + "\n\n"


def _item(text: str) -> str:
    names, _, meaning = re.sub(r"\s+", " ", text).strip().partition(": ")
    shown = ", ".join(map(code, re.split(", ", names)))
    return f"- {shown}: {from_docstring(meaning)}"
