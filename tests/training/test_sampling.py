"""Which batches a step draws: random tasks by size or temperature, or one batch of every task."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.stopping import StopAfter
from support.two_tasks import two_tasks

from ie_cli.system.signals import Stopped
from ie_cli.training.batching import LengthBuckets, TaskMixture, TasksInTurn
from ie_cli.training.cost import estimate_cost
from ie_cli.training.events import Finished, Started
from ie_cli.training.run import train
from ie_cli.training.sampling import Steps, TasksAtRandom, TasksTogether, build_steps, sampling_notes
from ie_cli.training.setup import prepare
from ie_cli.training.shares import SharedSteps


class Numbered:
    """Stands in for the windows of a task; its batches are its name and row numbers."""

    def __init__(self, task: str, lengths: list[int]) -> None:
        self.task, self.lengths = task, lengths

    def __len__(self) -> int:
        return len(self.lengths)

    def batch(self, rows: list[int]) -> Any:
        return self.task, list(rows)


def samplers(sizes: list[int], batch_size: int = 3) -> list[LengthBuckets]:
    return [
        LengthBuckets(np.full(size, 5, dtype=np.int32), np.zeros(size, dtype=bool), batch_size=batch_size, seed=1)
        for size in sizes
    ]


def build(kind: type[TasksInTurn], sizes: list[int], **options: Any) -> tuple[Steps, TasksInTurn]:
    mixture = TaskMixture({f"t{n}": Numbered(f"t{n}", [5] * size) for n, size in enumerate(sizes)})  # type: ignore[misc]
    return Steps(mixture), kind(samplers(sizes), mixture.first, seed=4, **options)


def drawn(steps: Steps, sampler: TasksInTurn, epoch: int = 0) -> list[list[tuple[str, list[int]]]]:
    sampler.set_epoch(epoch)
    return [list(steps.__getitems__(shares)) for shares in SharedSteps(sampler, steps._mixture.first)]  # type: ignore[misc]


SIZES = st.lists(st.integers(1, 40), min_size=1, max_size=4)


@given(sizes=SIZES, epoch=st.integers(0, 3))
def test_a_step_has_one_batch_of_every_task(sizes: list[int], epoch: int) -> None:
    steps, sampler = build(TasksTogether, sizes)
    found = drawn(steps, sampler, epoch)
    assert len(found) == len(sampler) == max(-(-size // 3) for size in sizes)
    for step in found:
        assert [name for name, _ in step] == [f"t{n}" for n in range(len(sizes))]
    for number, own in enumerate(samplers(sizes)):
        rows = [part[number][1] for part in found]
        own.set_epoch(epoch)
        whole = list(own)
        assert rows[: len(whole)] == whole  # a first pass in the order that the task alone would have
        for first in range(0, len(rows) - len(whole) + 1, len(whole)):  # every complete pass covers the task once
            assert sorted(itertools.chain(*rows[first : first + len(whole)])) == list(range(sizes[number]))


def test_a_task_that_starts_again_has_another_order() -> None:
    steps, sampler = build(TasksTogether, [90, 30])
    rows = [step[1][1] for step in drawn(steps, sampler)]
    assert len(rows) == 30
    assert rows[:10] != rows[10:20] != rows[20:]


@given(sizes=SIZES, skip=st.integers(0, 30), kind=st.sampled_from([TasksTogether, TasksAtRandom]))
def test_steps_that_were_done_before_are_skipped(sizes: list[int], skip: int, kind: type[TasksInTurn]) -> None:
    steps, sampler = build(kind, sizes)
    whole = drawn(steps, sampler, 1)
    assert drawn(steps, sampler, 1) == whole
    sampler.skip = skip
    assert drawn(steps, sampler, 1) == whole[skip:]
    assert len(sampler) == len(whole)


@pytest.mark.parametrize(("temperature", "share"), [(1.0, 0.8), (2.0, 2 / 3), (1e6, 0.5)])
def test_tasks_are_drawn_by_their_size_and_the_temperature(temperature: float, share: float) -> None:
    steps, sampler = build(TasksAtRandom, [1200, 300], temperature=temperature)
    names = Counter(step[0][0] for epoch in range(20) for step in drawn(steps, sampler, epoch))
    assert names.total() == 20 * len(sampler) == 20 * 500
    assert names["t0"] / names.total() == pytest.approx(share, abs=0.02)
    expected = sampler.batches_per_epoch([400, 100])
    assert expected == pytest.approx([500 * share, 500 * (1 - share)], abs=0.01)


def test_the_orders_of_epochs_differ() -> None:
    steps, sampler = build(TasksAtRandom, [30, 30])
    assert drawn(steps, sampler, 0) != drawn(steps, sampler, 1)


SAMPLING = {
    None: TasksInTurn,
    "in_turn": TasksInTurn,
    "size": TasksAtRandom,
    "temperature": TasksAtRandom,
    "together": TasksTogether,
}


@pytest.mark.parametrize("name", SAMPLING)
def test_the_recipe_selects_the_sampler(name: str | None, tmp_path: Path) -> None:
    made = two_tasks(tmp_path, sampling=name)
    _, sampler = build_steps(prepare(made), made)
    assert type(sampler) is SAMPLING[name]


def test_methods_that_compare_tasks_draw_them_together(tmp_path: Path) -> None:
    made = two_tasks(tmp_path, balance="log")
    _, sampler = build_steps(prepare(made), made)
    assert type(sampler) is TasksTogether


@pytest.mark.parametrize("sampling", ["size", "together"])
def test_a_resumed_run_draws_what_is_left(sampling: str, tmp_path: Path) -> None:
    made = two_tasks(tmp_path, sampling=sampling, epochs=2)
    whole = list(train(made, tmp_path / "whole"))
    assert isinstance(whole[0], Started)
    assert whole[0].notes == ()  # 1.5 passes over the shorter task
    assert whole[0].steps == {"size": 2 * (3 + 2), "together": 2 * 3}[sampling]
    with pytest.raises(Stopped):
        list(train(made, tmp_path / "cut", stop=StopAfter(2)))
    last = list(train(made, tmp_path / "cut", resume=True))[-1]
    assert isinstance(last, Finished)
    files = [tmp_path / name / "model" / "model.safetensors" for name in ("whole", "cut")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_task_that_is_seen_more_than_twice_is_named() -> None:
    _, sampler = build(TasksTogether, [90, 30, 16])
    assert list(sampling_notes(sampler, ["names", "links", "pairs"])) == [
        "links has 10 batches and starts again until the 30 draws of an epoch are done (3.0 passes)",
        "pairs has 6 batches and starts again until the 30 draws of an epoch are done (5.0 passes)",
    ]
    assert list(sampling_notes(build(TasksInTurn, [90, 3])[1], ["names", "links"])) == []


@pytest.mark.parametrize("sampling", ["in_turn", "size", "together"])
def test_the_cost_counts_the_steps_of_the_sampling(sampling: str, tmp_path: Path) -> None:
    made = two_tasks(tmp_path, sampling=sampling, epochs=3)
    assert estimate_cost(made, seconds=0.1).steps == 3 * (3 if sampling == "together" else 5)
