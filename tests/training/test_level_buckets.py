"""Batches of pairs hold several levels wherever the data allow it, and each pair once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.pair_corpora import pair_recipe, write_pairs

from ie_cli.training.batching import build_batches
from ie_cli.training.length_buckets import LengthBuckets
from ie_cli.training.level_buckets import LevelBuckets
from ie_cli.training.setup import prepare


def drawn(seed: int, size: int, levels: int, skew: float) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """Lengths, and levels of which the first has a share of at least `skew`."""
    random = np.random.default_rng(seed)
    found = np.where(random.random(size) < skew, 0, random.integers(0, levels, size))
    return random.integers(5, 100, size).astype(np.int32), found.astype(np.float32)


@given(
    st.integers(0, 2**20),
    st.integers(1, 400),
    st.sampled_from([1, 2, 3, 40]),
    st.sampled_from([0.0, 0.5, 0.95]),
    st.integers(2, 9),
)
def test_as_few_batches_as_possible_have_one_level(seed: int, size: int, levels: int, skew: float, batch: int) -> None:
    lengths, found = drawn(seed, size, levels, skew)
    sampler = LevelBuckets(lengths, found, batch_size=batch, seed=seed)
    assert len(sampler) == sum(
        -(-len(pool) // batch) for pool in np.array_split(np.arange(size), -(-size // (50 * batch)))
    )
    assert max(map(len, sampler)) <= batch
    assert sorted(row for rows in sampler for row in rows) == list(range(size))
    scarce = size - int(np.unique(found, return_counts=True)[1].max())
    single = sum(len(rows) == 1 for rows in sampler)
    others = -(-size // (50 * batch)) - 1  # each further pool may have one row less of each group of levels
    assert sampler.single_level() <= max(0, len(sampler) - scarce) + single + others * min(levels, 8)
    if levels > 1 and skew == 0 and batch >= 4 and others:
        assert sampler.single_level() == 0


@pytest.mark.parametrize("share", [0.03, 0.035, 0.05])
def test_every_pool_has_its_share_of_a_rare_level(share: float) -> None:
    lengths = np.full(6400, 20, np.int32)
    levels = (np.random.default_rng(0).random(6400) < share).astype(np.float32)
    sampler = LevelBuckets(lengths, levels, batch_size=32)
    assert sampler.single_level() <= max(0, 200 - int(levels.sum())) + 4


def test_batches_differ_by_epoch_and_are_the_same_again() -> None:
    lengths, found = drawn(0, 300, 3, 0.5)
    one, other = (LevelBuckets(lengths, found, batch_size=8, seed=1) for _ in range(2))
    first = list(one)
    assert first == list(other)
    one.set_epoch(1)
    assert list(one) != first
    one.set_epoch(0)
    assert list(one) == first
    assert list(LevelBuckets(lengths, found, batch_size=8, seed=2)) != first


def test_lengths_are_nearly_as_alike_as_without_levels() -> None:
    lengths, found = drawn(0, 4000, 2, 0.5)

    def padded(sampler: LengthBuckets) -> int:
        return sum(len(rows) * int(lengths[rows].max()) for rows in sampler)

    alike = padded(LengthBuckets(lengths, np.zeros(len(lengths), bool), batch_size=16))
    mixed = padded(LevelBuckets(lengths, found, batch_size=16))
    assert mixed < 1.1 * alike < 1.3 * int(lengths.sum())


@given(st.integers(0, 2**20), st.integers(1, 300), st.sampled_from([2, 40]))
def test_batches_of_tokens_are_not_too_large(seed: int, size: int, levels: int) -> None:
    lengths, found = drawn(seed, size, levels, 0.5)
    sampler = LevelBuckets(lengths, found, batch_size=1, batch_tokens=400, seed=seed)
    assert sorted(row for rows in sampler for row in rows) == list(range(size))
    assert all(len(rows) * int(lengths[rows].max()) <= 400 or len(rows) == 1 for rows in sampler)


@pytest.mark.parametrize("graded", [False, True])
def test_batches_of_a_run_hold_several_levels(graded: bool, tmp_path: Path) -> None:
    made = pair_recipe(write_pairs(tmp_path, graded=graded), training={"batch_size": 4})
    setup = prepare(made)
    mixture, order = build_batches(setup, made.training)
    for epoch in range(3):
        order.set_epoch(epoch)
        batches = [mixture.__getitems__(rows) for rows in order]
        assert sum(map(len, batches)) == 64
        assert all(len(set(batch.targets.levels.tolist())) > 1 for batch in batches)
        assert all(batch.rows == 2 for batch in batches)
