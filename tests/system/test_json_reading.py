"""JSON nested more deeply than the bound is an error in every reader, and never in a writer."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import orjson
import pytest

from ie_cli.system.json_reading import MAX_LEVELS, NestedTooDeeply, loads, read_json, require_shallow

PACKAGE = Path(__file__).parent.parent.parent / "ie_cli"
DEPTHS = [MAX_LEVELS + 1, 254, 255, 980, 1000, 1023, 1024, 1025, 5_000, 1_000_000]


def nested(levels: int, inner: str = "1") -> str:
    """Return alternately nested arrays and objects."""
    pairs = [("[", "]"), ('{"[": ', "}")]
    return (
        "".join(pairs[n % 2][0] for n in range(levels))
        + inner
        + "".join(pairs[n % 2][1] for n in reversed(range(levels)))
    )


@pytest.mark.parametrize("parse", [json.loads, orjson.loads])
def test_the_bound_is_the_last_depth_that_is_read(parse: object) -> None:
    value = loads(nested(MAX_LEVELS), parse)  # type: ignore[arg-type]
    require_shallow(value)
    assert orjson.loads(orjson.dumps(value)) == json.loads(json.dumps(value)) == value
    assert loads(nested(MAX_LEVELS - 1, "[1, 2]")) is not None


@pytest.mark.parametrize("levels", DEPTHS)
@pytest.mark.parametrize("parse", [json.loads, orjson.loads])
def test_one_level_more_is_an_error(levels: int, parse: object) -> None:
    # orjson's own bound has words of its own; the readers of records ask the standard library then.
    with pytest.raises((NestedTooDeeply, orjson.JSONDecodeError)):
        loads(nested(levels), parse)  # type: ignore[arg-type]
    with pytest.raises(NestedTooDeeply, match="nested too deeply: more than 100 levels"):
        loads(nested(levels))


def test_brackets_in_strings_and_side_by_side_are_not_levels() -> None:
    assert loads(json.dumps("[" * 500)) == "[" * 500
    assert loads(f"[{', '.join(['[]'] * 500)}]") == [[]] * 500


def test_nothing_else_in_the_package_reads_json_of_others() -> None:
    # What is written in the same breath is not checked once more.
    own = re.compile(r"(?<!\w)json\.loads\((?!json\.dumps)|json\.load\(")
    found = [
        f"{path.relative_to(PACKAGE)}: {line.strip()}"
        for path in PACKAGE.rglob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if own.search(line)
    ]
    assert [line.partition(":")[0] for line in found] == ["data/spool.py"]  # the lines that it has just written


@pytest.mark.skipif(sys.platform == "win32", reason="named pipes of POSIX")
def test_a_named_pipe_in_the_place_of_a_file_is_not_waited_for(tmp_path: Path) -> None:
    file = tmp_path / "facts.json"
    os.mkfifo(file)
    with pytest.raises(ValueError, match="a named pipe or a device, not a file"):
        read_json(file)
    file.unlink()
    file.write_text('{"a": "\u738b"}', encoding="utf-8")
    assert read_json(file) == {"a": "\u738b"}
    with pytest.raises(IsADirectoryError):
        read_json(tmp_path)
