"""Texts that are cut at sentence ends: what is found is exactly what is found in each sentence alone."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fakes import Oracle, characters
from support.fakes import engine as oracle_engine
from support.pair_engines import CLASSES, Counted, extractor_of

from ie_cli.data.label_schema import LabelSchema
from ie_cli.document import Document, Entity
from ie_cli.encoding.sentences import sentence_spans
from ie_cli.encoding.tokenizer import TextTokenizer, Tokens
from ie_cli.inference.extractor import Extractor
from ie_cli.inference.model_directory import SeenTexts, TrainedTask
from ie_cli.inference.pipeline import Engine, extract
from ie_cli.inference.splitting import Split, Splitter

NAMES = LabelSchema(("person", "place"))
LINKS = LabelSchema(("person",), ("knows",))
SEEN = SeenTexts(tokens=10, sentences=3, usual_sentences=2)


def model(seen: SeenTexts | None = SEEN) -> Extractor:
    """A model with random weights of two tasks that read windows."""
    tasks: dict[str, tuple[dict[str, Any], TrainedTask]] = {
        "names": ({"name": "efficient_global_pointer", "head_size": 8}, TrainedTask(NAMES, seen=seen)),
        "links": ({"name": "gplinker", "head_size": 8}, TrainedTask(LINKS, seen=seen)),
    }
    return extractor_of(tasks)


MODEL = model()
PARTS = ["王伟在青川大学读书", "李娜第1年", "，", "。", "！", "。”", " ", "\n\n", "ab", ". "]


def fields(document: Document) -> list[tuple[Any, ...]]:
    """All that is found, with the scores."""
    items = [(e.start, e.end, e.label, e.score) for e in document.entities]
    return [*items, *((*_span(r.subject), r.predicate, *_span(r.object), r.score) for r in document.relations)]


def _span(entity: Entity) -> tuple[int, int, str]:
    return entity.start, entity.end, entity.label


ENGINES: dict[Split, Engine] = {}


def run(texts: Sequence[str], split: Split, extractor: Extractor = MODEL) -> list[Document]:
    """Windows run one by one, so that no sum depends on the batch."""
    engine = ENGINES.get(split) if extractor is MODEL else None
    engine = engine or extractor.engine(batch_size=1, threshold=0.3, split=split)
    if extractor is MODEL:
        ENGINES[split] = engine
    return [found for found in extract(engine, map(Document, texts)) if isinstance(found, Document)]


def test_each_sentence_has_the_answer_that_it_has_alone() -> None:
    drawn = random.Random(3)
    texts = ["".join(drawn.choices(PARTS, k=size)) for size in (0, 1, 4, 9, 16)]
    for text, whole in zip(texts, run(texts, "sentences"), strict=True):
        expected = Document(text)
        spans = sentence_spans(text)
        for (start, _), alone in zip(spans, run([text[start:end] for start, end in spans], "never"), strict=True):
            expected.entities += [replace(e, start=e.start + start, end=e.end + start) for e in alone.entities]
            expected.relations += [
                replace(
                    r,
                    subject=replace(r.subject, start=r.subject.start + start, end=r.subject.end + start),
                    object=replace(r.object, start=r.object.start + start, end=r.object.end + start),
                )
                for r in alone.relations
            ]
        assert whole.text == text
        assert fields(whole) == fields(expected)
        assert [e.text for e in whole.entities] == [text[e.start : e.end] for e in whole.entities]
        assert whole.entities == sorted(whole.entities)


def test_something_is_found_at_all() -> None:
    [found] = run(["王伟在青川大学读书。李娜在青川大学读书。"], "sentences")
    assert any(e.end <= 10 for e in found.entities)
    assert any(e.start >= 10 for e in found.entities)
    assert found.relations


def test_a_text_like_the_trained_ones_is_annotated_as_before() -> None:
    short, long = "王伟在青川。李娜读书。李娜在。", "王伟在青川大学。" * 4
    assert [fields(d) for d in run([short], "auto")] == [fields(d) for d in run([short], "never")]
    assert fields(run([long], "auto")[0]) != fields(run([long], "never")[0])
    assert [fields(d) for d in run([long], "auto", model(seen=None))] == [fields(d) for d in run([long], "never")]


def splitter_cut(text: str, splitter: Splitter) -> list[str]:
    tokens = TextTokenizer(characters(), mode="char").encode([text])[0]
    return [text[start:end] for start, end in splitter.cut(text, tokens)]


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("aa. bb. cc. dd.", ["aa. bb.", "cc. dd."]),  # at most 2 sentences and 10 characters
        ("aaaa. bbbb. cccc. dddd.", ["aaaa.", "bbbb.", "cccc.", "dddd."]),
        ("aaaa. bbbb. cccc.", []),  # as many sentences as the trained texts
        ("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa. bbbbbbbbbbb.", []),  # long, but few sentences
        ("aaaaaaaaaaaaaaaaa. bb. cc. dd. ee.", ["aaaaaaaaaaaaaaaaa.", "bb. cc.", "dd. ee."]),
        ("aa. bb. cc. dd. ee.", ["aa. bb.", "cc. dd.", "ee."]),
    ],
)
def test_groups_have_the_trained_size(text: str, pieces: list[str]) -> None:
    found = splitter_cut(text, Splitter("auto", SEEN))
    assert [part.strip() for part in found] == [part.strip() for part in pieces]
    assert "".join("".join(found).split()) == ("".join(text.split()) if pieces else "")


def test_modes() -> None:
    text = "aaaa. bbbb. cccc. dddd."
    assert splitter_cut(text, Splitter("never", SEEN)) == []
    assert splitter_cut(text, Splitter("auto")) == []
    assert splitter_cut(text, Splitter("sentences")) == ["aaaa.", "bbbb.", "cccc.", "dddd."]
    assert splitter_cut("aaaa.", Splitter("sentences")) == []
    with pytest.raises(ValueError, match="split must be auto, sentences, never, got 'always'"):
        MODEL.engine(split="always")  # type: ignore[arg-type]


@given(st.lists(st.integers(0, 3), min_size=1, max_size=40), st.integers(1, 30), st.integers(1, 4))
def test_groups_are_consecutive_and_no_larger_than_trained(lengths: list[int], tokens: int, sentences: int) -> None:
    text = " ".join("w" * (5 * length + 1) + "." for length in lengths)
    places = np.arange(len(text), dtype=np.int32)
    seen = SeenTexts(tokens, sentences + 1, sentences)
    found = Splitter("auto", seen).cut(text, Tokens(places, places, places + 1))
    whole = sentence_spans(text)
    if not found:
        assert len(whole) <= sentences + 1
        return
    assert len(whole) > sentences + 1
    starts, ends = {start for start, _ in whole}, {end for _, end in whole}
    assert (found[0][0], found[-1][1]) == (0, len(text))
    for start, end in found:
        inside = [span for span in whole if start <= span[0] and span[1] <= end]
        assert start in starts
        assert end in ends
        assert len(inside) == 1 or (len(inside) <= sentences and end - start <= tokens)


def test_groups_have_about_as_many_sentences_each() -> None:
    found = splitter_cut("aa. " * 21, Splitter("auto", SeenTexts(100, 20, 20)))
    assert [len(part.split()) for part in found] == [11, 10]


def test_the_largest_size_of_the_tasks_counts() -> None:
    tasks = {"a": TrainedTask(NAMES, seen=SeenTexts(10, 5, 1)), "b": TrainedTask(LINKS, seen=SeenTexts(30, 2, 2))}
    recipe = extractor_of(
        {
            "a": ({"name": "efficient_global_pointer", "head_size": 8}, tasks["a"]),
            "b": ({"name": "gplinker"}, tasks["b"]),
        }
    ).recipe
    assert Splitter.of(recipe, tasks, "auto").seen == SeenTexts(30, 5, 2)
    unknown = {**tasks, "b": TrainedTask(LINKS)}
    assert Splitter.of(recipe, unknown, "auto").seen is None


def test_pieces_share_batches_and_are_counted() -> None:
    engine = replace(MODEL.engine(batch_size=8, split="sentences"), backend=Counted(MODEL.backend))
    list(extract(engine, [Document("王伟读书。李娜在。第1年！"), Document("李娜。王伟。"), Document("王伟")]))
    assert (engine.counts.texts, engine.counts.cut, engine.counts.windows) == (3, 2, 6)
    assert engine.backend.batches == 1  # type: ignore[attr-defined]
    engine = MODEL.engine(split="never")
    list(extract(engine, [Document("王伟读书。" * 5), Document("王伟")]))
    assert (engine.counts.cut, engine.counts.whole) == (0, 1)


def test_pairs_of_texts_are_never_cut() -> None:
    tasks: dict[str, tuple[dict[str, Any], TrainedTask]] = {
        "names": ({"name": "efficient_global_pointer", "head_size": 8}, TrainedTask(NAMES, seen=SEEN)),
        "classes": ({"name": "infersent"}, TrainedTask(CLASSES, decision=(0.2, 0.5))),
    }
    extractor = extractor_of(tasks)
    long = "王伟在青川大学。" * 4
    pair = Document(long, text_pair="李娜。王伟。")
    for document in (pair, Document(long)):
        found = [next(extractor.extract([document], batch_size=1, split=split)) for split in ("sentences", "never")]
        assert found[0].label == found[1].label
        assert found[0].score == found[1].score
        assert (fields(found[0]) == fields(found[1])) == (document is pair)


def cut_engine(mode: Split) -> Engine:
    ids = tuple(TextTokenizer(characters()).encode(["北京"])[0].ids.tolist())
    made = oracle_engine(Oracle({ids: [0]}, 1), ("place",))
    return replace(made, splitter=Splitter(mode))


def test_a_name_across_a_sentence_end_is_not_found() -> None:
    text = "去北京。北。京"
    assert [
        len(next(iter(extract(cut_engine(mode), [Document(text)]))).entities) for mode in ("sentences", "never")
    ] == [1, 1]
    assert not next(iter(extract(cut_engine("sentences"), [Document("北。京")]))).entities
