"""Mutations of samples: bytes that are nearly right, which reach further into a reader than noise does."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
SAMPLES = [path.read_bytes() for path in sorted((ROOT / "data" / "samples").iterdir()) if path.suffix != ".gz"]
RICH = """
{"id": "7", "text": "王伟在青川", "entities": [{"start": 0, "end": 2, "label": "人", "text": "王伟", "score": 0.98}], \
"relations": [{"subject": {"start": 0, "end": 2, "label": "人"}, "predicate": "住地", \
"object": {"start": 3, "end": 5, "label": "地"}, "score": 1}]}
{"text": "ab a", "entities": [], "offsets": "guessed", "triples": [{"subject": "a", "predicate": "p", \
"object": {"@value": "b", "onDate": "a"}, "subject_type": "x", "object_type": {"@value": "y", "onDate": "z"}}], "x": [2.5]}
{"id": 3, "label": {"name": {"Ann": [[0, 2], [8, 10]]}}}
{"text": "Ann met Bob", "id": 1, "relation_list": [{"subject": "Ann", "predicate": "p", "object": "Bob", \
"subj_tok_span": [0, 1], "obj_tok_span": [2, 3]}], "entity_list": [{"text": "Ann", "type": "x", "char_span": [0, 3]}]}
{"sentText": "Ann met Bob", "relationMentions": [{"em1Text": "Ann", "label": "p", "em2Text": "Bob"}]}
{"tokens": ["Ann", "met", "Bob"], "tags": ["U-x", "O", "B-y"], "relations": [{"type": "p", "head": 0, "tail": 1}], \
"orig_id": 4}
"""
"""Records with the fields that the samples do not have."""
SAMPLES += [RICH.encode(), *(line.encode() for line in RICH.strip().split("\n"))]
RECIPES = [path.read_bytes() for path in sorted((ROOT / "recipes").glob("*.yaml"))]

# What breaks programs that count characters, lines or bytes.
PIECES = [
    "\ufeff", "\x00", "\r\n", "\n", "\n\n", "\u2028", "\x85", "\t", " ", "\u3000", "\xa0", "\x0b", "\x1c", "\u200b",
    "\u200d", "👩\u200d🔬", "e\u0301", "\u202eabc\u202c", "مرحبا", "שלום", "𠀀", "İ", "ß", "ﬁ", "Ⅷ", "\\ud83d", "\\u0000",
    "\ufffe", "[", "]", "{", "}", '"', "\\", ",", ":", "'", "#", "-", "&a", "*a", "!!python/object:os.system ", "<<: ",
    "O", "B-", "I-PER", "['N']", "#doc 1", "-DOCSTART-", "NaN", "Infinity", "1e999", "-0", "9" * 30, "0x10", "null", "true",
]  # fmt: skip
VALUES: list[Any] = [
    None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, -(10**30), 10**4000, 0.5, -0.0, 1e308, float("nan"), float("inf"),
    "", " ", "a", "\x00", "\ud83d", "👩\u200d🔬", "e\u0301", "x" * 300, [], {}, [[]], [None], {"": ""}, [[0, 1]], ["a", "b", "c"],
    {"@value": "a"}, {"@value": 1}, {"start": 0, "end": 1, "label": "a"}, [{"start": 0, "end": 10**20, "label": ""}],
]  # fmt: skip

Mutation = Callable[[random.Random, bytes, Sequence[bytes]], bytes]


def mutate(source: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Change a sample in one to four ways; `others` are spliced into it."""
    for _ in range(source.choice([1, 1, 1, 2, 2, 3, 4])):
        data = source.choice(MUTATIONS)(source, data, others)
    return data[:200_000]


def _place(source: random.Random, data: bytes) -> int:
    return source.randint(0, len(data))


