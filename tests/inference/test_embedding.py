from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.vectors import Pooled, vector_engine

from ie_cli.errors import ModelError
from ie_cli.inference import embedding
from ie_cli.inference.embedding import embed, embedding_engine
from ie_cli.inference.pipeline import Extraction

TEXTS = st.lists(st.text("北京大学上海ab 。", max_size=20), max_size=20)


@given(TEXTS)
def test_vectors_are_unit_vectors_in_the_order_of_the_texts(texts: list[str]) -> None:
    backend = Pooled()
    engine = vector_engine(backend)
    vectors = list(embed(engine, texts))
    assert len(vectors) == len(texts)
    for text, vector in zip(texts, vectors, strict=True):
        tokens = engine.tokenizer.surround(engine.tokenizer.encode([text])[0].ids[:10])
        expected = backend.table[tokens].mean(axis=0)
        assert vector.dtype == np.float32
        assert np.allclose(vector, expected / np.linalg.norm(expected), atol=1e-6)


@given(TEXTS)
def test_each_distinct_text_is_encoded_once(texts: list[str]) -> None:
    backend = Pooled()
    engine = vector_engine(backend, max_length=40)
    vectors = list(embed(engine, texts))
    assert len(backend.encoded) == len(set(texts)) == engine.counts.texts
    by_text = dict(zip(texts, vectors, strict=True))
    assert all(np.array_equal(by_text[text], vector) for text, vector in zip(texts, vectors, strict=True))


def test_a_batch_has_texts_of_similar_lengths() -> None:
    backend = Pooled()
    list(embed(vector_engine(backend, max_length=80), [n * "a" for n in (1, 70, 2, 60, 3)]))
    assert backend.shapes == [(3, 72), (2, 4)]


def test_long_texts_are_truncated_and_counted() -> None:
    engine = vector_engine(Pooled())
    whole, longer, shorter = embed(engine, ["北京大学上海ab 。", "北京大学上海ab 。北京", "北京大学上海ab "])
    assert np.allclose(whole, longer, atol=1e-6)
    assert not np.allclose(whole, shorter, atol=1e-2)
    assert (engine.counts.texts, engine.counts.shortened) == (3, 1)


def test_vectors_are_forgotten_above_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "_REMEMBERED", 50)
    backend = Pooled()
    first, *_, last = embed(vector_engine(backend), ["a", *(n * "b" for n in range(2, 30)), "a"])
    assert len(backend.encoded) == 30
    assert np.allclose(first, last, atol=1e-6)


def test_the_texts_are_read_as_the_vectors_are_used() -> None:
    read = []

    def endless() -> Iterator[str]:
        while True:
            read.append(1)
            yield "北京"

    vectors = embed(vector_engine(Pooled()), endless())
    for _ in range(12):
        next(vectors)
    assert len(read) < 50


def part(name: str, reads: str) -> Extraction:
    return Extraction(name, cast(Any, SimpleNamespace(reads=reads)), cast(Any, None))


def test_the_task_that_gives_vectors_is_found() -> None:
    engine = vector_engine(Pooled())
    both = replace(engine, tasks=(part("ner", "windows"), *engine.tasks))
    assert [one.name for one in embedding_engine(both).tasks] == ["match"]
    with pytest.raises(ModelError, match="the task ner gives a text no vector") as error:
        embedding_engine(both, "ner")
    assert error.value.hint == "name match with --task."
    with pytest.raises(ModelError, match="the model has no task macth"):
        embedding_engine(both, "macth")
    several = replace(engine, tasks=(part("one", "texts"), part("two", "texts"), part("joined", "pair")))
    assert [one.name for one in embedding_engine(several, "two").tasks] == ["two"]
    with pytest.raises(ModelError, match="several tasks give a text a vector: one, two"):
        embedding_engine(several)
    with pytest.raises(ModelError, match="no head that reads the texts of a pair one at a time"):
        embedding_engine(replace(engine, tasks=(part("joined", "pair"),)))
