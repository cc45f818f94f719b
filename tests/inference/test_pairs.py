from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from support.pair_engines import BINARY, CLASSES, GRADES, Counted, extractor_of

from ie_cli.data.label_schema import LabelSchema
from ie_cli.document import Document
from ie_cli.inference.extractor import Extractor
from ie_cli.inference.model_directory import TrainedTask
from ie_cli.inference.pipeline import Engine, extract

HEADS: dict[str, tuple[dict[str, Any], LabelSchema]] = {
    "cosent": ({"name": "cosent"}, CLASSES),
    "cosent, cls": ({"name": "cosent", "pooling": "cls"}, BINARY),
    "cosent, first_last": ({"name": "cosent", "pooling": "first_last"}, GRADES),
    "sbert": ({"name": "sbert"}, CLASSES),
    "infersent": ({"name": "infersent"}, CLASSES),
    "infersent of two classes": ({"name": "infersent"}, BINARY),
    "infersent of grades": ({"name": "infersent"}, GRADES),
    "cross_encoder": ({"name": "cross_encoder"}, CLASSES),
    "cross_encoder of grades": ({"name": "cross_encoder"}, GRADES),
    "cross_encoder, cosent": ({"name": "cross_encoder", "loss": "cosent"}, BINARY),
}
PAIRS = [
    ("王伟在青川大学读书", "李娜在青川"),
    ("王伟在青川大学读书", "王伟在青川大学读书"),
    ("李娜在青川", "王伟在青川大学读书"),
    ("", "王伟"),
    ("", ""),
    ("东湖", "在" * 100),
    ("南岭县" * 20, "云州市" * 20),
]


@pytest.fixture(scope="module")
def models() -> dict[str, Extractor]:
    return {name: extractor_of({"match": (head, TrainedTask(schema))}) for name, (head, schema) in HEADS.items()}


def documents(pairs: list[tuple[str, str]] = PAIRS) -> list[Document]:
    return [Document(text, id=n, text_pair=second) for n, (text, second) in enumerate(pairs)]


def scores(engine: Engine, given: list[Document]) -> dict[Any, float]:
    found = list(extract(engine, given))
    assert [(d.id, d.text, d.text_pair) for d in found] == [(d.id, d.text, d.text_pair) for d in given]
    assert all(d.score is not None for d in found)
    return {d.id: float(d.score or 0) for d in found}


def direct(model: Extractor, first: str, second: str) -> float:
    """The score by the definition, from one forward pass without padding for each sequence."""
    engine, head = model.engine(), model.model.head("match")
    [part] = engine.tasks
    one, other = (tokens.ids for tokens in engine.tokenizer.encode([first, second]))
    [sequences] = engine.pairs.values()
    with torch.inference_mode():
        read = [
            model.model.read(["match"], torch.tensor(ids[None].astype(np.int64)), torch.ones(1, len(ids)).bool())[
                "match"
            ]
            for ids in sequences.ids(one, other)
        ]
        logits = read[0][0].double() if len(read) == 1 else None
        if part.codec.reads == "texts":
            u, v = read[0][0].double(), read[1][0].double()
            if not head.queries:
                return float(torch.nn.functional.cosine_similarity(u, v, dim=0))
            features = torch.cat([u, v, (u - v).abs(), u * v])
            logits = head.classifier.weight.double() @ features + head.classifier.bias.double()  # type: ignore[attr-defined]
    assert logits is not None
    if len(logits) > 1:
        return float(logits.softmax(0) @ torch.linspace(0, 1, len(logits)).double())
    low, high = part.codec.schema.grades or (0.0, 1.0)
    return float(low + (high - low) * logits[0].sigmoid())


@pytest.mark.parametrize("name", HEADS)
def test_the_score_is_that_of_the_definition(name: str, models: dict[str, Extractor]) -> None:
    found = scores(models[name].engine(), documents())
    for number, (first, second) in enumerate(PAIRS):
        assert found[number] == pytest.approx(direct(models[name], first, second), abs=2e-6)
    assert len({round(score, 4) for score in found.values()}) > 3, "the scores differ"


@pytest.mark.parametrize("name", HEADS)
def test_scores_do_not_depend_on_batches_order_and_padding(name: str, models: dict[str, Extractor]) -> None:
    expected = scores(models[name].engine(), documents())
    for size in (1, 3):
        assert scores(models[name].engine(batch_size=size), documents()) == pytest.approx(expected, abs=2e-6)
    assert scores(models[name].engine(), documents()[::-1]) == pytest.approx(expected, abs=2e-6)


@pytest.mark.parametrize("name", ["cosent", "sbert"])
def test_the_cosine_does_not_depend_on_the_order_of_the_texts(name: str, models: dict[str, Extractor]) -> None:
    engine = models[name].engine()
    swapped = documents([(second, first) for first, second in PAIRS])
    assert scores(engine, swapped) == pytest.approx(scores(engine, documents()), abs=1e-6)
    assert scores(engine, documents())[1] == pytest.approx(1, abs=1e-9), "equal texts"


def counted(engine: Engine) -> tuple[Engine, Counted]:
    backend = Counted(engine.backend)
    return replace(engine, backend=backend), backend


@pytest.mark.parametrize("name", ["cosent", "infersent"])
def test_each_distinct_text_of_a_chunk_is_encoded_once(name: str, models: dict[str, Extractor]) -> None:
    engine, backend = counted(models[name].engine())
    scores(engine, 3 * documents())
    assert len(backend.sequences) == len({text for pair in PAIRS for text in pair}) == 8
    assert engine.counts.texts == 3 * len(PAIRS)


