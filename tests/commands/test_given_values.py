"""Usage errors say what was given."""

from __future__ import annotations

import pytest
from support.runner import ie

from ie_cli.commands.exit_codes import given_value


@pytest.mark.parametrize(
    "arguments", [("--threshold", "1.5"), ("--threshold=1.5",), ("--threshold=2", "--threshold=1.5")]
)
def test_a_value_out_of_range_is_named(arguments: tuple[str, ...]) -> None:
    result = ie("predict", "x.jsonl", *arguments)
    assert result.exit_code == 2
    said = " ".join(result.stderr.replace("│", " ").split())
    assert "'--threshold'" in said
    assert "1.5" in said.partition("'--threshold'")[2]


def test_the_last_value_of_an_option_counts() -> None:
    arguments = ["a", "--threshold", "2", "-t=3", "--other", "4", "--threshold"]
    assert given_value(arguments[:-1], ("--threshold", "-t")) == "3"
    assert given_value(arguments, ("--threshold",)) is None
    assert given_value(arguments, ("--none",)) is None
