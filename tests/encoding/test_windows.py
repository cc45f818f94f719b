from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fakes import TOKENIZERS, characters

from ie_cli.document import Entity
from ie_cli.encoding.alignment import (
    INSIDE_TOKEN,
    NO_LABEL,
    NO_TOKEN,
    TOO_LONG,
    WHITESPACE,
    Boundaries,
    align,
    to_entities,
    within,
    without_overlaps,
)
from ie_cli.encoding.tokenizer import TextTokenizer, Tokens
from ie_cli.encoding.windows import WindowPlan
from ie_cli.errors import RecipeError

PLANS = st.integers(1, 12).flatmap(
    lambda capacity: st.builds(WindowPlan, st.just(capacity), st.integers(0, capacity - 1))
)
BUILT = {name: TextTokenizer(build()) for name, build in TOKENIZERS.items()}


def spans(tokens: int) -> tuple[np.ndarray, np.ndarray]:
    first, last = np.triu_indices(tokens)
    return first.astype(np.int64), last.astype(np.int64)


@given(plan=PLANS, tokens=st.integers(0, 60))
def test_windows_cover_the_text_and_short_spans_lie_whole_in_one(plan: WindowPlan, tokens: int) -> None:
    starts = plan.starts(tokens)
    covered = {i for s in starts.tolist() for i in range(s, min(tokens, s + plan.capacity))}
    assert covered == set(range(tokens))
    assert len(set(starts.tolist())) == len(starts)
    assert (np.diff(starts) <= plan.capacity - plan.stride).all()
    first, last = spans(tokens)
    owners = plan.owners(tokens, first, last)
    assert (owners[last - first + 1 <= plan.stride + 1] >= 0).all()


@given(plan=PLANS, tokens=st.integers(1, 60))
def test_the_owner_gives_most_context(plan: WindowPlan, tokens: int) -> None:
    starts = plan.starts(tokens).tolist()
    first, last = spans(tokens)
    for i, j, owner in zip(first.tolist(), last.tolist(), plan.owners(tokens, first, last).tolist(), strict=True):
        best, chosen = -1, -1
        for number, start in enumerate(starts):
            end = min(tokens, start + plan.capacity)
            if start <= i and j < end:
                left = tokens + 1 if start == 0 else i - start
                right = tokens + 1 if end == tokens else end - 1 - j
                if min(left, right) > best:
                    best, chosen = min(left, right), number
        assert owner == chosen


@given(plan=PLANS, tokens=st.integers(0, 60))
def test_every_token_has_one_window_that_judges_it(plan: WindowPlan, tokens: int) -> None:
    at = np.arange(tokens)
    owners = plan.owners(tokens, at, at)
    starts = plan.starts(tokens)[owners]
    assert (owners >= 0).all()
    assert ((starts <= at) & (at < starts + plan.capacity)).all()
    assert (np.diff(owners) >= 0).all(), "the tokens of a window are consecutive"


@given(plan=PLANS, tokens=st.integers(1, 60))
def test_who_judges_a_span_sees_half_of_what_it_leaves_of_the_stride(plan: WindowPlan, tokens: int) -> None:
    """A sentence of at most ``stride // 2 + 1`` tokens lies entirely in the window that owns any of its spans."""
    first, last = spans(tokens)
    short = last - first + 1 <= plan.stride + 1
    first, last = first[short], last[short]
    least = (plan.stride - (last - first)) // 2
    start = plan.starts(tokens)[plan.owners(tokens, first, last)]
    assert (first - start >= np.minimum(least, first)).all()
    assert (start + plan.capacity - 1 - last >= np.minimum(least, tokens - 1 - last)).all()


