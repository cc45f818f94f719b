"""One pass of a model gives its F1 at every threshold, and what is better than the threshold in use."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from support.corpora import documents, recipe, relation_documents, relation_recipe, write_jsonl

from ie_cli.codecs.base import Annotation, Candidates, Decoded, Decoder
from ie_cli.document import Entity
from ie_cli.evaluation.evaluate import score
from ie_cli.evaluation.thresholds import ThresholdProbe, TwiceDecoder, describe_better, threshold_probe
from ie_cli.inference.extractor import Extractor
from ie_cli.inference.model_directory import TrainedTask
from ie_cli.metrics.threshold_curve import LOWEST, ThresholdChoice
from ie_cli.tasks import TASKS, ScoringOptions
from ie_cli.training.events import Finished
from ie_cli.training.run import train

MASK = np.ones((2, 50), dtype=bool)
OPTIONS = ScoringOptions()


@pytest.mark.parametrize("task", ["ner", "relation"])
def test_one_pass_gives_the_scores_of_many(task: str, tmp_path: Path) -> None:
    gold = relation_documents(annotated=True) if task == "relation" else documents()
    data = write_jsonl(tmp_path / "train.jsonl", gold)
    training: dict[str, object] = {"epochs": 6}
    made = relation_recipe(data, training=training) if task == "relation" else recipe(data, training=training)
    *_, finished = train(made, tmp_path / "run")
    assert isinstance(finished, Finished)
    extractor = Extractor.from_pretrained(finished.model, device="cpu", precision="float32")
    schema = extractor.tasks[task].schema

    def scored(threshold: float) -> Any:
        return score(extractor.engine(threshold=threshold), gold, task=TASKS[task], schema=schema, ceilings={})

    engine = extractor.engine()
    probe = threshold_probe(extractor, task, engine, task=TASKS[task], options=OPTIONS)
    assert isinstance(probe, ThresholdProbe)
    found = score(probe.engine, gold, task=TASKS[task], schema=schema, each=probe.add, ceilings={})
    assert found == scored(0.5)
    thresholds, f1 = probe._curve.thresholds, probe._curve.f1()
    usable = np.flatnonzero(thresholds > probe._decoder.floor)
    assert len(usable) > 46
    for place in (usable[0], usable[len(usable) // 3], 46, 70, 92):
        assert f1[place] == pytest.approx(scored(float(thresholds[place])).primary, abs=1e-12)
    assert len(set(f1.tolist())) > 1
    assert probe.choice(found) is not None
    other: Any = SimpleNamespace(primary=found.primary + 0.01)
    assert probe.choice(other) is None  # the curve is that of something else
    extreme = threshold_probe(extractor, task, engine, task=TASKS[task], options=OPTIONS, threshold=LOWEST / 2)
    assert extreme is None
    assert threshold_probe(extractor, task, engine, task=TASKS["match"], options=OPTIONS) is None


def decoder_of(threshold: float, per_logit: float, made: list[float]) -> Decoder:
    """A decoder that finds more candidates the lower its threshold is."""
    count = round(10 + per_logit * max(0.0, -np.log(threshold / (1 - threshold))))

    def annotate(found: Mapping[str, Candidates], *_: object) -> Annotation:
        return Annotation(score=threshold, label=",".join(found))

    def decode(*_: object) -> Decoded:
        made.append(threshold)
        return Decoded(
            {"spans": Candidates(np.zeros((count, 4), dtype=np.int64), np.zeros(count, dtype=np.float32))}, frozenset()
        )

    decoder: Any = SimpleNamespace(tokens={"spans": (1, 2)}, decode=decode, annotate=annotate)
    return decoder  # type: ignore[no-any-return]


def twice(per_logit: float, made: list[float], current: float = 0.5) -> TwiceDecoder:
    return TwiceDecoder(decoder_of(current, per_logit, made), current, lambda t: decoder_of(t, per_logit, made))


def test_the_second_decoding_does_not_change_the_first() -> None:
    made: list[float] = []
    decoder = twice(0.0, made)
    outputs: Any = None
    found = decoder.decode(outputs, MASK)
    assert set(found.parts) == set(decoder.tokens) == {"spans", "low.spans"}
    assert decoder.floor == LOWEST
    tokens: Any = None
    first = decoder.annotate(found.parts, tokens, tokens, "text")
    assert (first.score, first.label) == (0.5, "spans")
    low = decoder.take("text")
    assert (low.score, low.label) == (LOWEST, "spans")


def test_what_the_low_threshold_finds_in_pieces_has_the_offsets_of_the_whole_text() -> None:
    def annotate(found: Mapping[str, Candidates], tokens: object, plan: object, text: str) -> Annotation:
        return Annotation([Entity(0, len(text), "a")])

    inner: Any = SimpleNamespace(tokens={}, annotate=annotate)
    decoder = TwiceDecoder(inner, 0.5, lambda threshold: inner)
    nothing: Any = None
    texts = {"One. One.  Two. ": ["One.", "One.", "Two."], "": [""], " ": [" "], "One.": ["One."]}
    for pieces in texts.values():
        for piece in pieces:
            decoder.annotate({}, nothing, nothing, piece)
    found = [[(e.start, e.end) for e in decoder.take(text).entities] for text in texts]
    assert found == [[(0, 4), (5, 9), (11, 15)], [(0, 0)], [(0, 1)], [(0, 4)]]


def test_the_low_threshold_follows_the_number_of_candidates() -> None:
    made: list[float] = []
    decoder = twice(45.0, made)
    outputs: Any = None
    decoder.decode(outputs, MASK)  # 55 candidates one logit below, 100 two below, 145 three below
    lowered = [0.5, 1 / (1 + np.e), 1 / (1 + np.e**2), 1 / (1 + np.e**3)]
    assert made == pytest.approx([*lowered, lowered[2]])  # raised to where the batch has no more than tokens
    assert decoder.floor == pytest.approx(1 / (1 + np.e**2))
    made.clear()
    decoder.decode(outputs, MASK)
    assert made == pytest.approx([0.5, decoder.floor])
    decoder.decode(outputs, MASK[:, :40])
    assert decoder.floor == pytest.approx(1 / (1 + np.e))
    decoder.decode(outputs, MASK[:, :4])  # raised as far as this batch needs, whatever was before
    assert decoder.floor == 0.5
    made.clear()
    decoder.decode(outputs, MASK)  # not lowered again: earlier texts lack the items below
    assert made == [0.5]


def test_thresholds_per_label_are_compared_as_they_are() -> None:
    probe: Any = ThresholdProbe.__new__(ThresholdProbe)
    probe._decoder, probe._floor, probe.per_label = SimpleNamespace(floor=LOWEST), None, True
    probe._curve = SimpleNamespace(current=0.5, choose=lambda floor: ThresholdChoice(0.2, 0.8, 0.5, 0.4))
    scores: Any = SimpleNamespace(primary=0.7)
    assert probe.choice(scores) == ThresholdChoice(0.2, 0.8, 0.5, 0.7)
    scores.primary = 0.799
    assert probe.choice(scores) is None


def test_the_threshold_of_a_recipe_comes_first() -> None:
    head: Any = SimpleNamespace(threshold="auto")
    schema: Any = None
    assert TrainedTask(schema).threshold_in_use(head) == 0.5
    assert TrainedTask(schema, threshold=0.2).threshold_in_use(head) == 0.2
    head.threshold = 0.7
    assert TrainedTask(schema, threshold=0.2).threshold_in_use(head) == 0.7


def test_what_is_better_is_described_with_its_scores() -> None:
    choice = ThresholdChoice(0.1301, 0.81431, 0.5, 0.76176)
    assert describe_better(choice) == "F1 is 0.8143 with the threshold 0.1301, and 0.7618 with the threshold 0.5"
    assert describe_better(choice, per_label=True).endswith("0.7618 with the thresholds per label")
