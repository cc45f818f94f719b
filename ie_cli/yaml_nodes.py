"""YAML 1.2 as plain data with line numbers: no tags, no objects, no duplicate keys."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

Loc = tuple[str | int, ...]

_MOST_NODES = 20_000
# The core schema of YAML 1.2: `2e-5` is a number, `NO` and `on` are text.
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_WORDS = {"": None, "~": None, "null": None, "Null": None, "NULL": None}
_WORDS |= {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}


@dataclass(slots=True)
class Document:
    """A parsed document: its data, the line of every value (from 1), and the faults met (line, message)."""

    data: Any = None
    lines: dict[Loc, int] = field(default_factory=dict)
    faults: list[tuple[int, str]] = field(default_factory=list)
    nodes: int = 0


def parse(text: str) -> Document:
    """Read one YAML document; what is wrong with it is in `faults`."""
    document = Document()
    try:
        root = YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = " ".join(part for part in (error.problem, error.context) if part)
        document.faults.append(((mark.line + 1) if mark else 1, f"not valid YAML: {what}"))
        return document
    except (YAMLError, ValueError) as error:
        document.faults.append((1, f"not valid YAML: {next(iter(str(error).splitlines()), '')}"))
        return document
    if root is not None:
        document.data = _value(root, (), document)
    return document


def resolve_plain(text: str) -> Any:
    """The value of an unquoted scalar.

    >>> [resolve_plain(x) for x in ("2e-5", "NO", "12", "null", "true")]
    [2e-05, 'NO', 12, None, True]
    """
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        return int(text, 8 if text.startswith("0o") else 16 if text.startswith("0x") else 10)
    if _FLOAT.fullmatch(text):
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    return text


def _value(node: Node, loc: Loc, document: Document) -> Any:
    line = node.start_mark.line + 1
    document.lines[loc] = line
    document.nodes += 1
    if document.nodes > _MOST_NODES:  # aliases within aliases grow without end
        if document.nodes == _MOST_NODES + 1:
            document.faults.append((line, f"more than {_MOST_NODES} values; are aliases nested?"))
        return None
    if isinstance(node, ScalarNode):
        return _scalar(node, line, document)
    if isinstance(node, SequenceNode):
        _check_tag(node, "tag:yaml.org,2002:seq", line, document)
        return [_value(child, (*loc, number), document) for number, child in enumerate(node.value)]
    if not isinstance(node, MappingNode):
        return None
    _check_tag(node, "tag:yaml.org,2002:map", line, document)
    result: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key_line = key_node.start_mark.line + 1
        if not isinstance(key_node, ScalarNode):
            document.faults.append((key_line, "a key must be text"))
            continue
        key = key_node.value
        if key in result:
            first = document.lines[*loc, key]
            document.faults.append((key_line, f"the key '{key}' stands here a second time, the first is in line {first}"))
            continue
        result[key] = _value(value_node, (*loc, key), document)
        document.lines[*loc, key] = key_line
    return result


def _scalar(node: ScalarNode, line: int, document: Document) -> Any:
    tag = str(node.tag)
    if tag.removeprefix("tag:yaml.org,2002:") not in {"str", "int", "float", "bool", "null", "timestamp", "merge"}:
        document.faults.append((line, f"tags such as {tag} are not allowed: a recipe is data"))
        return None
    quoted = node.style is not None or (tag.endswith(":str") and _INT.fullmatch(node.value))  # "5", or !!str 5
    return node.value if quoted else resolve_plain(node.value)


def _check_tag(node: Node, expected: str, line: int, document: Document) -> None:
    if str(node.tag) != expected:
        document.faults.append((line, f"tags such as {node.tag} are not allowed: a recipe is data"))
