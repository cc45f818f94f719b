"""End a command: print errors as messages, and turn each outcome into an exit code."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import zip_longest
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup

from ie_cli.commands.console import console, print_error, say
from ie_cli.errors import OUT_OF_MEMORY, IEError, StorageError, join_hints
from ie_cli.system.atomic import storage_error
from ie_cli.system.distribution import install_hint
from ie_cli.system.launcher import launched_rank, wait_to_be_ended
from ie_cli.system.memory import is_out_of_memory
from ie_cli.system.signals import Stopped, stopping
from ie_cli.system.standard_streams import fill_standard_streams, tolerate_broken_stderr

_UsageError: type[Exception] = typer.BadParameter.__mro__[1]
"""The kind of errors for unknown options and missing arguments, too, which Typer does not export."""


class Commands(TyperGroup):
    """Turn outcomes into exit codes: 0 success, 1 an expected error, 2 a usage error, 130 and 143 stopped by a signal."""

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        try:
            with stopping():
                return self._invoke(ctx)
        except KeyboardInterrupt as error:  # a second one, while the first was being reported
            raise typer.Exit(_stopped(error).exit_code) from error

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command, and give its options their current names."""
        name, command, rest = super().resolve_command(ctx, args)
        ctx.meta[_ARGUMENTS] = rest
        known = {option for parameter in getattr(command, "params", ()) for option in parameter.opts}
        return name, command, current_names(rest, known)

    def _invoke(self, ctx: typer.Context) -> Any:
        try:
            return super().invoke(ctx)
        except _UsageError as error:
            if isinstance(error, typer.BadParameter):
                got = given_value(ctx.meta.get(_ARGUMENTS, ()), getattr(error.param, "opts", ()))
                if got is not None and got not in error.message:
                    error.message = f"{error.message.removesuffix('.')}; got {got}"
            if ctx.invoked_subcommand == "train" and (rank := _rank()):
                report_of_other(rank, wait=True)
            raise
        except IEError as error:
            self._fail(ctx, error, error)
        except ModuleNotFoundError as error:
            if (error.name or "").split(".")[0] == "ie_cli":
                raise
            missing = IEError(f"this command needs {error.name}, which is not installed", hint=install_hint())
            self._fail(ctx, missing, error)
        except KeyboardInterrupt as error:
            stopped = _stopped(error)
            say(stopped.kept or "interrupted")
            raise typer.Exit(stopped.exit_code) from error
        except BrokenPipeError as error:
            # The reader has closed the pipe (`| head`), which is not an error.
            _discard_stdout()
            raise typer.Exit(0) from error
        except OSError as error:
            # If a stream cannot be written to, closing it fails again; report the first error.
            earlier = error.__context__
            self._fail(ctx, earlier if isinstance(earlier, StorageError) else storage_error(error), error)
        except (typer.Exit, SystemExit):
            raise
        except BaseException as error:  # a panic in Rust code is not an Exception
            if not is_out_of_memory(error):
                raise
            self._fail(ctx, IEError(str(error)), error)

    def _fail(self, ctx: typer.Context, reported: IEError, error: BaseException) -> NoReturn:
        """Print the error `reported`, which `error` caused, and exit with code 1."""
        command = self.commands.get(ctx.invoked_subcommand or "")
        options = options_of(command.params if command is not None else ())
        if is_out_of_memory(error) and not reported.message.startswith(OUT_OF_MEMORY):
            reported = _as_out_of_memory(reported, out_of_memory(options))
        if _debug():
            if not isinstance(error, IEError):
                raise error
            console.print_exception()
        try:
            print_error(replace_hint(reported, options))
        except Exception as second:
            if not is_out_of_memory(second):
                raise
            os.write(2, f"error: {OUT_OF_MEMORY}\n".encode())
        raise typer.Exit(1) from error


def report_of_other(rank: int, *, wait: bool) -> None:
    """Introduce the error of a process that is not the first of a launcher.

    Args:
        rank: the number of the process.
        wait: give the first process the time to report the same error; the launcher then ends this one, which reports nothing.
    """
    console.quiet = True
    if wait:
        wait_to_be_ended()
    console.quiet = False
    say(f"process {rank}:")


def _rank() -> int:
    """Return the number of this process among those of a launcher; 0 if it is not known."""
    try:
        return launched_rank()
    except IEError:
        return 0


