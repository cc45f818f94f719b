"""Levels of pairs, and similarities and classes from what heads output."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.heads import CLASSES, GRADES, PAIR_HEADS, PLAN, TOKENIZER, codec_of_head

from ie_cli.codecs.base import Decoding
from ie_cli.codecs.pairs import PairCodec, PairDecoder
from ie_cli.data.label_schema import LabelSchema
from ie_cli.document import Document

UNLABELLED = [Document("a"), Document("a", text_pair="b"), Document("a", label="yes"), Document("a", score=1.0)]


def entries(codec: PairCodec, documents: list[Document]) -> np.ndarray:
    columns = {name: [] for name in codec.columns if name != "split"}
    for number, document in enumerate(documents):
        [tokens] = TOKENIZER.encode([document.text])
        targets = codec.encode(document, tokens, PLAN)
        assert targets.counts == {"pairs": len(targets.columns["level"])}
        assert not any(targets.unreachable.values())
        for name, rows in codec.window(targets, 0, PLAN.capacity, 1).items():
            columns[name].append(np.insert(rows, 0, number, axis=1))
    return codec.entries({name: np.concatenate(rows) for name, rows in columns.items()})["pairs"]


def numbers(bits: np.ndarray) -> list[float]:
    return bits.astype(np.int32).view(np.float32).tolist()


@pytest.mark.parametrize("name", PAIR_HEADS)
def test_classes_are_levels_from_the_least_similar(name: str) -> None:
    codec = codec_of_head(name)
    labelled = [Document("a", text_pair="b", label=label) for label in ("yes", "no", "maybe", "other")]
    found = entries(codec, [*UNLABELLED, *labelled])  # type: ignore[arg-type]
    assert found[:, 0].tolist() == [4, 5, 6]
    assert numbers(found[:, 1]) == [2.0, 0.0, 1.0]
    assert numbers(found[:, 2]) == [1.0, 0.0, 0.5]


@given(st.lists(st.floats(0, 5, width=32), min_size=1, max_size=9))
def test_grades_are_levels_and_their_share_of_the_range_keeps_their_order(scores: list[float]) -> None:
    codec = codec_of_head("cosent", GRADES)
    found = entries(codec, [*(Document("a", text_pair="", score=score) for score in scores), *UNLABELLED])  # type: ignore[arg-type]
    assert numbers(found[:, 1]) == scores
    shares = np.array(numbers(found[:, 2]))
    np.testing.assert_allclose(shares, np.array(scores) / 5, rtol=1e-6, atol=1e-30)
    assert (np.diff(shares[np.argsort(scores)]) >= 0).all()


def test_what_each_head_stores_and_weighs() -> None:
    codecs = {name: codec_of_head(name) for name in PAIR_HEADS}
    assert {name: codec.reads for name, codec in codecs.items()} == {
        "cosent": "texts",
        "sbert": "texts",
        "infersent": "texts",
        "cross_encoder": "pair",
    }
    assert {name: len(codec.matrices["pairs"]) for name, codec in codecs.items()} == {
        "cosent": 0,
        "sbert": 3,
        "infersent": 3,
        "cross_encoder": 3,
    }
    assert codec_of_head("cross_encoder", loss="cosent").matrices == {"pairs": ()}
    assert json.loads(json.dumps(codecs["sbert"].identity)) == list(codecs["sbert"].identity)


def decoder(schema: LabelSchema = CLASSES, decision: tuple[float, ...] = ()) -> PairDecoder:
    return PairDecoder(schema, Decoding(decision=decision), by_cosine=True)


def test_a_cosine_is_at_most_one_and_zero_vectors_have_none() -> None:
    random = np.random.default_rng(0)
    vectors = random.normal(size=(50, 8)).astype(np.float32)
    found = decoder().cosines(vectors, np.concatenate([vectors[:25], -3 * vectors[25:]]))
    np.testing.assert_allclose(found, [1] * 25 + [-1] * 25, atol=1e-12)
    zero = np.zeros((1, 8), np.float32)
    assert decoder().cosines(zero, vectors[:1]).tolist() == [0.0]
    assert decoder().cosines(1e-30 * vectors[:1], vectors[:1]) == pytest.approx([1.0])


def test_the_similarity_of_classes_is_the_expected_one() -> None:
    logits = np.log(np.array([[0.2, 0.5, 0.3], [1e-30, 1e-30, 1.0]], dtype=np.float32))
    np.testing.assert_allclose(decoder().similarities(logits), [0.55, 1.0], rtol=1e-6)
    two = decoder(LabelSchema(("0", "1")))
    np.testing.assert_allclose(two.similarities(np.array([[0, 2], [900, -900]], np.float32)), [1 / (1 + np.exp(-2)), 0])


def test_the_similarity_of_one_logit_is_within_the_range_of_the_grades() -> None:
    logits = np.array([[-1e4], [0], [1e4]], dtype=np.float32)
    assert decoder(GRADES).similarities(logits).tolist() == [0.0, 2.5, 5.0]
    assert decoder(LabelSchema(("0", "1"))).similarities(logits).tolist() == [0.0, 0.5, 1.0]


@pytest.mark.parametrize(
    ("score", "label"), [(-1.0, "no"), (0.2, "no"), (0.2000001, "maybe"), (0.7, "maybe"), (0.71, "yes"), (1.0, "yes")]
)
def test_a_score_above_a_cut_has_the_higher_class(score: float, label: str) -> None:
    found = decoder(decision=(0.2, 0.7)).annotation(score)
    assert (found.label, found.score) == (label, score)


def test_without_a_decision_there_is_no_class() -> None:
    assert decoder().annotation(0.5).label is None
    assert decoder(GRADES).annotation(0.5).label is None
    assert decoder(GRADES, decision=()).annotation(0.5).score == 0.5
