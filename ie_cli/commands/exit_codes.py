"""How a command ends: errors of ours as messages, each end with its exit code."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup

from ie_cli.commands.console import complain, console, say
from ie_cli.errors import OUT_OF_MEMORY, IEError, StorageError, join_hints
from ie_cli.system.atomic import storage_error
from ie_cli.system.memory import is_out_of_memory
from ie_cli.system.signals import Stopped, stopping
from ie_cli.system.standard_streams import fill_standard_streams, tolerate_broken_stderr


class Commands(TyperGroup):
    """Turn what may go wrong into exit codes: 0 done, 1 an error of ours, 130 and 143 stopped; usage errors are 2."""

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        try:
            with stopping():
                return self._invoke(ctx)
        except KeyboardInterrupt as error:  # once more, while the first was told
            raise typer.Exit(_stopped(error).exit_code) from error

    def _invoke(self, ctx: typer.Context) -> Any:
        try:
            return super().invoke(ctx)
        except IEError as error:
            self._fail(ctx, error, error)
        except ModuleNotFoundError as error:
            if (error.name or "").split(".")[0] == "ie_cli":
                raise
            missing = IEError(f"this command needs {error.name}, which is not installed", hint="pip install ie-cli")
            self._fail(ctx, missing, error)
        except KeyboardInterrupt as error:
            stopped = _stopped(error)
            say(stopped.kept or "interrupted")
            raise typer.Exit(stopped.exit_code) from error
        except BrokenPipeError as error:
            # Nobody reads on (`| head`): that is no error of ours. Python would complain once more on closing stdout.
            _leave_stdout()
            raise typer.Exit(0) from error
        except OSError as error:
            # Of a stream that takes nothing, closing it fails once more.
            earlier = error.__context__
            self._fail(ctx, earlier if isinstance(earlier, StorageError) else storage_error(error), error)
        except (typer.Exit, SystemExit):
            raise
        except BaseException as error:  # what fails in Rust is no Exception
            if not is_out_of_memory(error):
                raise
            self._fail(ctx, IEError(str(error)), error)

    def _fail(self, ctx: typer.Context, told: IEError, error: BaseException) -> NoReturn:
        """Say what went wrong, and end with 1."""
        command = self.commands.get(ctx.invoked_subcommand or "")
        options = options_of(command.params if command is not None else ())
        if is_out_of_memory(error) and not told.message.startswith(OUT_OF_MEMORY):
            told = _of_memory(told, out_of_memory(options))
        if _debug():
            if not isinstance(error, IEError):
                raise error
            console.print_exception()
        try:
            complain(replace_hint(told, options))
        except Exception as again:
            if not is_out_of_memory(again):
                raise
            os.write(2, f"error: {OUT_OF_MEMORY}\n".encode())
        raise typer.Exit(1) from error


@contextmanager
def ending() -> Iterator[None]:
    """Have the standard streams there, and let the end of a process be that of its command.

    What stdout still holds is written at the end, or its error told.

    Raises:
        SystemExit: always.
    """
    fill_standard_streams()
    tolerate_broken_stderr()
    code: Any = 0
    try:
        yield
    except SystemExit as end:
        code = end.code
    except BaseException as error:
        if is_out_of_memory(error):
            complain(out_of_memory({}))
            code = 1
        elif isinstance(error, OSError):  # outside of any command, as in showing help
            code = _end_of_stdout(error)
        else:
            raise
    try:
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


def _of_memory(told: IEError, short: IEError) -> IEError:
    """What was said of a thing, as lack of memory: what could not be read for want of it is not damaged."""
    where, damaged, _ = told.message.partition(": damaged")
    if damaged:
        return IEError(f"{short.message}: {where}", hint=short.hint)
    return IEError(f"{short.message}: {told.message}", hint=join_hints(told.hint, short.hint))


def out_of_memory(options: Mapping[str, str]) -> IEError:
    """What is said where memory does not suffice; of what to do, that which a command has options for."""
    smaller = None
    if "recipe" in options:
        smaller = "set training.batch_size or encoder.max_length lower, or use a smaller encoder"
    elif "batch_size" in options:
        smaller = f"give a smaller {options['batch_size']}, or fewer threads by the variable OMP_NUM_THREADS"
    return IEError(OUT_OF_MEMORY, hint=join_hints(smaller, "free some memory, or raise its limit (`ulimit -v`)."))


def _stopped(error: KeyboardInterrupt) -> Stopped:
    return error if isinstance(error, Stopped) else Stopped(signal.SIGINT)


_FIELD = re.compile(r"data\.(format|text_column|label_columns)( in the recipe)?(?=[ ,:;.]|$)")
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
