"""Batches of windows, and the order in which they come: of one task and of several."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.corpora import documents, recipe, write_jsonl
from support.fakes import characters, windows_of

from ie_cli.data.label_schema import LabelSchema
from ie_cli.document import Document, Entity
from ie_cli.encoding.padding import pad, text_mask
from ie_cli.encoding.tokenizer import TextTokenizer
from ie_cli.encoding.windows import WindowPlan
from ie_cli.errors import TrainingError
from ie_cli.training.batching import LengthBuckets, TaskMixture, TasksInTurn, TaskWindows, build_batches
from ie_cli.training.setup import prepare

EXAMPLES = [
    Document("去北京大学", [Entity(1, 3, "place"), Entity(1, 5, "school")]),
    Document("ab", []),
    Document("", []),
    Document("北京" + "ab" * 10 + "上海", [Entity(0, 2, "place"), Entity(22, 24, "place"), Entity(0, 24, "school")]),
]
SCHEMA = LabelSchema(("place", "school"))


def windows() -> TaskWindows:
    return windows_of(EXAMPLES, SCHEMA, TextTokenizer(characters()), WindowPlan(10, 4))


def test_a_batch_numbers_gold_cells_by_sample_and_position() -> None:
    batch = windows().batch([3, 0])
    assert batch.input_ids.shape == batch.text_mask.shape == (2, 12)
    assert batch.attention_mask.sum(1).tolist() == [12, 7]
    assert batch.text_mask.sum(1).tolist() == [10, 5]
    assert not batch.text_mask[:, 0].any()
    assert batch.targets["entities"].entries.tolist() == [[0, 0, 1, 2], [1, 0, 2, 3], [1, 1, 2, 5]]
    assert batch.documents == [3, 0]


def test_gold_tensors_move_together() -> None:
    batch = windows().batch([0]).to(torch.device("cpu"))
    assert batch.targets["entities"].row_of.tolist() == [0, 1]


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


# Several tasks


@dataclass
class Numbered:
    """In the place of a task's windows: a batch is the task's name with the numbers of its windows."""

    name: str
    lengths: list[int]

    def __len__(self) -> int:
        return len(self.lengths)

    def batch(self, rows: list[int]) -> Any:
        return self.name, list(rows)

    def sampler(self, seed: int, batch_size: int = 3) -> LengthBuckets:
        lengths = np.array(self.lengths, dtype=np.int32)
        return LengthBuckets(lengths, np.zeros(len(lengths), dtype=bool), batch_size=batch_size, seed=seed)


def in_turn(tasks: list[Numbered], seed: int = 7) -> tuple[TaskMixture, TasksInTurn]:
    mixture = TaskMixture({task.name: task for task in tasks})  # type: ignore[misc]
    return mixture, TasksInTurn([task.sampler(seed) for task in tasks], mixture.first, seed=seed)


def drawn(mixture: TaskMixture, sampler: TasksInTurn, epoch: int) -> list[tuple[str, list[int]]]:
    sampler.set_epoch(epoch)
    return [mixture.__getitems__(rows) for rows in sampler]  # type: ignore[misc]


TASKS = st.lists(st.lists(st.integers(1, 30), min_size=1, max_size=25), min_size=1, max_size=4).map(
    lambda sizes: [Numbered(f"task {n}", lengths) for n, lengths in enumerate(sizes)]
)


@given(tasks=TASKS, seed=st.integers(0, 99))
def test_an_epoch_draws_every_window_of_every_task_once(tasks: list[Numbered], seed: int) -> None:
    mixture, sampler = in_turn(tasks, seed)
    assert len(mixture) == sum(map(len, tasks))
    for epoch in (0, 1):
        batches = drawn(mixture, sampler, epoch)
        assert len(batches) == len(sampler) == sum(len(task.sampler(seed)) for task in tasks)
        for task in tasks:
            mine = [rows for name, rows in batches if name == task.name]
            assert sorted(row for rows in mine for row in rows) == list(range(len(task)))
            own = task.sampler(seed)
            own.set_epoch(epoch)
            assert mine == list(own)  # in the order that the task alone would have


@given(tasks=TASKS, skip=st.integers(0, 40))
def test_batches_that_were_drawn_before_are_skipped(tasks: list[Numbered], skip: int) -> None:
    mixture, sampler = in_turn(tasks)
    whole = drawn(mixture, sampler, 1)
    sampler.skip = skip
    assert drawn(mixture, sampler, 1) == whole[skip:]
    assert len(sampler) == len(whole)


@given(lengths=st.lists(st.integers(1, 30), min_size=1, max_size=40), seed=st.integers(0, 99))
def test_one_task_has_the_order_of_its_buckets(lengths: list[int], seed: int) -> None:
    task = Numbered("only", lengths)
    mixture, sampler = in_turn([task], seed)
    for epoch in range(3):
        own = task.sampler(seed)
        own.set_epoch(epoch)
        sampler.set_epoch(epoch)
        assert list(sampler) == list(own)


def test_the_turns_of_the_tasks_differ_by_epoch_and_seed_and_repeat() -> None:
    tasks = [Numbered("a", [5] * 30), Numbered("b", [9] * 60)]

    def turns(seed: int, epoch: int) -> list[str]:
        return [name for name, _ in drawn(*in_turn(tasks, seed), epoch)]

    assert turns(1, 0) == turns(1, 0)
    assert sorted(turns(1, 0)) == ["a"] * 10 + ["b"] * 20
    assert turns(1, 0) != turns(1, 1)
    assert turns(1, 0) != turns(2, 0)
    assert turns(1, 0) != ["a"] * 10 + ["b"] * 20  # mixed, not behind one another


@pytest.mark.parametrize("row", [0, 2, 3, 4, 9])
def test_a_row_of_the_mixture_is_one_of_its_task(row: int) -> None:
    mixture = TaskMixture({"a": Numbered("a", [1] * 3), "b": Numbered("b", [1]), "c": Numbered("c", [1] * 6)})  # type: ignore[dict-item]
    expected = [("a", 0), ("a", 1), ("a", 2), ("b", 0), *[("c", n) for n in range(6)]]
    name, at = expected[row]
    assert mixture[row] == (name, [at])  # type: ignore[comparison-overlap]


def test_negatives_of_which_nothing_is_left_are_an_error_before_the_first_step(tmp_path: Path) -> None:
    plain = [Document(document.text) for document in documents()]
    file = write_jsonl(tmp_path / "train.jsonl", plain)
    made = recipe(file, data={"train": str(file), "labels": ["person"]}, training={"negatives": 0.0})
    with pytest.raises(TrainingError, match="training.negatives: 0 leaves no window to train on: none of the") as error:
        build_batches(prepare(made), made.training)
    assert error.value.hint == "annotate some of the texts, or raise training.negatives."
