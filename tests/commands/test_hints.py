"""Messages name only options of the commands that can print them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.core import TyperGroup
from typer.main import get_command

import ie_cli
from ie_cli.cli import app
from ie_cli.commands.exit_codes import options_of, replace_hint
from ie_cli.errors import DataError, join_hints

ROOT = Path(ie_cli.__file__).parent
DATA_TOOLS = ("split", "merge", "diff", "stats", "view")
READERS = ("init", "check", "train", "eval", "predict", "export", "convert", *DATA_TOOLS)
RUNNERS = ("eval", "predict", "serve", "embed", "search", "link")
SPEAKERS = {
    "commands/check.py": ("check",),
    "commands/check_data.py": ("check",),
    "commands/annotated.py": DATA_TOOLS,
    "commands/diff.py": ("diff",),
    "commands/merge.py": ("merge",),
    "commands/split.py": ("split",),
    "commands/convert.py": ("convert",),
    "commands/evaluate.py": ("eval",),
    "commands/export.py": ("export",),
    "commands/import_predictions.py": ("import-predictions",),
    "commands/choosing.py": ("predict",),
    "commands/inputs.py": ("init", *RUNNERS, "export", "convert", *DATA_TOOLS),
    "commands/predict.py": ("predict",),
    "commands/predict_shards.py": ("predict",),
    "commands/shard_job.py": ("predict",),
    "commands/shard_sources.py": ("predict",),
    "inference/shard_workers.py": ("predict",),
    "integrations/ray_engine.py": ("predict",),
    "inference/job_facts.py": ("predict", "link"),
    "commands/push.py": ("push",),
    "commands/recipes.py": ("copy",),
    "commands/embed.py": ("embed",),
    "commands/lengths.py": ("predict", "eval"),
    "commands/link.py": ("link",),
    "commands/search.py": ("search",),
    "commands/link_setup.py": ("link",),
    "commands/records.py": ("predict", "convert", "import-predictions"),
    "commands/serve.py": ("serve",),
    "commands/sources.py": ("predict", "convert", *DATA_TOOLS),
    "commands/train.py": ("train",),
    "doctor/cross_folds.py": ("check",),
    "data/split_plan.py": ("split",),
    "doctor": ("init",),
    "evaluation/matching.py": ("diff",),
    "evaluation": ("eval",),
    "export": ("export",),
    "formats": READERS,
    "inference/embedding.py": ("embed", "search", "link"),
    "inference/backends": (*RUNNERS, "export"),
    "inference/backend_loading.py": RUNNERS,
    "inference/extractor.py": ("predict", "eval", "embed", "search", "link"),
    "inference/linking.py": ("link",),
    "training/pair_notes.py": ("predict",),
    "inference/model_directory.py": RUNNERS,
    "inference/model_paths.py": (*RUNNERS, "export", "push"),
    "inference/resumable_output.py": ("predict", "link"),
    "metrics": ("eval",),
    "recipe/bundled.py": ("copy",),
    "recipe/loader.py": ("show", "check", "train"),
    "recipe/overrides.py": ("show", "check", "train"),
    "serving": ("serve",),
    "tasks": ("eval",),
    "training": ("train",),
}
"""The commands that can print the messages of a module; a module that is not listed must not name options."""
OWNERS = (
    "cli.py",
    "data_tools.py",
    "importing.py",
    "predicting.py",
    "input_options.py",
    "vectors.py",
    "arguments.py",
    "completion.py",
    "exit_codes.py",
)
"""The modules that define options, or look for them on the command line."""
_SAID_OF = re.compile(r"\bie ([a-z]+)((?: [^\s`|;]+)*)")
_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]+")


def commands() -> dict[str, Any]:
    top: dict[str, Any] = get_command(app).commands  # type: ignore[attr-defined]
    inner = [command.commands for command in top.values() if isinstance(command, TyperGroup)]
    return {**top, **{name: command for some in inner for name, command in some.items()}}


COMMANDS = commands()


def options(command: str) -> set[str]:
    return {name for parameter in COMMANDS[command].params for name in (*parameter.opts, *parameter.secondary_opts)}


def strings(source: str) -> Iterator[tuple[int, str]]:
    """The strings of a module that are no docstrings, those of one message joined."""
    tree = ast.parse(source)
    alone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    inside: set[int] = set()
    for node in ast.walk(tree):
        if id(node) in alone or id(node) in inside:
            continue
        if isinstance(node, ast.JoinedStr):
            inside |= {id(part) for part in ast.walk(node)}
            yield node.lineno, "".join(p.value if isinstance(p, ast.Constant) else "X" for p in node.values)  # type: ignore[misc]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def unknown_options(name: str, source: str) -> Iterator[str]:
    """The options that a module names and that a command which can print its messages lacks."""
    speakers = next((SPEAKERS[place] for place in SPEAKERS if name == place or name.startswith(f"{place}/")), None)
    for line, text in strings(source):
        for said in _SAID_OF.finditer(text):
            if said[1] in COMMANDS:
                yield from (f"{name}:{line}: {o}" for o in _OPTION.findall(said[2]) if o not in options(said[1]))
        for option in _OPTION.findall(_SAID_OF.sub("", text)):
            lacking = [one for one in speakers if option not in options(one)] if speakers else ["anybody"]
            yield from (f"{name}:{line}: {option}, which {one} lacks" for one in lacking)


def test_messages_name_options_that_their_command_has() -> None:
    modules = [path for path in ROOT.rglob("*.py") if path.name not in OWNERS]
    assert len(modules) > 100
    found = [
        problem
        for path in modules
        for problem in unknown_options(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))
    ]
    assert found == []


def test_a_message_that_names_a_foreign_option_is_found() -> None:
    assert list(unknown_options("formats/x.py", 'hint = f"{a}: say --to"'))
    assert list(unknown_options("formats/x.py", 'hint = "`ie train --from x`"'))
    assert not list(unknown_options("formats/x.py", 'hint = "`ie convert --from x`"'))
    assert list(unknown_options("codecs/x.py", 'hint = "--quiet"'))


def test_every_option_has_a_help_text() -> None:
    bare = [(name, option.name) for name, command in COMMANDS.items() for option in command.params if not _help(option)]
    assert bare == []


def _help(parameter: Any) -> Any:
    return getattr(parameter, "help", None)


@pytest.mark.parametrize("field", ["format", "text_column", "label_columns"])
@pytest.mark.parametrize("command", [*READERS, "show"])
def test_fields_of_a_recipe_are_options_if_a_command_has_no_recipe(command: str, field: str) -> None:
    error = DataError("x", hint=f"see data.{field} in the recipe.")
    hint = replace_hint(error, options_of(COMMANDS[command].params)).hint
    assert hint is not None
    if command in ("check", "train", "show") or (command, field) == ("predict", "label_columns"):
        assert hint == error.hint
    else:
        [option] = _OPTION.findall(hint)
        assert option in options(command)
        assert hint == f"see {option}."


def test_a_hint_with_several_parts_names_no_recipe() -> None:
    error = DataError("x", hint=join_hints("see data.text_column and data.label_columns in the recipe.", "or skip it."))
    hint = replace_hint(error, options_of(COMMANDS["convert"].params)).hint
    assert hint == "see --text-column and --label-column; or skip it."


def test_hints_for_predictions_do_not_mention_label_columns() -> None:
    from ie_cli.formats import FORMATS, BadLine, Reading

    rows = ["1\ta\tQ", "2\tb\tQ", "3"]
    [bad] = FORMATS["conll"].read(enumerate(rows, 1), "x", Reading(text_column=1, annotation=False))
    assert isinstance(bad, BadLine)
    assert bad.error.hint is not None
    assert "label_columns" not in bad.error.hint
