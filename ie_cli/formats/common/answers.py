"""What a language model or GLiNER has written about a text: mentions with labels and triples, usually without offsets.

An answer is a JSON value, or a string that contains one, alone or in a fenced code block between other text. Mentions are a list
of objects ``{"text": "Ann", "label": "person", "score": 0.9}`` or of pairs ``["Ann", "person"]``, or an object of mentions by
label, ``{"person": ["Ann"]}``; triples are objects ``{"subject": "Ann", "predicate": "knows", "object": "Bob"}`` or lists of
three. The fields have many names, which are listed here. An item that cannot be used is returned, too.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ie_cli.errors import DataError
from ie_cli.formats.common.base import format_field_names, is_storable, short
from ie_cli.system.json_reading import loads, require_shallow

ENTITIES = ("entities", "ner", "named_entities", "mentions", "spans", "entity_list")
RELATIONS = ("relations", "triples", "triplets", "triple_list", "spo_list", "relation_list", "relation_extraction")
AROUND = (
    *("response", "result", "body", "choices", "message", "content", "output", "answer", "prediction", "predictions"),
    *("completion", "generated_text", "output_text", "annotation", "annotations"),
)
"""Fields that an answer may be in, also one inside the other."""
_TEXT = ("text", "mention", "span", "name", "word", "value", "surface", "entity")
_LABEL = ("label", "type", "entity_type", "entity_group", "category", "class", "tag", "entity")
_SCORE = ("score", "confidence", "probability", "prob")
_START, _END = ("start", "start_char", "start_offset", "begin"), ("end", "end_char", "end_offset")
_SUBJECT = ("subject", "head", "subj", "source", "from", "arg1")
_OBJECT = ("object", "tail", "obj", "target", "to", "arg2")
_PREDICATE = ("predicate", "relation", "relation_type", "rel", "type", "label", "property")
_FENCE = re.compile(r"```[\w-]*\s*\n?(.*?)```", re.S)
_HINT = (
    'write each answer as {"entities": [{"text": "Ann", "label": "person"}]}, as {"person": ["Ann"]} or as '
    '{"relations": [{"subject": "Ann", "predicate": "knows", "object": "Bob"}]}.'
)


@dataclass(frozen=True, slots=True)
class Mention:
    """A mention with its label, and the offsets that were written with it, which may be wrong."""

    text: str
    label: str
    score: float | None = None
    span: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """A triple by its texts; a type is None if it was not written."""

    subject: str
    predicate: str
    object: str
    score: float | None = None
    subject_type: str | None = None
    object_type: str | None = None


@dataclass(slots=True)
class Answer:
    """What an answer contains; `related`: whether it speaks of relations; `unusable`: items without a text or a name."""

    mentions: list[Mention] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    related: bool = False
    unusable: list[Any] = field(default_factory=list)


def parse_answer(value: Any, *, is_record: bool = False) -> Answer:
    """Find the mentions and triples of an answer.

    Args:
        value: the answer, or a record with the answer in one of its fields.
        is_record: whether the value is an object with other fields, too, so that its own fields are no labels.

    Raises:
        DataError: there is no annotation; the message does not include the place.
    """
    try:
        require_shallow(value)
        return _parsed(value, is_record)
    except ValueError as error:
        raise DataError(str(error)) from error


def _parsed(value: Any, is_record: bool) -> Answer:
    if isinstance(value, str):
        return _parsed(json_in(value), False)
    answer = Answer()
    if isinstance(value, list):
        if value and all(isinstance(item, dict) and _is_around(item) for item in value):
            return _parsed(value[0], False)  # the choices of an answer
        if value and all(
            isinstance(item, dict) and item.get("type") == "text" and "label" not in item for item in value
        ):
            return _parsed("".join(str(item.get("text", "")) for item in value), False)  # the parts of a message
        _add_items(answer, value)
        return answer
    if not isinstance(value, dict):
        raise DataError(f"expected an object, a list or a string with one, got {short(value)}", hint=_HINT)
    known = [name for name in (*ENTITIES, *RELATIONS) if name in value]
    if not known and (around := next((name for name in AROUND if value.get(name) is not None), None)) is not None:
        return _parsed(value[around], False)
    for name in known:
        answer.related |= name in RELATIONS
        if isinstance(value[name], Mapping):
            _add_by_name(answer, value[name], related=name in RELATIONS)
        elif isinstance(value[name], list):
            _add_items(answer, value[name], related=name in RELATIONS)
        elif value[name] is not None:
            answer.unusable.append({name: value[name]})
    if not known:
        if is_record or not all(item is None or isinstance(item, (str, list, dict)) for item in value.values()):
            raise DataError(f"no field with entities or relations (found: {format_field_names(value)})", hint=_HINT)
        _add_by_name(answer, value, related=False)
    return answer


def _is_around(item: Mapping[str, Any]) -> bool:
    return _first(item, AROUND) is not None and not any(name in item for name in _LABEL)


def json_in(text: str) -> Any:
    """Return the JSON value in a text: the whole text, a fenced code block, or what the first bracket opens.

    Raises:
        DataError: there is none.
    """
    text = text.rpartition("</think>")[2].strip()
    for part in (text, *reversed(_FENCE.findall(text))):
        try:
            value = loads(part)
        except ValueError:
            continue
        if isinstance(value, (dict, list, str)):
            return value
    for match in re.finditer(r"[\[{]", text):
        try:
            value, _ = json.JSONDecoder().raw_decode(text, match.start())
        except (ValueError, RecursionError):
            continue
        require_shallow(value)
        return value
    raise DataError(f"no JSON in the answer {short(text)}", hint=_HINT)


def _add_items(answer: Answer, items: Sequence[Any], *, related: bool | None = None) -> None:
    """Add the items of a list; None as `related` leaves open whether they are mentions or triples."""
    for item in items:
        is_link = related if related is not None else _looks_linked(item)
        answer.related |= is_link
        found: Mention | Link | None = _link(item) if is_link else _mention(item)
        _add(answer, found, item)


def _add_by_name(answer: Answer, items: Mapping[str, Any], *, related: bool) -> None:
    """Add mentions by label, or pairs of arguments by predicate."""
    for name, values in items.items():
        for value in values if isinstance(values, list) else [] if values is None else [values]:
            found: Mention | Link | None
            if related:
                pair = value if isinstance(value, list) and len(value) == 2 else None
                found = _link([pair[0], name, pair[1]] if pair else {**_fields(value), "predicate": name})
            else:
                found = _mention([value, name] if isinstance(value, str) else {**_fields(value), "label": name})
            _add(answer, found, {name: value})


def _add(answer: Answer, found: Mention | Link | None, item: Any) -> None:
    if isinstance(found, Mention):
        answer.mentions.append(found)
    elif isinstance(found, Link):
        answer.links.append(found)
    else:
        answer.unusable.append(item)


def _fields(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _looks_linked(item: Any) -> bool:
    if isinstance(item, list):
        return len(item) == 3 and all(isinstance(part, str) for part in item)
    return isinstance(item, dict) and _first(item, _SUBJECT) is not None and _first(item, _OBJECT) is not None


def _mention(item: Any) -> Mention | None:
    if isinstance(item, list):
        if len(item) not in (2, 3) or not _usable(*item[:2]):
            return None
        return Mention(item[0], item[1], _number(item[2]) if len(item) == 3 else None)
    if not isinstance(item, dict):
        return None
    strings = {name: value for name, value in item.items() if isinstance(value, str)}
    text = next(_named(strings, _TEXT), None)
    own = next((name for name in _TEXT if name in strings), None)  # `entity` is a mention or a label
    label = next((strings[name] for name in _LABEL if name in strings and name != own), None)
    span = _span(item)
    if label is None or not _usable(label) or (text is None and span is None):
        return None
    return Mention(text or "", label, _score(item), span)


def _link(item: Any) -> Link | None:
    if isinstance(item, list):
        return Link(*item) if len(item) == 3 and _usable(*item) else None
    if not isinstance(item, dict):
        return None
    sides = [_side(item, names) for names in (_SUBJECT, _OBJECT)]
    predicate = next(_named(item, _PREDICATE), None)
    (subject, subject_type), (object_, object_type) = sides
    if subject is None or object_ is None or predicate is None or not _usable(subject, predicate, object_):
        return None
    return Link(subject, predicate, object_, _score(item), subject_type, object_type)


def _side(item: Mapping[str, Any], names: Sequence[str]) -> tuple[str | None, str | None]:
    """Return the text of an argument and its type; it may be an object of both."""
    name = next((name for name in names if isinstance(item.get(name), (str, dict))), None)
    if name is None:
        return None, None
    value = item[name]
    if isinstance(value, dict):
        return next(_named(value, _TEXT), None), next(_named(value, _LABEL), None)
    return value, next(_named(item, (f"{name}_type", f"{name}_label")), None)


def _span(item: Mapping[str, Any]) -> tuple[int, int] | None:
    start, end = _first(item, _START), _first(item, _END)
    if isinstance(item.get("span"), list) and len(item["span"]) == 2:
        start, end = item["span"]
    return (start, end) if type(start) is int and type(end) is int else None


def _score(item: Mapping[str, Any]) -> float | None:
    return _number(_first(item, _SCORE))


def _number(value: Any) -> float | None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) else None


def _usable(*names: Any) -> bool:
    return all(isinstance(name, str) and name.strip() and is_storable(name) for name in names)


def _first(item: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((item[name] for name in names if item.get(name) is not None), None)


def _named(item: Mapping[str, Any], names: Sequence[str]) -> Iterator[str]:
    return (item[name] for name in names if isinstance(item.get(name), str) and item[name].strip())
