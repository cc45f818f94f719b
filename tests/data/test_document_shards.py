"""Documents in shards: the same from memory and from files, of which nothing stays behind."""

from __future__ import annotations

import gc
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.random_documents import native_documents

from ie_cli.data.document_shards import DocumentShards, ShardDirectory
from ie_cli.document import Document, Entity

EXAMPLES = [Document(f"{number} in Oslo", [Entity(0, 1, "number")], id=number) for number in range(40)]


@given(
    documents=st.lists(native_documents(), max_size=8), weight=st.sampled_from([1, 200, 2**22]), step=st.integers(1, 5)
)
def test_the_documents_come_back_in_order(documents: list[Document], weight: int, step: int) -> None:
    expected = [replace(document, meta={}) for document in documents]
    shards = DocumentShards(documents, weight=weight)
    assert len(shards) == len(documents)
    assert list(shards.every(step)) == expected[::step]
    parts = shards.shards
    assert [document for shard in parts for document in shard] == list(shards) == expected
    assert list(shards.every(step)) == expected[::step]  # from the files, too
    assert [shard.first for shard in parts] == [
        sum(one.count for one in parts[:number]) for number in range(len(parts))
    ]
    if weight == 1:
        assert all(shard.count <= 1 for shard in parts)


def test_a_single_shard_is_in_memory(own_cache: Path) -> None:
    shards = DocumentShards(EXAMPLES)
    assert [shard.path for shard in shards.shards] == [None]
    assert list(own_cache.iterdir()) == []


def test_several_shards_are_files_that_go_with_the_object(own_cache: Path) -> None:
    shards = DocumentShards(EXAMPLES, weight=1000)
    parts = shards.shards
    assert len(parts) > 3
    assert all(shard.path is not None and shard.path.is_file() for shard in parts)
    del shards, parts
    gc.collect()
    assert list(own_cache.iterdir()) == []


def test_a_kept_directory_is_read_by_another_object(own_cache: Path) -> None:
    directory = ShardDirectory()
    shards = DocumentShards(EXAMPLES, directory=directory, weight=1000)
    stored = shards.flush()
    directory.keep(own_cache / "kept")
    assert [path.name for path in own_cache.iterdir()] == ["kept"]
    assert list(shards) == EXAMPLES
    again = DocumentShards(directory=ShardDirectory(own_cache / "kept"), stored=stored)
    assert list(again) == EXAMPLES
    assert again.content_key == shards.content_key
    del again, shards
    gc.collect()
    assert (own_cache / "kept").is_dir()


@pytest.mark.parametrize("weight", [1000, 2**22])
def test_the_key_of_the_content_is_that_of_the_documents(weight: int) -> None:
    key = DocumentShards(EXAMPLES, weight=weight).content_key
    assert key == DocumentShards(EXAMPLES, weight=weight).content_key
    for number in (0, 20, 39):
        others = list(EXAMPLES)
        others[number] = replace(others[number], entities=[])
        assert key != DocumentShards(others, weight=weight).content_key
    assert key != DocumentShards(EXAMPLES[:-1], weight=weight).content_key


def test_documents_that_are_added_later_change_the_key() -> None:
    shards = DocumentShards(EXAMPLES, weight=1000)
    before = shards.content_key
    shards.add(EXAMPLES[0])
    assert shards.content_key != before
    assert list(shards) == [*EXAMPLES, EXAMPLES[0]]