_ARGUMENTS = "ie.arguments"
"""The key of a context under which the arguments of the command are kept for messages."""


def given_value(arguments: Sequence[str], options: Collection[str]) -> str | None:
    """Return the last value of an option on a command line, or None if it is not given in a usual form."""
    got = None
    for argument, following in zip_longest(arguments, arguments[1:]):
        name, equals, value = argument.partition("=")
        if name in options:
            got = value if equals else following
    return got


_RENAMED = {"--input-format": "--from", "--format": "--to"}
"""Earlier names of options, which scripts may still use."""


def current_names(arguments: Sequence[str], known: Collection[str]) -> list[str]:
    """Replace earlier names of options by the current ones, if the command knows these; `--` ends the options."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    current = []
    for argument in arguments[:end]:
        name, equals, value = argument.partition("=")
        new = _RENAMED.get(name)
        current.append(f"{new}{equals}{value}" if new in known and name not in known else argument)
    return [*current, *arguments[end:]]


@contextmanager
def exiting() -> Iterator[None]:
    """Ensure that the standard streams exist, and exit the process with the exit code of its command.

    Buffered output is written to stdout at the end; if that fails, the error is reported.

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
            print_error(out_of_memory({}))
            code = 1
        elif isinstance(error, OSError):  # outside any command, e.g. while help is printed
            code = _report_stdout_error(error)
        else:
            raise
    try:
        sys.stdout.flush()
    except OSError as error:
        code = code or _report_stdout_error(error)
        _discard_stdout()
    raise SystemExit(code)


def _report_stdout_error(error: OSError) -> int:
    """Print the error unless it is a closed pipe, and return the exit code."""
    if isinstance(error, BrokenPipeError):
        return 0
    print_error(storage_error(error, "standard output"))
    return 1


def _discard_stdout() -> None:
    """Redirect stdout to the null device; otherwise Python would report the error again when it closes stdout."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _as_out_of_memory(error: IEError, out_of_memory: IEError) -> IEError:
    """Return an error as one of memory: a file that could not be read for lack of memory is not damaged."""
    where, damaged, _ = error.message.partition(": damaged")
    if damaged:
        return IEError(f"{out_of_memory.message}: {where}", hint=out_of_memory.hint)
    message = f"{out_of_memory.message}: {error.message}" if error.message else out_of_memory.message
    hint = None if isinstance(error, StorageError) else error.hint  # another place would not help
    return IEError(message, hint=join_hints(hint, out_of_memory.hint))


def out_of_memory(options: Mapping[str, str]) -> IEError:
    """Return the error for insufficient memory, with a hint that names only options of the command."""
    smaller = None
    if "recipe" in options:
        smaller = "lower training.batch_size or encoder.max_length, or use a smaller encoder"
    elif "batch_size" in options:
        smaller = f"use a smaller {options['batch_size']}, or fewer threads (OMP_NUM_THREADS)"
    return IEError(
        OUT_OF_MEMORY, hint=join_hints(smaller, "free some memory, or raise the memory limit (`ulimit -v`).")
    )


def _stopped(error: KeyboardInterrupt) -> Stopped:
    return error if isinstance(error, Stopped) else Stopped(signal.SIGINT)


_FIELD = re.compile(r"data\.(format|text_column|label_columns)( in the recipe)?(?=[ ,:;.]|$)")
_PARAMETERS = {"format": "input_format"}
"""Recipe fields whose command parameter has a different name."""


def replace_hint(error: IEError, options: Mapping[str, str]) -> IEError:
    """Replace recipe fields in the hint of an error by options of the command, unless the command takes a recipe.

    Args:
        error: the error.
        options: the option of each parameter.
    """
    if error.hint is None or "recipe" in options:
        return error
    return IEError(error.message, hint=name_options(error.hint, options))


def name_options(text: str, options: Mapping[str, str]) -> str:
    """Replace the recipe fields for the reading of data by options of a command, given by the names of their parameters."""

    def option(match: re.Match[str]) -> str:
        return options.get(_PARAMETERS.get(match[1], match[1]), match[0])

    return _FIELD.sub(option, text)


def options_of(parameters: Iterable[Any]) -> dict[str, str]:
    """Return the option of each parameter of a command."""
    return {str(parameter.name): parameter.opts[0] for parameter in parameters}


def _debug() -> bool:
    return "--debug" in sys.argv or os.environ.get("IE_DEBUG", "") not in ("", "0")
