"""What was read from large training data is read from the cache by later runs, unless anything has changed."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from support.corpora import write_jsonl

from ie_cli.data import document_shards, reading, training_reading
from ie_cli.data.reading import TaskData, read_task_data
from ie_cli.document import Document, Entity
from ie_cli.errors import DataError, RecipeError
from ie_cli.recipe.schema import DataSection

READS: list[str] = []


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make shards of a few documents, and note when train is read."""
    monkeypatch.setattr(document_shards, "SHARD_WEIGHT", 2000)
    monkeypatch.setattr(training_reading, "SHARD_WEIGHT", 2000)
    whole = reading._read_train

    def noted(*arguments: Any, **options: Any) -> Any:
        READS.append("read")
        return whole(*arguments, **options)

    monkeypatch.setattr(reading, "_read_train", noted)
    READS.clear()


@pytest.fixture
def train(tmp_path: Path) -> Path:
    documents = [Document(f"{n} in Oslo", [Entity(n % 2, n % 2 + 1, "ab"[n % 2])], id=n) for n in range(90)]
    write_jsonl(tmp_path / "train.jsonl", [*documents, Document("none")])
    return tmp_path / "train.jsonl"


def section(train: Path, **fields: Any) -> DataSection:
    return DataSection.model_validate({"train": str(train), **fields})


def content(data: TaskData) -> object:
    dev = None if data.dev_documents is None else [(document, document.where) for document in data.dev_documents]
    train = [(document, document.where) for document in data.documents]
    return train, dev, data.statistics, data.files, data.reports


@pytest.mark.parametrize("dev", [None, 0.3])
def test_the_second_reading_is_the_same_without_the_source(dev: float | None, train: Path, own_cache: Path) -> None:
    fields = section(train, dev=dev, rename={"a": "letter"})
    first = read_task_data(fields, characters=True)
    assert len(first.documents.shards) > 3
    second = read_task_data(fields, characters=True)
    assert READS == ["read"]
    assert content(second) == content(first)
    assert list(second.statistics.labels.items()) == list(first.statistics.labels.items())  # ties depend on their order
    assert first.reports
    assert len(list(own_cache.iterdir())) == 1


def test_what_was_detected_applies_again(train: Path) -> None:
    for _ in range(2):
        with pytest.raises(RecipeError, match="nowhere"):
            read_task_data(section(train, rename={"nowhere": "letter"}))
    assert READS == ["read"]


@pytest.mark.parametrize("change", ["content", "option", "purpose", "trim", "dev"])
def test_other_data_or_options_are_read_again(change: str, train: Path) -> None:
    read_task_data(section(train))
    if change == "content":
        write_jsonl(train, [Document("other")] * 90)
    fields = {"option": {"rename": {"a": "b"}}, "trim": {"trim": True}, "dev": {"dev": 0.5}}.get(change, {})
    again = read_task_data(section(train, **fields), purpose="x" if change == "purpose" else "")
    assert READS == ["read"] * 2
    assert (change == "content") == (next(iter(again.documents)).text == "other")


@pytest.mark.parametrize("name", ["train-00001.jsonl", "dev-00000.jsonl", "facts.json"])
@pytest.mark.parametrize("damage", ["cut", "changed", "missing"])
def test_damaged_shards_are_read_again(name: str, damage: str, train: Path, own_cache: Path) -> None:
    expected = content(read_task_data(section(train, dev=0.3)))
    [directory] = own_cache.iterdir()
    file = directory / name
    whole = file.read_bytes()
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(whole[:-9] if damage == "cut" else whole.replace(b"1", b"2", 1))
    assert content(read_task_data(section(train, dev=0.3))) == expected
    assert READS == ["read"] * 2
    assert content(read_task_data(section(train, dev=0.3))) == expected
    assert READS == ["read"] * 2
    assert file.read_bytes() == whole


def test_facts_of_another_shape_are_read_again(train: Path, own_cache: Path) -> None:
    expected = content(read_task_data(section(train)))
    [directory] = own_cache.iterdir()
    for facts in ("[]", "{}", json.dumps({"train": 3, "dev": None}), "[" * 10_000):
        (directory / "facts.json").write_text(facts)
        assert content(read_task_data(section(train))) == expected
    assert READS == ["read"] * 5


def test_a_source_that_changes_while_it_is_read_is_not_kept(
    train: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = reading.FileCounts.add

    def longer(self: Any, *, annotated: bool) -> None:
        counted(self, annotated=annotated)
        if self.examples == 50:
            with train.open("a") as file:
                file.write('{"text": "late"}\n')

    monkeypatch.setattr(reading.FileCounts, "add", longer)
    with pytest.raises(DataError, match="changed while they were read"):
        read_task_data(section(train))
    assert not list(own_cache.glob("*.documents"))


def test_a_large_dev_file_is_reported(train: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dev = tmp_path / "dev.jsonl"
    write_jsonl(dev, [Document("text " * 20)] * 30)
    monkeypatch.setattr(reading.Spool.__init__, "__kwdefaults__", {"max_weight": 1000})
    data = read_task_data(section(train, dev=str(dev)))
    assert any("dev: 30 examples are more than are kept in memory" in report for report in data.reports)
    assert data.dev_documents is not None
    assert len(list(data.dev_documents)) == 30


def test_several_at_once_read_large_data_once(train: Path) -> None:
    together = threading.Barrier(3)

    def read() -> object:
        together.wait(timeout=20)
        return content(read_task_data(section(train)))

    with ThreadPoolExecutor(3) as pool:
        first, *others = [each.result() for each in [pool.submit(read) for _ in range(3)]]
    assert others == [first, first]
    assert READS == ["read"]
