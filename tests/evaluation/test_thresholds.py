"""Scores at several thresholds from one pass are those of one evaluation for each."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.corpora import documents, recipe, relation_documents, relation_recipe, write_jsonl

from ie_cli.evaluation.evaluate import score
from ie_cli.evaluation.thresholds import scores_by_threshold
from ie_cli.inference.extractor import Extractor
from ie_cli.tasks import TASKS, ScoringOptions
from ie_cli.training.events import Finished
from ie_cli.training.run import train


@pytest.mark.parametrize("task", ["ner", "relation"])
def test_one_pass_gives_the_scores_of_many(task: str, tmp_path: Path) -> None:
    gold = relation_documents(annotated=True) if task == "relation" else documents()
    data = write_jsonl(tmp_path / "train.jsonl", gold)
    training: dict[str, object] = {"epochs": 6}
    made = relation_recipe(data, training=training) if task == "relation" else recipe(data, training=training)
    *_, finished = train(made, tmp_path / "run")
    assert isinstance(finished, Finished)
    extractor = Extractor.from_pretrained(finished.model, device="cpu", precision="float32")
    options, schema = ScoringOptions(), extractor.engine().tasks[0].codec.schema
    thresholds = (0.01, 0.1, 0.5, 0.9)
    found = scores_by_threshold(
        extractor, gold, thresholds, name=task, task=TASKS[task], schema=schema, options=options
    )
    assert tuple(found) == thresholds
    for threshold, scores in found.items():
        engine = extractor.engine(threshold=threshold)
        assert scores.values() == score(engine, gold, task=TASKS[task], schema=schema, ceilings={}).values()
    assert len({tuple(scores.values().items()) for scores in found.values()}) > 1
