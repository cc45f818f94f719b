"""How a command ends: errors of ours as messages, each end with its exit code."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperGroup

from ie_cli.commands.console import complain, console, say
from ie_cli.errors import IEError
from ie_cli.system.atomic import storage_error
from ie_cli.system.signals import Stopped


class Commands(TyperGroup):
    """Turn what may go wrong into exit codes: 0 done, 1 an error of ours, 130 and 143 stopped; usage errors are 2."""

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        try:
            return super().invoke(ctx)
        except IEError as error:
            if _debug():
                console.print_exception()
            command = self.commands.get(ctx.invoked_subcommand or "")
            complain(replace_hint(error, options_of(command.params if command is not None else ())))
            raise typer.Exit(1) from error
        except ModuleNotFoundError as error:
            if _debug() or (error.name or "").split(".")[0] == "ie_cli":
                raise
            complain(IEError(f"this command needs {error.name}, which is not installed", hint="pip install ie-cli"))
            raise typer.Exit(1) from error
        except KeyboardInterrupt as error:
            stopped = error if isinstance(error, Stopped) else Stopped(signal.SIGINT)
            say(stopped.kept or "interrupted")
            raise typer.Exit(stopped.exit_code) from error
        except BrokenPipeError as error:
            # Nobody reads on (`| head`): that is no error of ours. Python would complain once more on closing stdout.
            _leave_stdout()
            raise typer.Exit(0) from error
        except OSError as error:
            if _debug():
                raise
            complain(storage_error(error))
            raise typer.Exit(1) from error


@contextmanager
def ending() -> Iterator[None]:
    """Let the end of a process be that of its command: what stdout still holds is written then, or its error told.

    Raises:
        SystemExit: always.
    """
    code: Any = 0
    try:
        yield
    except (SystemExit, OSError) as end:
        code = end.code if isinstance(end, SystemExit) else _end_of_stdout(end)
    try:
        if sys.stdout is not None:  # closed by the shell
            sys.stdout.flush()
    except OSError as error:
        code = code or _end_of_stdout(error)
        _leave_stdout()
    raise SystemExit(code)


def _end_of_stdout(error: OSError) -> int:
    """The exit code, after the error was told."""
    if isinstance(error, BrokenPipeError):
        return 0
    complain(storage_error(error, "standard output"))
    return 1


def _leave_stdout() -> None:
    """Python would complain once more on closing it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


_FIELD = re.compile(r"data\.(format|text_column|label_columns)( in the recipe)?(?= |,|:|\.|$)")
_PARAMETERS = {"format": "input_format"}
"""The parameters of commands that are named otherwise than the fields of a recipe that say the same."""


def replace_hint(error: IEError, options: Mapping[str, str]) -> IEError:
    """The same error, whose hint names for fields of a recipe the options of a command that takes none.

    Args:
        options: the option of each parameter.
    """
    if error.hint is None or "recipe" in options:
        return error

    def option(match: re.Match[str]) -> str:
        return options.get(_PARAMETERS.get(match[1], match[1]), match[0])

    return IEError(error.message, hint=_FIELD.sub(option, error.hint))


def options_of(parameters: Iterable[Any]) -> dict[str, str]:
    """The option of each parameter of a command."""
    return {str(parameter.name): parameter.opts[0] for parameter in parameters}


def _debug() -> bool:
    return "--debug" in sys.argv or os.environ.get("IE_DEBUG", "") not in ("", "0")
