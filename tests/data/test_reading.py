"""The data of a task are read once, however they are used."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.corpora import documents, write_jsonl

from ie_cli.data.dataset import Split, splits
from ie_cli.data.reading import TaskData, read_task_data
from ie_cli.data.statistics import DatasetStatistics
from ie_cli.document import Document
from ie_cli.errors import DataError
from ie_cli.recipe.schema import DataSection

_WATCHES: list[Counter[str]] = []


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and _WATCHES and isinstance(arguments[0], (str, bytes, os.PathLike)):
        name = os.path.basename(os.fsdecode(arguments[0]))
        _WATCHES[-1][name] += name == "pipe" or name.endswith(".jsonl")


sys.addaudithook(_note)  # for good, as Python has it; outside of `opened` it does nothing


@pytest.fixture
def opened() -> Iterator[Counter[str]]:
    """Count how often each data file is opened, by its name."""
    counter = Counter[str]()
    _WATCHES.append(counter)
    yield counter
    _WATCHES.remove(counter)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    write_jsonl(tmp_path / "train.jsonl", documents(60))
    write_jsonl(tmp_path / "more.jsonl", [Document("王伟", id="m")])
    write_jsonl(tmp_path / "dev.jsonl", documents(7))
    return tmp_path


def section(directory: Path, **fields: Any) -> DataSection:
    return DataSection.model_validate({"train": str(directory / "train.jsonl"), **fields})


def assert_as_the_splits(data: TaskData, fields: DataSection) -> None:
    """Check that the documents are those of the splits, with their places."""
    train, dev, _ = splits(fields)
    for found, split in ((data.documents, train), (data.dev_documents, dev)):
        assert (found is None) == (split is None)
        if found is not None and split is not None:
            expected = list(split)
            assert list(found) == expected
            assert [document.where for document in found] == [document.where for document in expected]
    assert data.statistics == DatasetStatistics.of(train)


@pytest.mark.parametrize("dev", [None, 0.3, "dev.jsonl", "train.jsonl"])
def test_what_is_read_is_what_the_splits_hold(dev: float | str | None, directory: Path) -> None:
    fields = section(directory, dev=str(directory / dev) if isinstance(dev, str) else dev)
    data = read_task_data(fields)
    assert_as_the_splits(data, fields)
    assert data.dev_is_train == (dev == "train.jsonl")
    assert not data.statistics.characters
    assert read_task_data(fields, characters=True).statistics == DatasetStatistics.of(data.documents, characters=True)


def test_a_share_of_train_is_read_with_it_in_one_pass(directory: Path, opened: Counter[str]) -> None:
    names = [str(directory / name) for name in ("train.jsonl", "more.jsonl")]
    fields = section(directory, train=names, dev=0.3)
    data = read_task_data(fields)
    assert data.dev_documents is not None
    for _ in range(3):  # and from here on it is not read again
        ids = [[document.id for document in part] for part in (data.documents, data.dev_documents)]
    assert +opened == {"train.jsonl": 2, "more.jsonl": 2}  # hashed once, read once
    assert all(ids)
    assert sorted(map(str, ids[0] + ids[1])) == sorted(map(str, [*range(60), "m"]))


def test_files_are_opened_once_each(directory: Path, opened: Counter[str]) -> None:
    data = read_task_data(section(directory, dev=str(directory / "dev.jsonl"), test=str(directory / "more.jsonl")))
    assert data.dev_documents is not None
    assert (len(data.documents), len(data.dev_documents)) == (60, 7)
    assert data.test_documents is not None
    for _ in range(2):
        assert [document.id for document in data.test_documents] == ["m"]
    assert +opened == {
        "train.jsonl": 2,
        "dev.jsonl": 2,
        "more.jsonl": 1,
    }  # what has windows kept under its hash is hashed


def test_train_as_dev_is_read_once_for_both(directory: Path, opened: Counter[str]) -> None:
    data = read_task_data(section(directory, dev=str(directory / "train.jsonl")))
    assert data.dev_documents is not None
    assert list(data.documents) == list(data.dev_documents)
    assert +opened == {"train.jsonl": 2}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_pipes_are_rejected_before_anything_is_read(split: str, directory: Path, opened: Counter[str]) -> None:
    os.mkfifo(directory / "pipe")
    with pytest.raises(DataError, match="a pipe can be read only once"):
        read_task_data(section(directory, **{split: str(directory / "pipe")}))
    assert not +opened


def test_a_fingerprint_is_computed_once(directory: Path, opened: Counter[str]) -> None:
    split = Split((str(directory / "train.jsonl"), str(directory / "more.jsonl")), section(directory))
    first = split.fingerprint
    assert first is not None
    write_jsonl(directory / "more.jsonl", [Document("李娜")])
    assert [split.fingerprint for _ in range(3)] == [first] * 3
    opened.subtract({"more.jsonl": 1})  # that it was written
    assert +opened == {"train.jsonl": 1, "more.jsonl": 1}
    assert Split(split.sources, split.section).fingerprint != first


def test_grades_and_classes_have_different_fingerprints(tmp_path: Path) -> None:
    """The same numbers are other labels; without the option, the hash is that of earlier versions."""
    (tmp_path / "x.tsv").write_text("sentence1\tsentence2\tlabel\na\tb\t1\nc\td\t2\n", encoding="utf-8")
    splits = [Split((str(tmp_path / "x.tsv"),), DataSection(train="x", grades=value)) for value in (None, False, True)]
    assert len({split.fingerprint for split in splits}) == 3
    assert [[document.score for document in split] for split in splits] == [[None, None], [None, None], [1.0, 2.0]]


def test_fractions_and_the_complete_data_have_different_fingerprints(directory: Path) -> None:
    train, dev, _ = splits(section(directory, dev=0.3))
    assert dev is not None
    assert len({train.fingerprint, dev.fingerprint, train.unfiltered().fingerprint}) == 3
    assert Split(("hub:org/data",), section(directory)).fingerprint is None


@pytest.mark.parametrize("split", ["dev", "test"])
def test_an_empty_split_is_an_error(split: str, directory: Path) -> None:
    (directory / "empty.jsonl").write_text("\n\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"empty\.jsonl: the data contain no examples") as error:
        read_task_data(section(directory, format="jsonl", **{split: str(directory / "empty.jsonl")}))
    assert f"data.{split}" in str(error.value.hint)


def test_an_empty_fraction_is_an_error(directory: Path) -> None:
    with pytest.raises(DataError, match=r"data\.dev: 1e-09 of .*train\.jsonl contains no examples") as error:
        read_task_data(section(directory, dev=1e-9))
    assert "data.dev" in str(error.value.hint)


def test_a_missing_or_damaged_test_file_is_reported_at_the_start(directory: Path) -> None:
    with pytest.raises(DataError, match="nowhere"):
        read_task_data(section(directory, test=str(directory / "nowhere.jsonl")))
    with (directory / "more.jsonl").open("a", encoding="utf-8") as file:
        file.write("{")
    with pytest.raises(DataError, match=r"more\.jsonl:2: "):
        read_task_data(section(directory, test=str(directory / "more.jsonl")))
