"""Losses of the last steps, and how many sentences a second they are: a text of many windows is one sentence."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from support.corpora import documents, recipe, write_jsonl

from ie_cli.document import Document
from ie_cli.errors import TrainingError
from ie_cli.modeling.batch import Batch
from ie_cli.training import loss_tracker
from ie_cli.training.events import Started
from ie_cli.training.loss_tracker import MOST_SKIPPED, LossTracker
from ie_cli.training.run import train


class Clock:
    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(loss_tracker, "time", clock)
    return clock


TRAIN = {
    "ner": [Document("x", where=f"train.jsonl:{n + 1}") for n in range(40)],
    "links": [Document("x", where=None) for _ in range(9)],
}


def batch(*numbers: int, task: str = "ner") -> Batch:
    return cast(Batch, SimpleNamespace(task=task, documents=list(numbers)))


def add(tracker: LossTracker, step: int, loss: float, *numbers: int, sentences: float = 1.0, **task: str) -> None:
    tracker.add(torch.tensor(loss), step, batch(*numbers, **task), sentences=sentences)


def test_the_rate_is_that_of_the_time_since_the_last_reading(clock: Clock) -> None:
    tracker = LossTracker(TRAIN)
    add(tracker, 1, 2.0, 0, sentences=1.5)
    add(tracker, 2, 4.0, 1, sentences=2.5)
    clock.now = 2.0
    assert tracker.due()
    assert tracker.read() == (3.0, 2.0)
    clock.now = 2.5
    assert not tracker.due()
    add(tracker, 3, 6.0, 1, sentences=1.0)
    assert tracker.rate() == 2.0
    tracker.restart()
    clock.now = 4.5
    assert tracker.rate() == 2.0  # nothing was added since
    assert math.isnan(tracker.read()[0])


def test_the_mean_of_an_evaluation_does_not_depend_on_readings_between(clock: Clock) -> None:
    losses = [0.1, 0.7, 0.3, 1e-9, 5.0]
    means = []
    for readings in ((), (1, 3)):
        tracker = LossTracker(TRAIN)
        for step, loss in enumerate(losses):
            add(tracker, step, loss, step)
            if step in readings:
                tracker.read()
        means.append(tracker.mean())
    assert means[0] == means[1] == pytest.approx(sum(losses) / 5)
    assert math.isnan(tracker.mean())


def test_the_losses_of_each_task_are_compared_with_its_own_first_ones(clock: Clock) -> None:
    """The mean over all batches would have risen here, although the loss of every task has fallen."""
    tracker = LossTracker(TRAIN)
    for step, (loss, task) in enumerate([(1.0, "ner"), (1.0, "ner"), (40.0, "links"), (36.0, "links")], 1):
        add(tracker, step, loss, 0, task=task)
    assert tracker.mean() == 19.5
    assert tracker.by_task() == {"ner": (1.0, 1.0), "links": (38.0, 38.0)}
    for step, (loss, task) in enumerate([(0.5, "ner"), (30.0, "links"), (20.0, "links")], 5):
        add(tracker, step, loss, 0, task=task)
    assert tracker.mean() > 10
    assert tracker.by_task() == {"ner": (1.0, 0.5), "links": (38.0, 25.0)}
    assert tracker.by_task() == {"ner": (1.0, None), "links": (38.0, None)}


def test_the_first_losses_of_a_resumed_run_are_unknown(clock: Clock) -> None:
    tracker = LossTracker(TRAIN)
    add(tracker, 2, 3.0, 0)
    tracker.read()
    assert tracker.by_task() == {"ner": (None, 3.0), "links": (None, None)}


def test_a_loss_over_batches_of_several_tasks_is_that_of_none_of_them(clock: Clock) -> None:
    tracker = LossTracker(TRAIN)
    tracker.add(None, 1, batch(0, task="links"), sentences=1.0)
    add(tracker, 1, 9.0, 0)
    tracker.add(None, 2, batch(0, task="links"), sentences=1.0)
    add(tracker, 2, 5.0, 0, task="links")
    assert tracker.mean() == 7.0
    assert tracker.by_task() == {"ner": (None, None), "links": (None, 5.0)}


def test_the_first_non_finite_step_is_reported_with_its_documents(clock: Clock) -> None:
    tracker = LossTracker(TRAIN)
    add(tracker, 1, 1.0, 0)
    add(tracker, 2, 1.0, 7, 3, 3)
    add(tracker, 2, math.inf, 5, 2, task="links")
    add(tracker, 3, math.nan, 4)
    tracker.add_norm(torch.tensor(1.0), 1)
    tracker.add_norm(torch.tensor(math.nan), 3)
    with pytest.raises(TrainingError) as raised:
        tracker.check()
    assert raised.value.message == (
        "step 2: the loss is inf; its batch contains train.jsonl:4, train.jsonl:8, example 3, example 6"
    )


def test_of_many_documents_some_are_named(clock: Clock) -> None:
    tracker = LossTracker(TRAIN)
    add(tracker, 1, 1.0, *range(10, 33))
    tracker.add_norm(torch.tensor(math.inf), 1)
    places = ", ".join(f"train.jsonl:{n}" for n in range(11, 31))
    with pytest.raises(
        TrainingError, match=f"(?m)the norm of the gradient is inf; its batch contains {places} and 3 more$"
    ):
        tracker.read()


@pytest.mark.parametrize("section", [{}, {"batch_tokens": 60}, {"accumulation": 2}])
def test_an_epoch_is_worth_as_many_sentences_as_there_are_texts(
    section: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For any number of windows per text, and any assignment of windows to batches."""
    texts = [*documents(), Document("王伟在青川大学读书，" * 30), Document("李娜" * 9)]
    made = recipe(
        write_jsonl(tmp_path / "train.jsonl", texts),
        data={"dev": None},
        encoder={"max_length": 20, "stride": 6},
        training={"epochs": 2, "batch_size": 4, **section},
    )
    seen: list[float] = []
    real = LossTracker.add

    def noted(tracker: LossTracker, *given: Any, sentences: float) -> None:
        seen.append(sentences)
        real(tracker, *given, sentences=sentences)

    monkeypatch.setattr(LossTracker, "add", noted)
    started, *_ = list(train(made, tmp_path / "run"))
    assert isinstance(started, Started)
    counts = started.tasks["ner"].dataset.counts
    assert (counts.documents, counts.windows > 40) == (len(texts), True)
    assert sum(seen) == pytest.approx(2 * len(texts))
    assert len(set(seen)) > 2


def test_loss_scaling_may_skip_steps_but_not_many_in_a_row(clock: Clock) -> None:
    tracker = LossTracker(TRAIN)
    for step in range(MOST_SKIPPED):
        add(tracker, step + 1, 1.0, 0)
        tracker.add_norm(torch.tensor(math.inf), step + 1, may_overflow=True)
        if step == 5:
            assert tracker.check() == [1.0] * 6
            tracker.read()  # the count continues
    tracker.check()
    tracker.read()
    tracker.add_norm(torch.tensor(1.0), 100, may_overflow=True)
    tracker.read()
    for step in range(MOST_SKIPPED + 1):
        add(tracker, 101 + step, 1.0, 0)
        tracker.add_norm(torch.tensor(math.nan), 101 + step, may_overflow=True)
    with pytest.raises(TrainingError, match=f"step {101 + MOST_SKIPPED}: the loss is finite, but the norm"):
        tracker.read()