def flip(source: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Change a few bytes."""
    changed = bytearray(data or b"\0")
    for _ in range(source.choice([1, 1, 2, 8])):
        place = source.randrange(len(changed))
        changed[place] = source.choice([changed[place] ^ 1 << source.randrange(8), source.randrange(256)])
    return bytes(changed)


def truncate(source: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Cut off the end, or the beginning."""
    place = _place(source, data)
    return data[:place] if source.random() < 0.8 else data[place:]


def cut(source: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Take a piece out."""
    a, b = sorted((_place(source, data), _place(source, data)))
    return data[:a] + data[min(b, a + source.choice([1, 1, 8, 10**6])) :]


def duplicate(source: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Repeat a piece, or the whole."""
    if source.random() < 0.3:
        return data + data
    a, b = sorted((_place(source, data), _place(source, data)))
    return data[:b] + data[a:b] + data[b:]


def splice(source: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Go on with another sample."""
    other = source.choice(others)
    return data[: _place(source, data)] + other[_place(source, other) :]


def lines(source: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Move, repeat or mix whole lines."""
    found = data.split(b"\n") + source.choice(others).split(b"\n")[: source.choice([0, 1, 3])]
    line = source.choice(found)
    if source.random() < 0.5 and line in found:
        found.remove(line)
    found.insert(source.randint(0, len(found)), line)
    return b"\n".join(found)


def insert(source: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Put odd characters in, whole ones or their bytes."""
    place = _place(source, data)
    while place < len(data) and data[place] & 0xC0 == 0x80:  # mostly between characters
        place += 1
    piece = source.choice(PIECES).encode() * source.choice([1, 1, 1, 2, 50])
    if source.random() < 0.1:
        piece = piece[: source.randint(0, len(piece))]
    return data[:place] + piece + data[place:]


def numbers(source: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Put another number in the place of one."""
    places = [n for n, byte in enumerate(data) if chr(byte).isdigit()]
    if not places:
        return insert(source, data, others)
    place = source.choice(places)
    return (
        data[:place]
        + source.choice([b"-1", b"0", b"1.5", b"7", b"1e400", b"9" * 25, b"9" * 400, b"9" * 5000])
        + data[place + 1 :]
    )


def json_value(source: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Put another value in the place of one in a JSON file, or in one of its lines."""
    try:
        return dumped(source, json.loads(data))
    except (ValueError, RecursionError):
        pass
    rows = data.split(b"\n")
    number = source.randrange(len(rows))
    try:
        rows[number] = dumped(source, json.loads(rows[number]))
    except (ValueError, RecursionError):
        return lines(source, data, others)
    return b"\n".join(rows)


def dumped(source: random.Random, value: Any) -> bytes:
    """JSON of a value, with a part of it replaced, renamed, removed or repeated."""
    changed = json.dumps(_changed(source, value), ensure_ascii=source.random() < 0.3)
    return changed.encode("utf-8", "surrogatepass" if source.random() < 0.05 else "backslashreplace")


def _changed(source: random.Random, value: Any) -> Any:
    if isinstance(value, (dict, list)) and value and source.random() < 0.85:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        key = source.choice(keys)
        copy: Any = dict(value) if isinstance(value, dict) else list(value)
        way = source.random()
        if way < 0.1:
            del copy[key]
        elif way < 0.2 and isinstance(copy, dict):
            copy[source.choice(["", "text", "label", "id", "\ud83d", "x"])] = copy.pop(key)
        elif way < 0.3 and isinstance(copy, list):
            copy.append(copy[key])
        else:
            copy[key] = _changed(source, copy[key])
        return copy
    if isinstance(value, str) and source.random() < 0.4:
        place = source.randint(0, len(value))
        return value[:place] + source.choice(PIECES) + value[place:]
    if isinstance(value, int) and source.random() < 0.5:
        return value + source.choice([-1, 1, 2, 3, 100])
    chosen = source.choice(VALUES)
    # Python writes no more than 4,300 digits of a number.
    return chosen if chosen != 10**4000 or source.random() < 0.5 else "9"


MUTATIONS: list[Mutation] = [
    flip, truncate, cut, duplicate, splice, lines, insert, insert, numbers, json_value, json_value, json_value,
]  # fmt: skip
