"""What is in doubt: the margins of candidates in logits, compared with plain predictions at two thresholds."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.corpora import documents, relation_documents
from support.pair_engines import BINARY, CLASSES, GRADES, extractor_of

from ie_cli.codecs.pairs import PairDecoder
from ie_cli.data.label_schema import LabelSchema
from ie_cli.document import Document
from ie_cli.inference.doubt import FARTHEST, Doubt, Watch, entropy, logit, reach_of, thresholds_of
from ie_cli.inference.extractor import Extractor
from ie_cli.inference.model_directory import TrainedTask
from ie_cli.inference.pipeline import Engine, extract
from ie_cli.inference.selection import Selection, ngram_vector

NAMES = LabelSchema(("person", "place", "school"))
LINKS = LabelSchema(("person", "school"), ("学校", "老师"))
TEXTS = [Document(document.text) for document in [*documents()[2:5], *relation_documents(annotated=True)[:1]]]
HEADS: dict[str, tuple[dict[str, Any], LabelSchema]] = {
    "efficient_global_pointer": ({"head_size": 8}, NAMES),
    "global_pointer": ({"head_size": 8}, NAMES),
    "biaffine": ({}, NAMES),
    "crf": ({}, NAMES),
    "softmax": ({}, NAMES),
    "gplinker": ({"head_size": 8}, LINKS),
    "casrel": ({}, LINKS),
    "tplinker": ({}, LINKS),
}


def extractor(name: str, **fields: Any) -> Extractor:
    head, schema = HEADS[name]
    return extractor_of({name: ({"name": name, **head, **fields}, TrainedTask(schema, temperature=1.5))})


def doubts(engine: Engine, *, below: float | None = None) -> tuple[list[Document], list[Doubt]]:
    watch = Watch.of(engine, below=below)
    found: list[Document] = []
    doubt: list[Doubt] = []
    for item in extract(watch.engine, TEXTS):
        assert isinstance(item, Document)
        found.append(item)
        doubt.append(watch.take())
    return found, doubt


def items(document: Document) -> Iterator[tuple[Any, float]]:
    for item in (*document.entities, *document.relations):
        assert item.score is not None
        yield item, logit(item.score)


CASES = [(name, 0.7, "never") for name in HEADS]
CASES += [("crf", None, "sentences"), ("gplinker", 0.9, "sentences")]


@pytest.mark.parametrize(("name", "below", "split"), CASES)
def test_the_nearest_item_is_found_and_the_predictions_stay_the_same(
    name: str, below: float | None, split: Any
) -> None:
    model = extractor(name)
    reach = FARTHEST if below is None else logit(below)
    plain = model.engine(split=split)
    low = 1 / (1 + math.exp(reach))
    expected = list(extract(plain, TEXTS))
    wider = list(extract(model.engine(split=split, threshold=low), TEXTS))
    found, doubt = doubts(plain, below=below)
    assert found == expected
    for document, other, one, more in zip(found, expected, doubt, wider, strict=True):
        assert isinstance(other, Document)
        assert isinstance(more, Document)
        assert [item.score for item in document.entities] == [item.score for item in other.entities]
        margins = [abs(margin) for _, margin in {**dict(items(more)), **dict(items(document))}.items()]
        margins = [margin for margin in margins if margin < reach]
        assert min(one.margins, default=reach) == pytest.approx(min(margins, default=reach))
    assert any(one.margins for one in doubt)


def test_each_label_has_its_own_threshold() -> None:
    found, doubt = doubts(extractor("global_pointer", thresholds={"person": 0.9}).engine(), below=0.95)
    for document, one in zip(found, doubt, strict=True):
        for entity in document.entities:
            threshold = 0.9 if entity.label == "person" else 0.5
            margin = logit(entity.score or 0.0) - logit(threshold)
            if (entity.score or 0.0) < 0.95:
                assert min(one.margins) <= margin + 1e-9
    assert any(one.margins for one in doubt)


@given(st.floats(0.001, 0.999), st.floats(0.001, 0.999))
@example(0.001, 0.0010000000000000002)
def test_a_rejected_item_is_in_doubt_as_far_as_a_predicted_one(threshold: float, below: float) -> None:
    reach = reach_of(below)(threshold)
    assert reach >= 0
    if below <= threshold:
        assert reach == 0
    elif below - threshold > 1e-12:  # logits of nearer numbers may be equal
        assert reach > 0
    if reach:
        assert 1 / (1 + math.exp(-logit(threshold) - reach)) == pytest.approx(below)


def test_the_entropy_is_that_of_a_coin() -> None:
    assert entropy(0.0) == 1.0
    assert entropy(math.log(3)) == pytest.approx(0.811278, abs=1e-6)
    assert entropy(1000.0) < 1e-20
    assert Doubt((0.0, 0.0), 4).uncertainty == pytest.approx(2 / 2)
    assert Doubt((), 0).uncertainty == 0.0


def test_neighbouring_spans_are_one_question() -> None:
    engine = extractor("global_pointer").engine(threshold=0.5)
    found, doubt = doubts(engine)
    longest = max(len(document.text) for document in found)
    assert max(len(one.margins) for one in doubt) <= longest
    assert sum(len(document.entities) for document in found) > sum(len(one.margins) for one in doubt)


@pytest.mark.parametrize("name", ["sbert", "cosent", "cross_encoder"])
def test_a_pair_is_in_doubt_near_the_cut_between_its_classes(name: str) -> None:
    model = extractor_of({"m": ({"name": name}, TrainedTask(BINARY, decision=(0.5,)))})
    watch = Watch.of(model.engine())
    [part] = watch.engine.tasks
    by_cosine = cast(PairDecoder, part.decoder).by_cosine
    assert by_cosine == (name != "cross_encoder")
    pairs = [Document(one.text, text_pair=other.text) for one in TEXTS[:3] for other in TEXTS[:4]]
    found = {}
    for item in extract(watch.engine, [*pairs, Document("王伟")]):
        assert isinstance(item, Document)
        found[item.text, item.text_pair] = (item.score, watch.take().margins)
    assert found.pop(("王伟", None)) == (None, ())
    for score, margins in found.values():
        assert score is not None
        shares = ((1 + score) / 2, 0.75) if by_cosine else (score, 0.5)
        margin = abs(logit(shares[0]) - logit(shares[1]))
        assert list(margins) == pytest.approx([margin] if margin < FARTHEST else [], abs=1e-9)
    assert any(margins for _, margins in found.values())


def test_tasks_add_their_doubts_and_grades_have_none() -> None:
    tasks: dict[str, tuple[dict[str, Any], TrainedTask]] = {
        "names": ({"name": "global_pointer", "head_size": 8}, TrainedTask(NAMES)),
        "links": ({"name": "gplinker", "head_size": 8}, TrainedTask(LINKS)),
        "pairs": ({"name": "sbert"}, TrainedTask(CLASSES, decision=(0.3, 0.6))),
    }
    engine = extractor_of(tasks).engine()
    _, doubt = doubts(engine)
    parts = [doubts(engine.only(name))[1] for name in tasks]
    for one, *single in zip(doubt, *parts, strict=True):
        assert sorted(one.margins) == pytest.approx(sorted(sum((part.margins for part in single), ())))
    graded = extractor_of({"m": ({"name": "cosent"}, TrainedTask(GRADES))}).engine()
    assert list(thresholds_of(graded)) == []
    assert list(thresholds_of(engine)) == [0.5, 0.5, 0.5]


def test_the_most_uncertain_document_is_first_and_its_copies_are_last() -> None:
    selection = Selection(4)
    texts = ["甲在青川读书", "甲在青川读书", "雨一直下", "The committee met in Lagos", "nothing at all"]
    for text, doubt in zip(texts, [0.9, 0.8, 0.3, 0.4, 0.0], strict=True):
        selection.add(Document(text), doubt)
    assert [document.text for document in selection.chosen()] == [texts[0], texts[3], texts[2], texts[1]]
    assert (selection.seen, selection.in_doubt) == (5, 4)
    assert list(Selection(3).chosen()) == []


@given(st.lists(st.floats(0.0, 2.0), max_size=60), st.integers(1, 5))
def test_few_candidates_are_kept_and_the_most_uncertain_is_always_chosen(doubt: list[float], wanted: int) -> None:
    selection = Selection(wanted)
    for number, value in enumerate(doubt):
        selection.add(Document(f"{number} {number * 7919}"), value)
    chosen = list(selection.chosen())
    assert len(selection._candidates) <= 10 * wanted
    assert len(chosen) == min(wanted, sum(value > 0 for value in doubt))
    if chosen:
        assert chosen[0].text.startswith(f"{int(np.argmax(doubt))} ")
    assert len({document.text for document in chosen}) == len(chosen)


def test_vectors_of_texts_have_the_length_1_and_tell_wordings_apart() -> None:
    one, alike, other, empty = (
        ngram_vector(Document(text))
        for text in ("Ann works for Northwind", "Bob works for Northwind", "it rained on Monday", "")
    )
    assert np.linalg.norm(one) == pytest.approx(1)
    assert one @ alike > 2 * (one @ other)
    assert not empty.any()
    assert ngram_vector(Document("a\ud800b", text_pair="甲乙")).any()
