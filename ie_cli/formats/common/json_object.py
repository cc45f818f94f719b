"""Parsing of a JSON object, with errors that say what is wrong with it."""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

from ie_cli.errors import DataError
from ie_cli.system.json_reading import NestedTooDeeply, loads

_LONG_NUMBER = re.compile(r"\d{19}")
_FORM = "write one JSON object per line, or one array of objects."
_BYTE_ORDER_MARK = "\ufeff"  # found inside concatenated files


def parse_value(line: str) -> Any:
    """Parse a line as JSON.

    Raises:
        DataError: the line is not valid JSON.
    """
    line = line.removeprefix(_BYTE_ORDER_MARK)
    try:
        # orjson turns integers of more than 64 bits into floats and rejects lone surrogates, which JSON can contain;
        # the standard library reads both.
        return loads(line, json.loads if _LONG_NUMBER.search(line) else orjson.loads)
    except ValueError:
        try:
            return loads(line)
        except ValueError as error:
            raise DataError(f"not valid JSON: {_why(error)}", hint=_json_hint(line)) from error


def parse_object(line: str) -> dict[str, Any]:
    """Parse a line as a JSON object.

    Raises:
        DataError: the line is not valid JSON, or not an object.
    """
    value = parse_value(line)
    if not isinstance(value, dict):
        kind = {list: "an array", str: "a string", type(None): "null", bool: "a boolean"}.get(type(value), "a number")
        raise DataError(
            f"expected a JSON object, got {kind}",
            hint=_FORM,
        )
    return value


def _why(error: ValueError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return (
            f"{error.msg} (line {error.lineno}, column {error.colno})"
            if error.lineno > 1
            else (f"{error.msg} (column {error.colno})")
        )
    return str(error) if isinstance(error, NestedTooDeeply) else "a number has too many digits"


def _json_hint(line: str) -> str:
    if "\0" in line:
        return (
            "get the file from its source again: it contains NUL characters, so it was damaged in writing or copying."
        )
    return _FORM
