"""The same data for all systems of a comparison, and the same scores."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file
from support.benchmark_modules import benchmark_modules, write_corpora

NAMES = ("cluener", "conll04", "conll04-relations", "crossner", "germeval", "duie2")


@pytest.fixture(scope="module")
def modules() -> Iterator[list[Any]]:
    """`cut_corpora` and `peers.common`."""
    with benchmark_modules("cut_corpora", "peers.common") as found:
        yield found


@pytest.fixture
def cut_of(modules: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a small corpus, cut to three training examples."""
    cut_corpora, _ = modules
    monkeypatch.setattr(cut_corpora, "HELD", 2)
    directory = write_corpora(tmp_path / "corpora")
    return lambda name: cut_corpora.Cut(name, directory, tmp_path / "work", 3)


@pytest.mark.parametrize("name", NAMES)
def test_all_systems_get_the_same_sentences(modules: list[Any], cut_of: Any, name: str) -> None:
    cut_corpora, common = modules
    cut = cut_of(name)
    cut.write()
    assert set(cut_corpora.CORPORA) == set(NAMES)
    for split in cut_corpora.SPLITS:
        documents, sentences = cut.documents(split), common.read_sentences(cut.peer_path(split))
        assert [document.text for document in documents] == [sentence.text for sentence in sentences]
        assert [cut.sentence(document) for document in documents] == sentences
        for sentence in sentences:
            assert "".join(common.words_of(sentence)) == "".join(sentence.text.split())
            assert len(common.word_entities(sentence, nested=True)) == len(sentence.entities)
    assert len(cut.documents("train")) == 3
    if cut.corpus.test is None or cut.corpus.dev is None:
        numbers = [{document.text for document in cut.documents(split)} for split in ("train", "dev")]
        assert not numbers[0] & numbers[1] or cut.corpus.test is None


@pytest.mark.parametrize("name", NAMES)
def test_the_gold_items_of_the_peers_have_a_score_of_1(modules: list[Any], cut_of: Any, name: str) -> None:
    cut_corpora, common = modules
    cut = cut_of(name)
    cut.write()
    gold = cut.documents("test")
    types = {each.predicate: (each.subject.label, each.object.label) for one in gold for each in one.relations}
    found, nothing = [], []
    for document, sentence in zip(gold, common.read_sentences(cut.peer_path("test")), strict=True):
        spans = [(each, sentence.text.find(each[0]), sentence.text.find(each[2])) for each in sentence.triples]
        relations = [((s, s + len(t[0])), t[1], (o, o + len(t[2]))) for t, s, o in spans]
        items = sentence.entities if cut.corpus.task == "ner" else relations
        found.append(cut_corpora.predicted(document, json.loads(json.dumps(items)), types))
        nothing.append(cut_corpora.predicted(document, [], types))
    assert cut.score(found) == {"precision": 1, "recall": 1, "f1": 1}
    assert cut.score(nothing)["f1"] == 0


def test_nested_entities_are_kept_or_reduced_to_the_outermost(modules: list[Any], cut_of: Any) -> None:
    _, common = modules
    sentence = common.Sentence("ab cd ef", ((0, 2), (3, 5), (6, 8)), ((0, 5, "X"), (3, 5, "Y"), (6, 7, "Z")))
    assert common.word_entities(sentence, nested=True) == [(0, 2, "X"), (1, 2, "Y")]  # Z ends inside a word
    assert common.bio_tags(sentence) == ["B-X", "I-X", "O"]
    cut = cut_of("germeval")
    cut.write()
    counts = {len(document.entities) for document in cut.documents("train")}
    assert counts <= {0, 3}
    assert 3 in counts


@given(tags=st.lists(st.sampled_from(["O", "B-X", "I-X", "B-Y", "I-Y"]), max_size=12))
def test_tags_and_entities_are_inverse(modules: list[Any], tags: list[str]) -> None:
    _, common = modules
    words = tuple((3 * number, 3 * number + 2) for number in range(len(tags)))
    bare = common.Sentence("ab " * len(tags), words)
    entities = common.bio_entities(bare, tags)
    tagged = common.Sentence(bare.text, words, tuple(entities))
    assert common.bio_entities(bare, common.bio_tags(tagged)) == entities
    assert sum(tag.startswith("B-") for tag in tags) <= len(entities)
    covered = {word for start, end, _ in entities for word in words if start <= word[0] < end}
    assert covered == {word for word, tag in zip(words, tags, strict=True) if tag != "O"}


def test_the_score_that_chooses_an_epoch(modules: list[Any]) -> None:
    _, common = modules
    sentence = common.Sentence("A mag B", ((0, 1), (2, 5), (6, 7)), ((0, 1, "X"),), (), (("A", "mag", "B"),))
    assert common.dev_f1([sentence], [[(0, 1, "X"), (6, 7, "X")]], relations=False) == pytest.approx(2 / 3)
    assert common.dev_f1([sentence], [[((0, 1), "mag", (6, 7))]], relations=True) == 1
    assert common.dev_f1([sentence], [[]], relations=False) == 0


def test_an_encoder_is_cut_to_its_first_layers(modules: list[Any], tmp_path: Path) -> None:
    cut_corpora, _ = modules
    source = tmp_path / "small"
    source.mkdir()
    names = ("embeddings.word_embeddings.weight", *(f"encoder.layer.{n}.output.dense.weight" for n in range(11)))
    save_file({name: np.full(2, n, dtype=np.float16) for n, name in enumerate(names)}, source / "model.safetensors")
    config = {"num_hidden_layers": 11, "dtype": "float16", "hidden_size": 2}
    (source / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (source / "tokenizer.json").write_text(json.dumps({"model": {"vocab": {"b": 1, "a": 0}}}), encoding="utf-8")
    (source / "tokenizer_config.json").write_text("{}", encoding="utf-8")
    target = cut_corpora.cut_encoder(source, 2, tmp_path / "work")
    weights = load_file(target / "model.safetensors")
    assert set(weights) == set(names[:3])
    assert {weight.dtype for weight in weights.values()} == {np.dtype("float32")}
    assert json.loads((target / "config.json").read_text(encoding="utf-8")) == {
        "num_hidden_layers": 2,
        "hidden_size": 2,
    }
    assert (target / "vocab.txt").read_text(encoding="utf-8") == "a\nb\n"
    assert cut_corpora.cut_encoder(source, 2, tmp_path / "work") == target
    with pytest.raises(SystemExit, match=r"--layers: got 12, but .* has 11"):
        cut_corpora.cut_encoder(source, 12, tmp_path / "work")