def test_a_cross_encoder_encodes_each_distinct_pair_once(models: dict[str, Extractor]) -> None:
    engine, backend = counted(models["cross_encoder"].engine())
    scores(engine, 3 * documents())
    assert len(backend.sequences) == len(set(PAIRS)) == len(PAIRS)


@pytest.mark.parametrize("name", ["cosent", "infersent", "cross_encoder"])
def test_long_texts_are_truncated_and_counted(name: str, models: dict[str, Extractor]) -> None:
    engine = models[name].engine()
    found = scores(engine, documents())
    assert engine.counts.shortened == (2 if name == "cross_encoder" else 3)
    assert engine.counts.windows == engine.counts.truncated == 0
    [sequences] = engine.pairs.values()
    cut = sequences.capacity if sequences.middle is None else sequences.capacity - 2
    again = scores(models[name].engine(), [Document("东湖", text_pair="在" * cut)])
    assert again[None] == pytest.approx(found[5], abs=2e-6)


@pytest.mark.parametrize("name", ["cosent", "infersent", "cross_encoder"])
def test_a_document_without_a_second_text_has_no_score(name: str, models: dict[str, Extractor]) -> None:
    engine, backend = counted(models[name].engine())
    [found] = extract(engine, [Document("王伟", label="same", score=3.0, id=7)])
    assert (found.id, found.label, found.score) == (7, None, None)
    assert not backend.sequences


def test_the_class_follows_from_the_stored_decision() -> None:
    head, schema = HEADS["cosent"]
    without = extractor_of({"match": (head, TrainedTask(schema))})
    found = scores(without.engine(), documents())
    cuts = tuple(np.quantile(list(found.values()), [0.3, 0.7]).tolist())
    decided = extractor_of({"match": (head, TrainedTask(schema, decision=cuts))})
    for document in decided.extract(documents()):
        score = document.score or 0
        assert document.label == ("different" if score <= cuts[0] else "related" if score <= cuts[1] else "same")
    assert {document.label for document in without.extract(documents())} == {None}


TASKS: dict[str, tuple[dict[str, Any], TrainedTask]] = {
    "names": ({"name": "efficient_global_pointer", "head_size": 8}, TrainedTask(LabelSchema(("person", "place")))),
    "alike": ({"name": "cosent"}, TrainedTask(BINARY, decision=(0.9,))),
}
JOINED = ({"name": "cross_encoder"}, TrainedTask(CLASSES))


@pytest.fixture(scope="module")
def several() -> Extractor:
    return extractor_of(TASKS)


def test_entities_and_the_similarity_come_from_one_pass(several: Extractor) -> None:
    """The window of a short text is also its sequence, so it is encoded once for both tasks."""
    given = documents([*PAIRS, ("王伟在青川" * 10, "王伟在青川")])
    engine, backend = counted(several.engine())
    found = list(extract(engine, given))
    names, alike = (list(extract(several.engine().only(name), given)) for name in ("names", "alike"))
    assert [d.entities for d in found] == [d.entities for d in names]
    assert sum(len(d.entities) for d in found) > 3
    assert [d.label for d in found] == [d.label for d in alike]
    assert [d.score for d in found] == pytest.approx([d.score for d in alike], abs=2e-6)
    windows, _ = counted(several.engine().only("names"))
    list(extract(windows, given))
    # Beyond the windows: second texts, the empty text and the truncated beginnings of long ones, unless they have a window.
    short = {text for text, _ in PAIRS if 0 < len(text) <= engine.plan.capacity}
    others = {text for pair in [*PAIRS, (given[-1].text, "王伟在青川")] for text in pair} - short
    assert len(backend.sequences) == windows.counts.windows + len(others)
    assert engine.counts.windows == windows.counts.windows


def test_pairs_with_the_scores_of_several_tasks_are_counted() -> None:
    engine = extractor_of({"graded": ({"name": "cosent"}, TrainedTask(GRADES)), **TASKS}).engine()
    found = list(extract(engine, [*documents(), Document("王伟在青川")]))
    assert engine.counts.contested == len(documents())
    last = list(extract(engine.only("alike"), documents()))
    assert [(d.score, d.label) for d in found[:-1]] == [(d.score, d.label) for d in last]
    assert all(document.label is not None for document in last)
    alone = extractor_of(TASKS).engine()
    list(extract(alone, documents()))
    assert alone.counts.contested == 0


def test_a_document_without_a_pair_has_entities_only(several: Extractor) -> None:
    alone, pair = several.extract([Document("王伟在青川"), Document("王伟在青川", text_pair="李娜")])
    assert alone.entities == pair.entities
    assert (alone.score, alone.label) == (None, None)
    assert pair.score is not None


def test_a_job_can_be_resumed_between_chunks(several: Extractor) -> None:
    """The scores of a chunk are the same to the last bit, whatever was read before it."""
    given = documents(3 * PAIRS)
    engine = replace(several.engine(), lookahead=4)
    whole = list(extract(engine, given))
    rest = list(extract(engine, given[8:]))
    assert [(d.score, d.entities) for d in rest] == [(d.score, d.entities) for d in whole[8:]]


def test_vectors_and_logits_come_from_the_same_encoder() -> None:
    model = extractor_of({**TASKS, "joined": JOINED, "classes": (HEADS["infersent"][0], TrainedTask(CLASSES))})
    for name in ("alike", "joined", "classes"):
        found = scores(model.engine().only(name), documents())
        assert len({round(score, 4) for score in found.values()}) > 3
