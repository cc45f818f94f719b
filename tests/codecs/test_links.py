"""Decoding of links, compared with a reference that scores every pair for every predicate."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ie_cli.codecs import links as module
from ie_cli.codecs.factors import SharedFactors
from ie_cli.codecs.links import DecodedLinks, LinkRules, decode_links
from ie_cli.codecs.spans import DecodedSpans

LABELS, PREDICATES, LENGTH = 3, 4, 6


def links(random: np.random.Generator, batch: int) -> SharedFactors:
    return SharedFactors(
        random.normal(size=(batch, LENGTH, LENGTH)).astype(np.float32),
        random.normal(size=(batch, PREDICATES, LENGTH)).astype(np.float32),
        random.normal(size=(batch, PREDICATES, LENGTH)).astype(np.float32),
    )


def spans(random: np.random.Generator, batch: int, count: int) -> DecodedSpans:
    rows: dict[tuple[int, ...], None] = {}
    for _ in range(count):
        first, last = sorted(random.integers(LENGTH, size=2).tolist())
        rows.setdefault((int(random.integers(batch)), int(random.integers(LABELS)), first, last))
    entries = np.array(list(rows), dtype=np.int64).reshape(-1, 4)
    return DecodedSpans(entries, random.random(len(entries), dtype=np.float32) * 3, frozenset())


def reference(
    found: DecodedSpans, start: SharedFactors, end: SharedFactors, rules: LinkRules, thresholds: np.ndarray
) -> dict[tuple[int, ...], float]:
    """Map (sample, predicate, first, last, first, last) to the best score over the types, using plain loops."""
    best: dict[tuple[int, ...], float] = {}
    items = list(zip(found.entries.tolist(), found.scores.tolist(), strict=True))
    for (a, subject_label, *subject), subject_score in items:
        for (b, object_label, *object_), object_score in items:
            if a != b or not rules.subject_labels[subject_label] or not rules.object_labels[object_label]:
                continue
            for p in range(PREDICATES):
                if rules.allowed is not None and not rules.allowed[p, subject_label, object_label]:
                    continue
                scores = [
                    factors.pair[a, subject[n], object_[n]]
                    + factors.start[a, p, subject[n]]
                    + factors.end[a, p, object_[n]]
                    for n, factors in enumerate((start, end))
                ]
                if min(scores) > thresholds[p]:
                    key = (a, p, *subject, *object_)
                    best[key] = max(best.get(key, -np.inf), min(*scores, subject_score, object_score))
    return best


def as_dict(found: DecodedLinks) -> dict[tuple[int, ...], float]:
    keys = [(a, p, *subject, *object_) for a, p, _, *subject, _, b, c in found.entries.tolist() for object_ in [(b, c)]]
    assert len(set(keys)) == len(keys)
    return dict(zip(keys, found.scores.tolist(), strict=True))


@given(st.integers(0, 10**6), st.sampled_from(["roles", "any", "allowed"]), st.integers(0, 12))
def test_pairs_are_those_of_the_reference(seed: int, kind: str, count: int) -> None:
    random = np.random.default_rng(seed)
    found, start, end = spans(random, 2, count), links(random, 2), links(random, 2)
    thresholds = random.normal(size=PREDICATES).astype(np.float32)
    every = np.ones(LABELS, dtype=bool)
    allowed = random.random((PREDICATES, LABELS, LABELS)) < 0.4
    rules = {
        "roles": LinkRules(np.array([True, False, False]), np.array([False, True, False])),
        "any": LinkRules(every, every),
        "allowed": LinkRules(allowed.any(axis=(0, 2)), allowed.any(axis=(0, 1)), allowed),
    }[kind]
    got = decode_links(found, start, end, rules, thresholds)
    expected = reference(found, start, end, rules, thresholds)
    assert as_dict(got).keys() == expected.keys()
    assert as_dict(got) == pytest.approx(expected, abs=1e-5)
    assert not got.truncated
    known = {tuple(entry) for entry in found.entries.tolist()}
    for sample, predicate, *rest in got.entries.tolist():
        assert {(sample, *rest[:3]), (sample, *rest[3:])} <= known
        assert rules.allowed is None or rules.allowed[predicate, rest[0], rest[3]]


def everywhere(value: float) -> SharedFactors:
    return SharedFactors(
        np.full((1, 40, 40), value, np.float32),
        np.zeros((1, PREDICATES, 40), np.float32),
        np.zeros((1, PREDICATES, 40), np.float32),
    )


@pytest.mark.parametrize("name", ["MAX_ARGUMENTS", "MAX_PAIRS", "MAX_TRIPLES"])
def test_a_model_that_links_everything_is_capped_by_score(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, name, 10)
    ends = [(i, j) for i in range(10) for j in range(i, 10)] if name == "MAX_ARGUMENTS" else [(i, i) for i in range(40)]
    entries = np.array([[0, 0, i, j] for i, j in ends], dtype=np.int64)
    scores = np.linspace(1, 2, len(entries), dtype=np.float32)
    every = np.ones(1, dtype=bool)
    thresholds = np.zeros(PREDICATES, dtype=np.float32)
    found = decode_links(
        DecodedSpans(entries, scores, frozenset()), everywhere(5), everywhere(5), LinkRules(every, every), thresholds
    )
    assert found.truncated == {0}
    assert len(found.entries) == {"MAX_ARGUMENTS": 10 * 10 * PREDICATES, "MAX_PAIRS": 10, "MAX_TRIPLES": 10}[name]
    if name == "MAX_TRIPLES":
        assert found.scores.min() > 1.8
    if name == "MAX_ARGUMENTS":
        assert {tuple(span) for span in found.entries[:, 3:5].tolist()} == set(ends[-10:])  # the best ten