@pytest.mark.parametrize("capacity", [1, 2, 7, 30])
def test_windows_at_the_limit_of_the_capacity(capacity: int) -> None:
    plan = WindowPlan(capacity, capacity // 2)
    assert [plan.starts(n).tolist() for n in (0, 1, capacity)] == [[0]] * 3
    assert plan.starts(capacity + 1).tolist() == [0, 1]


def test_a_stride_that_is_too_large_is_an_error() -> None:
    with pytest.raises(RecipeError, match=r"encoder\.stride: 62 .*encoder\.max_length 64 .*2 special tokens"):
        WindowPlan.build(max_length=64, stride=62, special_tokens=2)


@given(st.data())
def test_alignment_and_back_is_the_identity(data: st.DataObject) -> None:
    text = data.draw(st.text("北京大学abc", min_size=1, max_size=40))
    cuts = st.integers(0, len(text))
    entities = {
        Entity(min(a, b), max(a, b), label)
        for a, b, label in data.draw(st.lists(st.tuples(cuts, cuts, st.sampled_from("xyz")), max_size=6))
        if a != b
    }
    plan = WindowPlan(10, data.draw(st.integers(0, 9)))
    [tokens] = TextTokenizer(characters()).encode([text])
    alignment = align(text, entities, tokens, plan, {"x": 0, "y": 1, "z": 2})
    back = to_entities(tokens, alignment.spans, np.ones(len(alignment.spans)), "xyz")
    assert set(back) | {entity for entity, _ in alignment.unreachable} == entities
    assert len(back) + len(alignment.unreachable) == len(entities)
    for entity, reason in alignment.unreachable:
        assert reason == TOO_LONG
        assert entity.end - entity.start > plan.stride + 1


@pytest.mark.parametrize("name", TOKENIZERS)
@given(data=st.data())
def test_gold_of_at_most_the_stride_and_a_token_is_gold_of_some_window(name: str, data: st.DataObject) -> None:
    text = data.draw(st.text("北京大学abc e\u0301👩\u200d ", max_size=60))
    cuts = st.tuples(st.integers(0, len(text)), st.integers(0, len(text)))
    entities = {Entity(min(a, b), max(a, b), "x") for a, b in data.draw(st.lists(cuts, max_size=8)) if a != b}
    plan = data.draw(PLANS)
    [tokens] = BUILT[name].encode([text])
    alignment = align(text, entities, tokens, plan)
    held = {
        (start + first, start + last)
        for start in plan.starts(len(tokens)).tolist()
        for _, first, last in within(alignment.spans, start, plan.capacity).tolist()
    }
    boundaries = Boundaries(text, tokens)
    places = {entity: boundaries.find(entity.start, entity.end) for entity in entities}
    lost = dict(alignment.unreachable)
    assert {entity for entity, place in places.items() if place is None} <= lost.keys()
    for entity, place in places.items():
        if place is not None:
            assert (place in held) == (entity not in lost)
            assert place in held or (place[1] - place[0] > plan.stride and lost[entity] == TOO_LONG)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 4)), max_size=8), st.integers(0, 12), st.integers(0, 12))
def test_the_reason_is_that_of_a_look_at_every_token(drawn: list[tuple[int, int]], start: int, end: int) -> None:
    starts = np.array([first for first, _ in drawn], dtype=np.int32)
    tokens = Tokens(np.zeros_like(starts), starts, starts + np.array([size for _, size in drawn], dtype=np.int32))
    inside = any(a < boundary < b for a, b in zip(tokens.starts, tokens.ends, strict=True) for boundary in (start, end))
    assert Boundaries("x" * 13, tokens).reason(start, end) == (INSIDE_TOKEN if inside else NO_TOKEN)
    assert Boundaries(" " * 13, tokens).reason(start, end) == (INSIDE_TOKEN if inside else WHITESPACE)


def test_every_unreachable_entity_has_a_reason() -> None:
    text = "ab 北京"
    [tokens] = TextTokenizer(characters()).encode([text])
    # One token for "ab" and none for the space, as in a subword tokenizer.
    tokens.starts[:] = [0, 2, 2, 3, 4]
    tokens.ends[:] = [2, 2, 2, 4, 5]
    found = align(
        text,
        [Entity(0, 1, "x"), Entity(2, 5, "x"), Entity(0, 5, "x"), Entity(3, 5, "y"), Entity(3, 5, "x")],
        tokens,
        WindowPlan(4, 0),
        {"x": 0},
    )
    assert [(e.start, e.end, reason) for e, reason in found.unreachable] == [
        (0, 1, INSIDE_TOKEN),
        (2, 5, WHITESPACE),
        (3, 5, NO_LABEL),
        (0, 5, TOO_LONG),
    ]
    assert found.spans.tolist() == [[0, 3, 4]]


def test_no_entity_starts_or_ends_with_a_whitespace_token() -> None:
    [tokens] = TextTokenizer(characters()).encode(["a bc "])
    entries = np.array([[0, first, last] for first in range(5) for last in range(first, 5)])
    found = to_entities(tokens, entries, np.ones(len(entries)), "x")
    assert [(e.start, e.end) for e in found] == [(0, 1), (0, 3), (0, 4), (2, 3), (2, 4), (3, 4)]


def test_a_span_is_gold_in_every_window_that_contains_it() -> None:
    gold = np.array([[1, 3, 5], [0, 6, 9]])
    assert within(gold, 0, 8).tolist() == [[1, 3, 5]]
    assert within(gold, 3, 8).tolist() == [[1, 0, 2], [0, 3, 6]]


ENTITIES = st.lists(
    st.builds(
        lambda start, length, label, score: Entity(start, start + length, label, score),
        st.integers(0, 20),
        st.integers(1, 6),
        st.sampled_from("xy"),
        st.floats(0.01, 1.0),
    ),
    max_size=15,
)


@given(ENTITIES, st.floats(0, 1), st.floats(0, 1))
def test_flat_output_has_no_overlaps_and_a_higher_threshold_never_adds(
    entities: list[Entity], one: float, other: float
) -> None:
    low, high = sorted((one, other))
    many = without_overlaps(e for e in entities if (e.score or 0) > low)
    few = without_overlaps(e for e in entities if (e.score or 0) > high)
    assert set(few) <= set(many)
    taken = [i for entity in many for i in range(entity.start, entity.end)]
    assert len(taken) == len(set(taken))
