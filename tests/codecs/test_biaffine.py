"""Spans with one label each: encoding keeps one label, and decoding finds what the dense form finds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.heads import PLAN, SCHEMA, TOKENIZER, codec_of_head

from ie_cli.codecs import biaffine as decode
from ie_cli.codecs import spans
from ie_cli.codecs.biaffine import SpanClasses, decode_classes
from ie_cli.codecs.limits import OTHER_LABEL
from ie_cli.data.label_schema import LabelSchema
from ie_cli.document import Document, Entity

Found = dict[tuple[int, ...], float]


def factors(random: np.random.Generator, labels: int, length: int) -> SpanClasses:
    shapes = (2, length, 3), (3, labels, 3), (2, length, 3), (2, length, labels), (2, labels, length)
    return SpanClasses(*(random.normal(size=shape).astype(np.float32) for shape in shapes))


def dense_scores(classes: SpanClasses) -> np.ndarray:
    """Compute all scores z in float64; ``[batch, first, last, labels]``."""
    first, weight, last, start, end = (
        part.astype(np.float64) for part in (classes.first, classes.weight, classes.last, classes.start, classes.end)
    )
    products: np.ndarray = np.einsum("bid,dre,bje->bijr", first, weight, last)
    return products + start[:, :, None] + end.transpose(0, 2, 1)[:, None]


def dense(classes: SpanClasses, mask: np.ndarray, thresholds: np.ndarray) -> Found:
    """Compute all margins in float64, entry by entry."""
    every, found = dense_scores(classes), {}
    for b, i, j in np.argwhere(mask[:, :, None] & mask[:, None]).tolist():
        if i <= j:
            scores = every[b, i, j].tolist()
            for r, score in enumerate(scores):
                margin = score - max([0.0, *scores[:r], *scores[r + 1 :]])
                if margin > thresholds[r]:
                    found[b, r, i, j] = margin
    return found


@given(
    seed=st.integers(0, 10**6),
    labels=st.integers(1, 5),
    length=st.integers(1, 8),
    threshold=st.sampled_from([0.0, -1.0, 2.0]),
    block=st.sampled_from([1, 20, 2**23]),
)
def test_decoding_finds_what_the_dense_form_finds(
    seed: int, labels: int, length: int, threshold: float, block: int
) -> None:
    random = np.random.default_rng(seed)
    classes = factors(random, labels, length)
    mask = random.random((2, length)) < 0.8
    thresholds = np.full(labels, threshold, dtype=np.float32)
    thresholds[0] = 0.5
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decode, "BLOCK_SCORES", block)
        found = decode_classes(classes, mask, thresholds)
    assert not found.truncated
    scored = dict(zip(map(tuple, found.entries.tolist()), found.scores.tolist(), strict=True))
    assert len(scored) == len(found.entries)
    assert scored == pytest.approx(dense(classes, mask, thresholds), abs=1e-4)


@given(seed=st.integers(0, 10**6), labels=st.integers(1, 5))
def test_at_the_default_threshold_a_span_has_its_most_probable_class(seed: int, labels: int) -> None:
    classes = factors(np.random.default_rng(seed), labels, 5)
    mask = np.ones((2, 5), dtype=bool)
    found = decode_classes(classes, mask, np.zeros(labels, np.float32))
    chosen = {(b, i, j): r for b, r, i, j in found.entries.tolist()}
    assert len(chosen) == len(found.entries)
    scores = dense_scores(classes)
    for b, i, j in np.argwhere(np.ones((2, 5, 5))).tolist():
        if i <= j:
            assert chosen.get((b, i, j), -1) == int(np.argmax([0.0, *scores[b, i, j]])) - 1


@pytest.mark.parametrize("block", [1, 2**23])
def test_a_model_that_fires_everywhere_is_capped_by_margin(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "BLOCK_SCORES", block)
    monkeypatch.setattr(spans, "MAX_SPANS", 5)
    classes = factors(np.random.default_rng(0), 3, 12)
    classes.start[:] += 9
    mask, thresholds = np.ones((2, 12), dtype=bool), np.array([0.5, -2, -3], dtype=np.float32)
    found = decode_classes(classes, mask, thresholds)
    assert found.truncated == {0, 1}
    everything = dense(classes, mask, thresholds)
    for sample in (0, 1):
        margins = {entry: s - float(thresholds[entry[1]]) for entry, s in everything.items() if entry[0] == sample}
        best = sorted(margins, key=lambda entry: -margins[entry])[:12]  # one per token, as that is more than MAX_SPANS
        assert {tuple(entry) for entry in found.entries.tolist() if entry[0] == sample} == set(best)


def test_nothing_is_found_without_text() -> None:
    classes = factors(np.random.default_rng(0), 2, 3)
    found = decode_classes(classes, np.zeros((2, 3), dtype=bool), np.full(2, -9, np.float32))
    assert (found.entries.shape, found.truncated) == ((0, 4), frozenset())


# Encoding

TEXT = "甲乙丙丁戊己"


def entities(labels: str = "ABC") -> st.SearchStrategy[list[Entity]]:
    places = st.tuples(st.integers(0, 5), st.integers(1, 6)).filter(lambda place: place[0] < place[1])
    return st.lists(st.builds(lambda place, label: Entity(*place, label), places, st.sampled_from(labels)))


@given(gold=entities("ABCX"))
def test_one_label_of_a_span_is_kept_and_every_other_is_unreachable(gold: list[Entity]) -> None:
    schema = LabelSchema(("C", "A", "B"))  # the first in the schema is kept, whatever its name
    codec = codec_of_head("biaffine", schema)
    [tokens] = TOKENIZER.encode([TEXT])
    targets = codec.encode(Document(TEXT, gold), tokens, PLAN)
    kept: dict[tuple[int, int], str] = {}
    for entity in sorted(gold, key=lambda entity: "CABX".index(entity.label)):
        if entity.label != "X":
            kept.setdefault((entity.start, entity.end), entity.label)
    stored = {(first, last + 1): schema.labels[label] for label, first, last in targets.columns["spans"].tolist()}
    assert stored == kept
    assert len(targets.columns["spans"]) == len(kept)
    reasons = dict(targets.unreachable["entities"])
    lost = {entity for entity in gold if kept.get((entity.start, entity.end)) != entity.label}
    assert reasons.keys() == lost
    assert {entity for entity, reason in reasons.items() if reason == OTHER_LABEL} == {
        entity for entity in lost if entity.label != "X"
    }
    assert targets.counts == {"entities": len(set(gold))}


@given(gold=entities())
def test_the_order_of_the_gold_does_not_matter(gold: list[Entity]) -> None:
    codec = codec_of_head("biaffine", SCHEMA)
    [tokens] = TOKENIZER.encode([TEXT])
    one, other = (codec.encode(Document(TEXT, given), tokens, PLAN) for given in (gold, gold[::-1]))
    assert one.columns["spans"].tolist() == other.columns["spans"].tolist()
    assert one.unreachable == other.unreachable
