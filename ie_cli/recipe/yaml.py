"""YAML 1.2 as plain data with line numbers: no tags, no objects, no duplicate keys; and plain data as YAML.

It reads ruamel's events and builds nothing but dict, list, text, numbers, true, false and null: the scalars of the core
schema of YAML 1.2, in which `2e-5` is a number and `NO` and `on` are text.
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
    MappingEndEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

Loc = tuple[str | int, ...]

_MOST_EVENTS = 20_000
_MOST_DEPTH = 20
_INT = re.compile(r"[-+]?[0-9]{1,100}|0o[0-7]{1,100}|0x[0-9a-fA-F]{1,100}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS: dict[str, Any] = {"": None, "~": None}
_WORDS |= {form: None for form in ("null", "Null", "NULL")}
_WORDS |= {form: True for form in ("true", "True", "TRUE")}
_WORDS |= {form: False for form in ("false", "False", "FALSE")}
_WORDS |= {f"{sign}.{form}": float(f"{sign}inf") for sign in ("", "+", "-") for form in ("inf", "Inf", "INF")}
_WORDS |= {f".{form}": float("nan") for form in ("nan", "NaN", "NAN")}
# Words that YAML 1.1, which most other programs still read, takes for true and false.
_OLD_WORDS = frozenset({"y", "n", "yes", "no", "on", "off"})
_PLAIN = re.compile(r"[./]*[A-Za-z\u4e00-\u9fff_][A-Za-z0-9\u4e00-\u9fff_./-]*")


@dataclass(slots=True)
class ParsedYaml:
    """A parsed document.

    Attributes:
        lines: the line of every value, from 1.
        spelled: unquoted scalars as they stand in the file.
        faults: what is wrong: line and message.
    """

    data: Any = None
    lines: dict[Loc, int] = field(default_factory=dict)
    spelled: dict[Loc, str] = field(default_factory=dict)
    faults: list[tuple[int, str]] = field(default_factory=list)


class _TooMuch(Exception):
    """The document goes on beyond what a recipe can be: line and message."""


def parse(text: str) -> ParsedYaml:
    """Read one YAML document; what is wrong with it is in `faults`."""
    document = ParsedYaml()
    try:
        _Builder(document).build(YAML(typ="safe", pure=True).parse(text))
    except _TooMuch as error:
        document.faults.append(error.args)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = " ".join(dict.fromkeys(part for part in (error.problem, error.context) if part))
        document.faults.append(((mark.line + 1) if mark else 1, f"not valid YAML: {what}"))
    except YAMLError as error:  # a character that no YAML may hold; its position is a number of characters
        position = getattr(error, "position", 0)
        line = text.count("\n", 0, position) + 1 if isinstance(position, int) else 1
        document.faults.append((line, f"not valid YAML: {str(error).splitlines()[0]}"))
    except (ValueError, OverflowError, AssertionError) as error:  # the parser itself fails, e.g. on "\\U00110000"
        document.faults.append((1, f"not valid YAML: {error}"))
    else:
        document.faults = list(dict.fromkeys(document.faults))  # an alias repeats those of its anchor
        return document
    document.data = None  # what was read before it says little
    return document


class _Builder:
    """Make data of events; an alias replays the events of its anchor."""

    def __init__(self, document: ParsedYaml) -> None:
        self.document = document
        self.anchors: dict[str, tuple[Event, list[Event]]] = {}
        self.seen = 0

    def build(self, events: Iterator[Event]) -> None:
        """Read the one document that there may be."""
        begun = False
        for event in events:
            if isinstance(event, DocumentStartEvent) and begun:
                raise _TooMuch(_line(event), "a second document begins here; a recipe is one")
            begun |= isinstance(event, DocumentStartEvent)
            if isinstance(event, NodeEvent):
                self.document.data = self._value(event, events, (), 0)

    def _value(self, event: Any, events: Iterator[Event], loc: Loc, depth: int) -> Any:
        self.seen += 1
        line = _line(event)
        self.document.lines[loc] = line
        if self.seen > _MOST_EVENTS:  # aliases of aliases grow without end
            raise _TooMuch(line, f"more than {_MOST_EVENTS:,} values; a recipe is short")
        if depth > _MOST_DEPTH:
            raise _TooMuch(line, f"nested more than {_MOST_DEPTH} levels deep; a recipe has three")
        if isinstance(event, AliasEvent):
            return self._alias(event, loc, depth)
        if event.anchor:
            events = self._keep(event, events)
        if event.tag is not None:
            self._fault(event, f"the tag {_short_tag(event.tag)} is not allowed: a recipe is plain data")
        if isinstance(event, ScalarEvent):
            return self._scalar(event, loc)
        if isinstance(event, SequenceStartEvent):
            return self._sequence(events, loc, depth)
        return self._mapping(events, loc, depth)

    def _alias(self, event: AliasEvent, loc: Loc, depth: int) -> Any:
        kept = self.anchors.get(event.anchor)
        if kept is None:
            self._fault(event, f"*{event.anchor[:200]}: no such anchor before this line")
            return None
        first, rest = kept
        return self._value(first, iter(rest), loc, depth)

    def _keep(self, first: Any, events: Iterator[Event]) -> Iterator[Event]:
        """Set the events of an anchored node aside for its aliases, and give them out as they came."""
        rest: list[Event] = []
        open_nodes = int(isinstance(first, CollectionStartEvent))
        while open_nodes:
            event = next(events)
            rest.append(event)
            open_nodes += isinstance(event, CollectionStartEvent)
            open_nodes -= isinstance(event, CollectionEndEvent)
        self.anchors[first.anchor] = (first, rest)
        return iter(rest)

    def _sequence(self, events: Iterator[Event], loc: Loc, depth: int) -> list[Any]:
        result: list[Any] = []
        while not isinstance(event := next(events), SequenceEndEvent):
            result.append(self._value(event, events, (*loc, len(result)), depth + 1))
        return result

    def _mapping(self, events: Iterator[Event], loc: Loc, depth: int) -> dict[str, Any]:
        result: dict[str, Any] = {}
        while not isinstance(event := next(events), MappingEndEvent):
            if not isinstance(event, ScalarEvent) or event.tag is not None:
                self._fault(event, "a key must be plain text")
                self._value(event, events, (*loc, "?"), depth + 1)
                self._value(next(events), events, (*loc, "?"), depth + 1)
                continue
            key, line = str(event.value), _line(event)
            inner = (*loc, key)
            if key in result:
                first = self.document.lines[inner]
                self._fault(event, f"{_dotted(inner)}: given a second time, first in line {first}")
                self._value(next(events), events, (*loc, "?"), depth + 1)
                continue
            result[key] = self._value(next(events), events, inner, depth + 1)
            self.document.lines[inner] = line
        return result

    def _scalar(self, event: ScalarEvent, loc: Loc) -> Any:
        if event.style is not None:  # quoted or block: always text
            return event.value
        self.document.spelled[loc] = event.value
        return resolve_plain(event.value)

    def _fault(self, event: Event, message: str) -> None:
        self.document.faults.append((_line(event), message))


def _line(event: Event) -> int:
    return int(event.start_mark.line) + 1


def _dotted(loc: Loc) -> str:
    return ".".join(map(str, loc))[:200]


def _short_tag(tag: str) -> str:
    return str(tag).replace("tag:yaml.org,2002:", "!!")[:200]


def resolve_plain(text: str) -> Any:
    """The value of an unquoted scalar.

    >>> [resolve_plain(x) for x in ("2e-5", "NO", "12", "null", "true")]
    [2e-05, 'NO', 12, None, True]
    """
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
    return float(text) if _FLOAT.fullmatch(text) else text


def flow(value: Any) -> str:
    """A value as YAML on one line, that YAML 1.1 programs read alike."""
    if isinstance(value, str):
        plain = _PLAIN.fullmatch(value) and isinstance(resolve_plain(value), str) and value.lower() not in _OLD_WORDS
        return value if plain else _quoted(value)
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(flow, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{flow(key)}: {flow(item)}" for key, item in value.items()) + "}"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, float) and not math.isfinite(value):
        return ".nan" if math.isnan(value) else ".inf" if value > 0 else "-.inf"
    # `1e-05` would be text for YAML 1.1, which wants a point.
    return re.sub(r"^(-?\d+)e", r"\1.0e", repr(value))


def _quoted(text: str) -> str:
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(char: str) -> str:
    if char in '"\\':
        return "\\" + char
    # Unassigned and surrogate code points, line separators and the byte-order mark are not printable either.
    return char if char.isprintable() else f"\\U{ord(char):08x}"
