"""Reading YAML 1.2 as plain data with line numbers, without tags, objects or duplicate keys; and writing plain data as YAML.

ruamel composes the nodes, which are converted to dict, list, text, numbers, true, false and null only: the scalars of the
core schema of YAML 1.2, in which `2e-5` is a number and `NO` and `on` are text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    Event,
    NodeEvent,
    ScalarEvent,
)
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode

Loc = tuple[str | int, ...]

INVALID = "not valid YAML"
"""The beginning of the message of every syntax error."""
_MAX_VALUES = 20_000
_MAX_DEPTH = 20
_INT = re.compile(r"[-+]?[0-9]{1,100}|0o[0-7]{1,100}|0x[0-9a-fA-F]{1,100}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS: dict[str, Any] = {"": None, "~": None}
_WORDS |= {form: None for form in ("null", "Null", "NULL")}
_WORDS |= {form: True for form in ("true", "True", "TRUE")}
_WORDS |= {form: False for form in ("false", "False", "FALSE")}
_WORDS |= {f"{sign}.{form}": float(f"{sign}inf") for sign in ("", "+", "-") for form in ("inf", "Inf", "INF")}
_WORDS |= {f".{form}": float("nan") for form in ("nan", "NaN", "NAN")}
# Words that YAML 1.1, which many programs still use, reads as true or false.
_YAML_1_1_BOOLEANS = frozenset({"y", "n", "yes", "no", "on", "off"})
# A key as far as the colon of Chinese and Japanese keyboards, which YAML reads as a letter.
_WIDE_COLON = re.compile(r"^[ \t]*(?:- +)?[A-Za-z_]+[ \t]*：", re.M)
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
"""How `flow` writes quotation marks, backslashes and the usual whitespace."""
_PLAIN = re.compile(r"[./]*[A-Za-z\u4e00-\u9fff_][A-Za-z0-9\u4e00-\u9fff_./-]*")


@dataclass(slots=True)
class ParsedYaml:
    """A parsed document.

    Attributes:
        lines: the line of every value, counted from 1.
        spelled: unquoted scalars as they appear in the file.
        problems: the line and the message of each problem.
    """

    data: Any = None
    lines: dict[Loc, int] = field(default_factory=dict)
    spelled: dict[Loc, str] = field(default_factory=dict)
    problems: list[tuple[int, str]] = field(default_factory=list)


class _Rejected(Exception):
    """The document cannot be a recipe; the arguments are a line and a message."""


def parse(text: str) -> ParsedYaml:
    """Read one YAML document; its errors are in `problems`."""
    document = ParsedYaml()
    try:
        _check_events(document, _reader().parse(text))
        root = _reader().compose(text)
        if root is not None:
            document.data = _Builder(document).value(root, (), 0)
    except _Rejected as error:
        document.problems.append(error.args)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = " ".join(dict.fromkeys(part for part in (error.problem, error.context) if part))
        line = (mark.line + 1) if mark else 1
        document.problems.append(_wide_colon(text, line) or (line, f"{INVALID}: {what}"))
    except YAMLError as error:  # a character that YAML forbids; the position counts characters
        position = getattr(error, "position", 0)
        line = text.count("\n", 0, position) + 1 if isinstance(position, int) else 1
        document.problems.append((line, f"{INVALID}: {str(error).splitlines()[0]}"))
    except (ValueError, OverflowError, AssertionError) as error:  # the parser itself fails, e.g. on "\\U00110000"
        document.problems.append((1, f"{INVALID}: {error}"))
    else:
        document.problems = list(dict.fromkeys(document.problems))  # an alias repeats the problems of its anchor
        return document
    document.data = None  # partial data would cause misleading problems
    return document


def _wide_colon(text: str, line: int) -> tuple[int, str] | None:
    """Return the problem of a full-width colon after a key, at or before the line where the parser fails."""
    if (found := _WIDE_COLON.search(text)) is None:
        return None
    place = text.count("\n", 0, found.end()) + 1
    return (place, f"{INVALID}: a full-width colon '：' after a key; write ':' and a space") if place <= line else None


def _reader() -> YAML:
    reader = YAML(typ="safe", pure=True)
    reader.composer.warn_double_anchors = False  # the last one counts, as YAML specifies
    return reader


def _check_events(document: ParsedYaml, events: Iterator[Event]) -> None:
    """Check for problems that nodes no longer show, and reject documents that would take long to compose."""
    anchors: set[str] = set()
    documents = nodes = depth = 0
    for event in events:
        documents += isinstance(event, DocumentStartEvent)
        if documents > 1:
            raise _Rejected(_line(event), "expected a single document, but a second one begins here")
        depth -= isinstance(event, CollectionEndEvent)
        if not isinstance(event, NodeEvent):
            continue
        nodes += 1
        _require_within_limits(_line(event), nodes // 2, depth)  # every mapping value has a key node
        depth += isinstance(event, CollectionStartEvent)
        if isinstance(event, AliasEvent):
            if event.anchor not in anchors:
                raise _Rejected(_line(event), f"*{event.anchor[:200]}: no such anchor before this line")
        elif isinstance(event, (ScalarEvent, CollectionStartEvent)):
            anchors.add(event.anchor)
            if event.tag is not None:
                tag = event.tag.replace("tag:yaml.org,2002:", "!!")[:200]
                document.problems.append((_line(event), f"the tag {tag} is not allowed: a recipe is plain data"))


def _require_within_limits(line: int, values: int, depth: int) -> None:
    if values > _MAX_VALUES:
        raise _Rejected(line, f"too large for a recipe: more than {_MAX_VALUES:,} values")
    if depth > _MAX_DEPTH:
        raise _Rejected(line, f"nested too deeply for a recipe: more than {_MAX_DEPTH} levels")


def _line(part: Event | Node) -> int:
    return int(part.start_mark.line) + 1


class _Builder:
    """Converts nodes to data; a node with aliases is visited once per alias, and may contain itself."""

    def __init__(self, document: ParsedYaml) -> None:
        self.document = document
        self.values = 0

    def value(self, node: Node, loc: Loc, depth: int) -> Any:
        self.values += 1
        self.document.lines[loc] = _line(node)
        _require_within_limits(_line(node), self.values, depth)
        if isinstance(node, ScalarNode):
            if node.style is not None:  # quoted or block: always text
                return node.value
            self.document.spelled[loc] = node.value
            return resolve_plain(node.value)
        if isinstance(node, MappingNode):
            return self._mapping(node, loc, depth)
        return [self.value(item, (*loc, number), depth + 1) for number, item in enumerate(node.value)]

    def _mapping(self, node: MappingNode, loc: Loc, depth: int) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, item in node.value:
            name = key.value if isinstance(key, ScalarNode) else None
            inner = (*loc, str(name))
            if name is None:
                message = "a key must be plain text"
            elif name in result:
                message = f"{_dotted(inner)}: duplicate key, first given in line {self.document.lines[inner]}"
            else:
                result[name] = self.value(item, inner, depth + 1)
                self.document.lines[inner] = _line(key)
                continue
            self.document.problems.append((_line(key), message))
            self.value(item, (*loc, "?"), depth + 1)
        return result


def _dotted(loc: Loc) -> str:
    return ".".join(map(str, loc))[:200]


def resolve_plain(text: str) -> Any:
    """Return the value of an unquoted scalar.

    >>> [resolve_plain(x) for x in ("2e-5", "NO", "12", "null", "true")]
    [2e-05, 'NO', 12, None, True]
    """
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
    return float(text) if _FLOAT.fullmatch(text) else text


def flow(value: Any) -> str:
    """Format a value as YAML on one line that YAML 1.1 programs read in the same way."""
    if isinstance(value, str):
        plain = (
            _PLAIN.fullmatch(value)
            and isinstance(resolve_plain(value), str)
            and value.lower() not in _YAML_1_1_BOOLEANS
        )
        return value if plain else _quoted(value)
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(flow, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{flow(key)}: {flow(item)}" for key, item in value.items()) + "}"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, float) and not math.isfinite(value):
        return ".nan" if math.isnan(value) else ".inf" if value > 0 else "-.inf"
    # YAML 1.1 requires a decimal point: `1e-05` would be text.
    return re.sub(r"^(-?\d+)e", r"\1.0e", repr(value))


def _quoted(text: str) -> str:
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(char: str) -> str:
    if char in _ESCAPES:
        return _ESCAPES[char]
    # Not printable are also unassigned and surrogate code points, line separators and the byte-order mark.
    return char if char.isprintable() else f"\\U{ord(char):08x}"
