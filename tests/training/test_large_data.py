"""The start of a run on data of several shards: read once, encoded once, whatever the source."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.corpora import documents, recipe, relation_documents, relation_recipe, write_jsonl

from ie_cli.data import document_shards, reading, training_reading
from ie_cli.training import encoded_shards
from ie_cli.training.encoded_dataset import EncodedDataset
from ie_cli.training.evaluator import _seen
from ie_cli.training.setup import TrainingSetup, prepare


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (document_shards, training_reading):
        monkeypatch.setattr(module, "SHARD_WEIGHT", 2000)


def never(*arguments: Any, **options: Any) -> Any:
    raise AssertionError("done again")


def content(dataset: EncodedDataset) -> object:
    rows = dataset.rows(range(len(dataset)))
    columns = {name: [entries.tolist() for entries in part] for name, part in rows.columns.items()}
    return dataset.counts, [ids.tolist() for ids in rows.input_ids], columns, rows.documents


def facts(setup: TrainingSetup) -> object:
    [task] = setup.tasks.values()
    return content(task.dataset), task.schema, setup.trained_tasks(), setup.tokenizer.to_str()


def test_a_second_start_neither_reads_nor_encodes(
    small_shards: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = recipe(write_jsonl(tmp_path / "train.jsonl", documents(80)), data={"dev": 0.2})
    first = facts(prepare(whole))
    monkeypatch.setattr(reading, "_read_train", never)
    monkeypatch.setattr(encoded_shards, "write_rows", never)
    assert facts(prepare(whole)) == first


def test_shards_train_as_data_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = recipe(write_jsonl(tmp_path / "train.jsonl", documents(80)))
    expected = prepare(whole)
    for module in (document_shards, training_reading):
        monkeypatch.setattr(module, "SHARD_WEIGHT", 2000)
    setup = prepare(whole)
    assert len(setup.tasks["ner"].data.documents.shards) > 2
    assert len(expected.tasks["ner"].data.documents.shards) == 1
    assert facts(setup) == facts(expected)


def test_data_of_a_url_are_encoded_once(
    small_shards: None, tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They have no fingerprint, so that they are read in every run; what was encoded is found by what was read."""
    file = write_jsonl(tmp_path / "train.jsonl", documents(80))
    remote = recipe(file, data={"train": file.as_uri()})
    setup = prepare(remote)
    assert setup.tasks["ner"].data.train.fingerprint is None
    first = facts(setup)
    assert len(list(own_cache.glob("*.arrow"))) > 2
    with monkeypatch.context() as patch:
        patch.setattr(encoded_shards, "write_rows", never)
        assert facts(prepare(remote)) == first
    write_jsonl(file, documents(81))
    assert facts(prepare(remote)) != first


@pytest.mark.parametrize("task", ["ner", "relation"])
def test_the_items_seen_in_training_are_those_of_dev_that_are_also_in_train(task: str, tmp_path: Path) -> None:
    made = documents() if task == "ner" else relation_documents(annotated=True)
    recipe_of, dev = recipe if task == "ner" else relation_recipe, made[:3]
    train = write_jsonl(tmp_path / "train.jsonl", made[2:])
    whole = recipe_of(train, data={"train": str(train), "dev": str(write_jsonl(tmp_path / "dev.jsonl", dev))})
    [setup] = prepare(whole).tasks.values()
    every, asked = set(setup.task.seen(setup.data.documents)), set(setup.task.seen(dev))
    assert _seen(setup) == every & asked
    assert every & asked
