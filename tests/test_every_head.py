"""Every head goes through every command, and learns; its laws without training are in tests/modeling/test_heads.py."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.corpora import documents, relation_documents, write_jsonl
from support.every_command import through_all_commands
from support.pair_corpora import pair_documents

from ie_cli.recipe.heads import HEADS

EXPORTED = ("crf", "tplinker", "cosent")
"""The heads whose models are exported here, one of each task; tests/export exports all heads in a single graph."""
EPOCHS = {"ner": 30, "relation": 40, "match": 20}
RECIPE = """
name: every
task: {task}
data: {{train: train.jsonl, dev: 0.1}}
encoder: {{name: tiny, max_length: 64, stride: 16}}
head: {{name: {name}}}
training:
  epochs: {epochs}
  batch_size: 8
  learning_rate: 2.0e-3
  head_learning_rate: 1.0e-2
  precision: float32
  eval_every: 10000
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", HEADS)
def test_a_head_learns_resumes_exports_and_predicts(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    [task] = HEADS[name].tasks
    made = {
        "ner": documents,
        "relation": lambda: relation_documents(annotated=True),
        "match": lambda: pair_documents(32, classes=3),
    }
    gold = write_jsonl(tmp_path / "train.jsonl", made[task]())
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(RECIPE.format(task=task, name=name, epochs=EPOCHS[task]), encoding="utf-8")
    scores = through_all_commands(recipe, tmp_path, gold, export=name in EXPORTED)
    assert isinstance(scores["f1"], float)
    if task == "match":
        assert scores["spearman"] > 0.4  # more than chance; the classes of so few pairs are not learned by heart
        return
    assert scores["precision"] > 0.9
    assert scores["recall"] > 0.9 * scores["ceiling"]["recall"]  # of what the head can express
