"""The page of the commands, from the command line itself."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import typer

from ie_cli.cli import app
from ie_cli.formats import FORMATS
from reference_pages.markdown import code, fence, one_line, table

WORDS = {int: "whole number", float: "number", Path: "path"}
INTRO = """# Commands

`ie COMMAND --help` prints the text of this page. The file `-` is standard input or standard output, and files may be compressed
(`.gz`, `.zst`) or URLs. Data are written to standard output, messages to standard error.
[Exit codes and environment](exit-codes-and-environment.md) explains exit codes and variables.

"""


def page() -> str:
    """The page."""
    root = typer.main.get_command(app)
    names = list(_commands(root, "ie"))
    formats = f"The formats that a command accepts: {', '.join(map(code, FORMATS))}; see [Formats](formats.md).\n\n"
    index = table(
        ("command", ""),
        ((f"[{code(name)}](#{name.replace(' ', '-')})", _summary(command)) for name, command in names),
    )
    general = "## General options\n\n" + _options(root)
    return "".join([INTRO, index, formats, general, *(_command(name, command) for name, command in names)])


def _commands(group: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    """The subcommands of a command by their full names; a command that does something itself comes before its subcommands."""
    for name, command in group.commands.items():
        full = f"{prefix} {name}"
        if not hasattr(command, "commands"):
            yield full, command
            continue
        if command.invoke_without_command:
            yield full, command
        yield from _commands(command, full)


def _summary(command: Any) -> str:
    return one_line(command.help)


def _command(name: str, command: Any) -> str:
    arguments = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
    usage = " ".join([name, *map(_placeholder, arguments), "[OPTIONS]"])
    described = table(("argument", "meaning"), ((code(_placeholder(one)), _meaning(one)) for one in arguments))
    return "".join(
        [f"## {name}\n\n", f"{_summary(command)}\n\n", fence(usage, "text"), described, _options(command)],
    )


def _options(command: Any) -> str:
    options = [parameter for parameter in command.params if parameter.param_type_name == "option"]
    kinds = get_type_hints(inspect.unwrap(command.callback), include_extras=True)
    rows = (
        (_names(one), _value(one, kinds.get(one.name)), _default(one), _variable(one), one_line(one.help))
        for one in options
    )
    return table(("option", "value", "default", "variable", "meaning"), rows)


def _placeholder(argument: Any) -> str:
    name = argument.metavar or argument.name.upper()
    return name if argument.required or name.startswith("[") else f"[{name}]"


def _names(option: Any) -> str:
    return ", ".join(map(code, [*option.opts, *option.secondary_opts]))


def _value(option: Any, annotation: Any) -> str:
    """The values of an option, from the annotation of its parameter."""
    if option.is_flag:
        return ""
    kinds, infos = _members(annotation)
    choices = [choice for kind in kinds if get_origin(kind) is Literal for choice in get_args(kind)]
    if choices:
        return " ".join(map(code, choices))
    low, high = next(((info.min, info.max) for info in infos if hasattr(info, "min")), (None, None))
    limits = (f" from {low:,}" if low is not None else "") + (f" to {high:,}" if high is not None else "")
    word = next((WORDS[kind] for kind in kinds if kind in WORDS), "text")
    return f"{option.metavar or word}{limits}{', repeatable' if option.multiple else ''}"


def _members(annotation: Any) -> tuple[list[Any], list[Any]]:
    """The types in an annotation, and the metadata of `Annotated`."""
    if not get_args(annotation) or get_origin(annotation) is Literal:
        return [annotation], []
    if get_origin(annotation) is Annotated:
        kinds, infos = _members(annotation.__origin__)
        return kinds, [*infos, *annotation.__metadata__]
    parts = [_members(part) for part in get_args(annotation)]
    return [kind for kinds, _ in parts for kind in kinds], [info for _, infos in parts for info in infos]


def _default(option: Any) -> str:
    value = option.default
    if option.is_flag or callable(value) or not isinstance(value, (str, int, float)) or isinstance(value, bool):
        return ""
    return code(str(value))


def _variable(parameter: Any) -> str:
    names = parameter.envvar or ()
    return ", ".join(map(code, [names] if isinstance(names, str) else names))


def _meaning(parameter: Any) -> str:
    variable = (
        f" Variable: {_variable(parameter)}." if parameter.param_type_name == "argument" and parameter.envvar else ""
    )
    return one_line(getattr(parameter, "help", "")) + variable
