"""The commands, run in the process of the tests."""

from __future__ import annotations

from click.testing import CliRunner, Result
from typer.main import get_command

from ie_cli.cli import app

_COMMAND = get_command(app)  # built once: Typer would do it for every call


def ie(*arguments: str, stdin: str | bytes | None = None) -> Result:
    """Run a command, which must not end in a traceback."""
    result = CliRunner().invoke(_COMMAND, list(arguments), input=stdin)
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    assert "Traceback" not in result.output
    return result


def said(result: Result) -> str:
    """Standard error in one line."""
    return " ".join(result.stderr.split())
