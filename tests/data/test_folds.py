from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.corpora import documents, recipe, write_jsonl

from ie_cli.data.dataset import fold_place, place_of
from ie_cli.data.reading import read_task_data
from ie_cli.document import Document
from ie_cli.errors import DataError
from ie_cli.recipe.schema import DataSection


def section(file: Path, fold: str) -> DataSection:
    data = recipe(file, data={"dev": None, "fold": fold}).data
    assert data is not None
    return data


@given(st.text(), st.integers(2, 50))
def test_the_text_alone_decides_on_one_of_the_folds(text: str, count: int) -> None:
    place = fold_place(text, count)
    assert 1 <= place <= count
    assert (place - 1) / count <= place_of(text) <= place / count


def test_a_place_that_was_rounded_to_1_is_in_the_last_fold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ie_cli.data.dataset.place_of", lambda text: 1.0)
    assert fold_place("x", 5) == 5


@pytest.mark.parametrize("count", [2, 5])
def test_every_document_is_held_out_once_and_duplicates_together(count: int, tmp_path: Path) -> None:
    given = [*documents(40), *documents(20)]
    file = write_jsonl(tmp_path / "train.jsonl", given)
    held_out: list[Document] = []
    prints = set()
    for number in range(1, count + 1):
        data = read_task_data(section(file, f"{number}/{count}"))
        assert data.dev_documents is not None
        assert data.dev is not None
        train, dev = list(data.documents), list(data.dev_documents)
        assert {document.text for document in train}.isdisjoint({document.text for document in dev})
        assert len(train) + len(dev) == len(given)
        assert data.statistics.documents == len(train)
        assert dev == list(data.dev)
        held_out += dev
        prints |= {data.train.fingerprint, data.dev.fingerprint}
    assert sorted(document.text for document in held_out) == sorted(document.text for document in given)
    assert len(prints) == 2 * count  # encoded windows are stored under these


def test_an_empty_fold_is_an_error(tmp_path: Path) -> None:
    file = write_jsonl(tmp_path / "train.jsonl", [Document("only one")])
    empty = 3 - fold_place("only one", 2)
    with pytest.raises(DataError, match=f"data.fold: fold {empty}/2 of .* contains no examples"):
        read_task_data(section(file, f"{empty}/2"))
