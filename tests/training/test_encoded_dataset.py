from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.fakes import characters

from ie_cli.data.label_schema import LabelSchema
from ie_cli.document import Document, Entity
from ie_cli.encoding.padding import pad, text_mask
from ie_cli.encoding.tokenizer import TextTokenizer
from ie_cli.encoding.windows import WindowPlan
from ie_cli.training.batching import LengthBuckets
from ie_cli.training.encoded_dataset import EncodedDataset, encode_dataset

EXAMPLES = [
    Document("去北京大学", [Entity(1, 3, "place"), Entity(1, 5, "school")]),
    Document("ab", []),
    Document("", []),
    Document("北京" + "ab" * 10 + "上海", [Entity(0, 2, "place"), Entity(22, 24, "place"), Entity(0, 24, "school")]),
]
SCHEMA = LabelSchema(("place", "school"))


def store(key: str | None = "k", documents: list[Document] = EXAMPLES) -> EncodedDataset:
    return encode_dataset(documents, TextTokenizer(characters()), WindowPlan(10, 4), SCHEMA, pad_id=0, key=key)


def test_a_store_holds_every_window_and_every_reachable_entity() -> None:
    built = store()
    assert built.counts.documents == 4
    assert built.counts.windows == len(built) == 1 + 1 + 1 + 4
    assert built.counts.entities == 5
    assert built.counts.unreachable == {"longer than a window holds": 1}
    assert built.lengths.tolist() == [7, 4, 2, 12, 12, 12, 12]
    assert built.negative.tolist() == [False, True, True, False, True, True, False]


def test_a_batch_numbers_gold_cells_by_sample_and_position() -> None:
    batch = store().__getitems__([3, 0])
    assert batch.input_ids.shape == batch.text_mask.shape == (2, 12)
    assert batch.attention_mask.sum(1).tolist() == [12, 7]
    assert batch.text_mask.sum(1).tolist() == [10, 5]
    assert not batch.text_mask[:, 0].any()
    assert batch.gold[0].cells.tolist() == [[0, 0, 1, 2], [1, 0, 2, 3], [1, 1, 2, 5]]
    assert batch.documents == [3, 0]


def test_a_second_start_skips_the_encoding() -> None:
    first = store()

    def never() -> list[Document]:
        raise AssertionError("encoded again")

    class Untouched:
        def __iter__(self) -> object:
            return never()

    again = encode_dataset(Untouched(), TextTokenizer(characters()), WindowPlan(10, 4), SCHEMA, pad_id=0, key="k")  # type: ignore[arg-type]
    assert again.counts == first.counts
    assert again.lengths.tolist() == first.lengths.tolist()


@pytest.mark.parametrize("change", ["key", "mode", "plan", "labels"])
def test_other_data_or_options_are_encoded_anew(change: str, own_cache: Path) -> None:
    store()
    tokenizer = TextTokenizer(characters(), mode="char" if change == "mode" else "subword")
    plan = WindowPlan(10, 3) if change == "plan" else WindowPlan(10, 4)
    schema = LabelSchema(("school", "place")) if change == "labels" else SCHEMA
    encode_dataset(EXAMPLES, tokenizer, plan, schema, pad_id=0, key="other" if change == "key" else "k")
    assert len(list(own_cache.glob("*.arrow"))) == 2


def test_data_without_a_fingerprint_leave_no_file(own_cache: Path) -> None:
    assert len(store(key=None)) == 7
    assert list(own_cache.iterdir()) == []


@pytest.mark.parametrize("suffix", ["arrow", "json"])
@pytest.mark.parametrize("kept", [0, 100, 1300])
def test_a_damaged_store_is_encoded_anew(suffix: str, kept: int, own_cache: Path) -> None:
    first = store()
    (file,) = own_cache.glob(f"*.{suffix}")
    whole = file.read_bytes()
    file.unlink()  # not written over: the first store still maps it
    file.write_bytes(whole[:kept])
    again = store()
    assert again.lengths.tolist() == first.lengths.tolist()
    assert again.counts == first.counts
    assert file.stat().st_size == len(whole)


def test_padding_and_text_mask() -> None:
    ids, mask = pad([np.array([5, 6, 7, 8]), np.array([5, 8])], 9)
    assert ids.tolist() == [[5, 6, 7, 8], [5, 8, 9, 9]]
    assert text_mask(mask, 1, 1).tolist() == [[False, True, True, False], [False] * 4]


@given(
    lengths=st.lists(st.integers(1, 30), min_size=1, max_size=60),
    batch_size=st.integers(1, 7),
    batch_tokens=st.one_of(st.none(), st.integers(30, 120)),
    seed=st.integers(0, 99),
)
def test_an_epoch_draws_every_window_once(
    lengths: list[int], batch_size: int, batch_tokens: int | None, seed: int
) -> None:
    sampler = LengthBuckets(
        np.array(lengths, dtype=np.int32),
        np.zeros(len(lengths), dtype=bool),
        batch_size=batch_size,
        batch_tokens=batch_tokens,
        seed=seed,
    )
    for epoch in (0, 1):
        sampler.set_epoch(epoch)
        batches = list(sampler)
        assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
        assert len(batches) == len(sampler)
        for batch in batches:
            if batch_tokens is None:
                assert len(batch) <= batch_size
            else:
                assert len(batch) * max(lengths[row] for row in batch) <= batch_tokens


def test_epochs_differ_and_seeds_repeat() -> None:
    def draw(seed: int, epoch: int) -> list[list[int]]:
        sampler = LengthBuckets(np.arange(1, 41, dtype=np.int32), np.zeros(40, dtype=bool), batch_size=4, seed=seed)
        sampler.set_epoch(epoch)
        return list(sampler)

    assert draw(1, 0) == draw(1, 0)
    assert draw(1, 0) != draw(1, 1)
    assert draw(1, 0) != draw(2, 0)


def test_negatives_are_drawn_by_their_share() -> None:
    negative = np.arange(1000) >= 500
    sampler = LengthBuckets(np.ones(1000, dtype=np.int32), negative, batch_size=10, negatives=0.2, seed=3)
    drawn = []
    for epoch in range(3):
        sampler.set_epoch(epoch)
        rows = [row for batch in sampler for row in batch]
        assert len(set(rows)) == len(rows) == 600
        assert sum(row < 500 for row in rows) == 500
        drawn.append({row for row in rows if row >= 500})
    assert drawn[0] != drawn[1] != drawn[2]


def test_buckets_pad_little() -> None:
    random = np.random.default_rng(0)
    lengths = random.integers(5, 100, 2000).astype(np.int32)
    sampler = LengthBuckets(lengths, np.zeros(2000, dtype=bool), batch_size=16, seed=0)
    padded = sum(len(batch) * max(lengths[batch]) for batch in sampler)
    assert padded < 1.05 * lengths.sum()


def test_gold_tensors_move_together() -> None:
    batch = store().__getitems__([0]).to(torch.device("cpu"))
    assert batch.gold[0].line_of.tolist() == [0, 1]
