"""The second queue of a GPU, with a GPU that only records what it is told to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch

from ie_cli.modeling.device_queue import IN_ORDER, SideStream, queue_of

GPU = torch.device("cuda", 1)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the GPU is told, each with the stream it is told in."""
    seen: list[Any] = []
    current = ["main"]

    class Stream:
        def __init__(self, device: torch.device, priority: int) -> None:
            seen.append(("stream", device, priority))

        def wait_event(self, mark: Event) -> None:
            seen.append(("wait for", mark.recorded))

        def synchronize(self) -> None:
            seen.append("the host waits for the side stream")

    class Event:
        recorded: Any = None

        def record(self, stream: Any) -> None:
            self.recorded = stream

    @contextmanager
    def stream(_: Stream) -> Iterator[None]:
        current.append("side")
        yield
        current.pop()

    def to(tensor: torch.Tensor, device: str, *, non_blocking: bool) -> torch.Tensor:
        seen.append((device, "asynchronous" if non_blocking else "blocking", current[-1]))
        return tensor

    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "stream", stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: f"{current[-1]} of {device}")
    monkeypatch.setattr(torch.cuda, "synchronize", lambda *_: seen.append("the host waits for everything"))
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda tensor, stream: seen.append("kept"))
    monkeypatch.setattr(torch.Tensor, "to", to)
    return seen


def test_the_host_waits_once_and_only_for_the_side_stream(told: list[Any]) -> None:
    queue = SideStream(GPU)
    mark = queue.hand_over([torch.zeros(2), torch.zeros(3)])
    assert told == [("stream", GPU, -1), "kept", "kept"]
    told.clear()
    with queue.after(mark):
        found = queue.bring({"start": torch.arange(3), "end": torch.ones(2)})
    assert told == [
        ("wait for", "main of cuda:1"),
        ("cpu", "asynchronous", "side"),
        ("cpu", "asynchronous", "side"),
        "the host waits for the side stream",
    ]
    np.testing.assert_array_equal(found["start"], [0, 1, 2])
    np.testing.assert_array_equal(found["end"], [1, 1])


def test_every_gpu_has_one(told: list[Any]) -> None:
    queue_of.cache_clear()
    queues = [queue_of(torch.device("cuda", number)) for number in (0, 1, 0)]
    queue_of.cache_clear()
    assert queues[0] is queues[2] is not queues[1]
    assert told == [("stream", torch.device("cuda", 0), -1), ("stream", GPU, -1)]
    assert [queue.ahead for queue in queues] == [1, 1, 1]


@pytest.mark.parametrize("kind", ["cpu", "mps", "meta"])
def test_other_devices_need_none(kind: str) -> None:
    queue = queue_of(torch.device(kind))
    assert queue is IN_ORDER
    assert queue.ahead == 0
    tensor = torch.arange(4, dtype=torch.float32)
    with queue.after(queue.hand_over([tensor])):
        array = queue.bring({"x": tensor})["x"]
    assert np.shares_memory(array, tensor.numpy())  # nothing is copied
