"""Random examples with relations, for the round trips of formats."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from ie_cli.document import Argument, Document, Entity, Event, Relation
from ie_cli.formats.common.joining import join_tokens


def joined(text: str) -> str:
    """Two halves of a surrogate pair side by side are one character in JSON, so no reader has them."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


# Chinese, emoji of several characters, combining accents, many kinds of whitespace, half a surrogate pair.
TEXT = st.text(
    st.one_of(st.characters(), st.sampled_from("ab中文👩\u200d🔬e\u0301 \u3000\t\n\xa0\ud800，")), max_size=24
).map(joined)
TOKENS = st.lists(st.text(st.sampled_from("abX.'#👩\u200de\u0301中文，Ⅷ"), min_size=1, max_size=3), max_size=9)
LABELS = st.sampled_from(["人物", "Org", "a-b", "entity"])
PREDICATES = st.sampled_from(["创始人", "Live_In", "it's", 'a "b"'])


@st.composite
def documents(draw: st.DrawFn) -> Document:
    """Any text, any entities, and relations between these and others."""
    text = draw(TEXT)
    if not text:
        return Document("")
    boundaries = st.tuples(st.integers(0, len(text) - 1), st.integers(1, len(text))).filter(lambda b: b[0] < b[1])
    entity = st.builds(lambda b, label: Entity(*b, label), boundaries, LABELS)
    entities = draw(st.lists(entity, max_size=4, unique=True))
    return Document(text, entities, draw(_relations([*entities, draw(entity)])), draw(_IDS))


@st.composite
def joined_documents(draw: st.DrawFn, *, flat: bool) -> Document:
    """A text made of tokens, entities of whole tokens (that overlap or do not), and relations between them."""
    tokens = draw(TOKENS)
    text, starts = join_tokens(tokens, None)
    ends = [start + len(token) for start, token in zip(starts, tokens, strict=True)]
    spans: list[tuple[int, int]] = []
    for first in range(len(tokens)):
        if not flat or not spans or first > spans[-1][1]:
            spans.extend((first, last) for last in draw(st.sets(st.integers(first, len(tokens) - 1), max_size=1)))
    entities = [Entity(starts[first], ends[last], draw(LABELS)) for first, last in spans]
    return Document(text, entities, draw(_relations(entities)) if entities else [], draw(_IDS))


_IDS = st.none() | st.integers(-(10**18), 10**18) | st.sampled_from(["a1", "甲-2"])


def _relations(entities: list[Entity]) -> st.SearchStrategy[list[Relation]]:
    some = st.sampled_from(entities)
    return st.lists(st.builds(Relation, some, PREDICATES, some, st.none()), max_size=4, unique=True)


# Anything JSON can hold: lone surrogates, NUL, line separators, characters outside the basic plane.
JSON_TEXT = st.text(
    st.one_of(st.characters(), st.sampled_from("\ud800\udc00\u2028\x00\r\n\ufeff👩\u200d🔬e\u0301Ⅷ")), max_size=30
).map(joined)
ANY_LABEL = st.text(min_size=1, max_size=8)


@st.composite
def entities(draw: st.DrawFn, text: str, *, scored: bool = False) -> Entity:
    start = draw(st.integers(0, len(text) - 1))
    end = draw(st.integers(start + 1, len(text)))
    score = draw(_SCORES) if scored else None
    return Entity(start, end, draw(ANY_LABEL), score)


@st.composite
def events(draw: st.DrawFn, text: str) -> Event:
    """With a trigger or without, with arguments that have a type or none."""
    role = st.builds(Argument, st.sampled_from(["施事", "a"]) | ANY_LABEL, entities(text, scored=True))
    trigger = draw(st.none() | entities(text))
    return Event(
        draw(ANY_LABEL),
        None if trigger is None else (trigger.start, trigger.end),
        tuple(draw(st.lists(role, max_size=3))),
        draw(_SCORES),
    )


_SCORES = st.none() | st.integers(0, 10**6).map(lambda n: n / 10**6)
_SCALARS = st.none() | st.booleans() | st.integers() | JSON_TEXT
_VALUES: st.SearchStrategy[Any] = st.recursive(_SCALARS, lambda inner: st.lists(inner, max_size=2))
FOREIGN_EVENTS: list[Any] = [
    None,
    "yes",
    5,
    [],
    ["a", 3, [["x"]]],
    [{"type": "x"}],
    [{"arguments": []}],
    [{"type": 1, "arguments": []}],
    [{"type": "x", "arguments": {"a": "b"}}],
    [{"type": "x", "arguments": None}],
    [{"type": "x", "arguments": ["--all"]}],
    [{"type": "x", "arguments": [{"name": "a", "start": 0, "end": 9}]}],
    {"type": "x", "arguments": []},
]
"""What data of other kinds have in a field `events`."""


@st.composite
def _pairs(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any]]:
    """The second text of a pair with its label and score, or none of them, and fields of the user that have these names."""
    number = st.integers(-5, 10**18) | st.floats(allow_nan=False, allow_infinity=False)
    if draw(st.booleans()):
        own = {"text_pair": draw(JSON_TEXT), "label": draw(st.none() | ANY_LABEL), "score": draw(st.none() | number)}
        free = {
            "label": st.none() | st.just("") | st.integers() | st.lists(JSON_TEXT, max_size=2),
            "score": st.none() | st.booleans() | JSON_TEXT | st.just(10**400),
        }
        return own, draw(st.fixed_dictionaries({}, optional={k: v for k, v in free.items() if own[k] is None}))
    others = _VALUES.filter(lambda value: not isinstance(value, str))
    return {}, draw(st.fixed_dictionaries({}, optional={"text_pair": others, "label": _VALUES, "score": _VALUES}))


@st.composite
def native_documents(draw: st.DrawFn) -> Document:
    """All that a document can hold, and fields of the user that are named like ours but are not."""
    text = draw(JSON_TEXT)
    some = st.lists(entities(text, scored=True), max_size=4) if text else st.just([])
    relations = st.builds(Relation, entities(text), ANY_LABEL, entities(text), st.none()) if text else st.nothing()
    happened = draw(st.lists(events(text), max_size=2)) if text else []
    names = st.text(max_size=5).filter(
        lambda name: name not in {"id", "text", "entities", "relations", "label", "score"}
    )
    pair, meta = draw(_pairs())
    if not happened:
        meta |= draw(st.fixed_dictionaries({}, optional={"events": st.sampled_from(FOREIGN_EVENTS)}))
    return Document(
        text,
        sorted(draw(some)),
        sorted(draw(st.lists(relations, max_size=2))) if text else [],
        draw(st.none() | st.integers(-(2**63), 2**63 - 1) | JSON_TEXT),
        draw(st.dictionaries(names, _VALUES, max_size=2)) | meta,
        events=sorted(happened),
        **pair,
    )
