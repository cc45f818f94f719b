"""The prefetching thread: order, errors, and closing without waiting."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator

import pytest

from ie_cli.system.prefetch import Idle, Prefetcher


def test_items_come_in_order_and_end_again_and_again() -> None:
    ahead = Prefetcher(range(1000), waiting=3)
    assert list(ahead) == list(range(1000))
    assert list(ahead) == []


@pytest.mark.parametrize("error", [ValueError("x"), queue.Empty(), KeyError("y"), TimeoutError()])
def test_an_error_comes_after_what_was_before_it(error: Exception) -> None:
    def items() -> Iterator[int]:
        yield 1
        raise error

    ahead = Prefetcher(items(), waiting=5)
    assert next(ahead) == 1
    for _ in range(2):
        with pytest.raises(type(error)):
            next(ahead)


def test_waiting_has_an_end() -> None:
    go = threading.Event()

    def items() -> Iterator[int]:
        go.wait(10)
        yield 1

    ahead = Prefetcher(items(), waiting=1)
    with pytest.raises(Idle):
        ahead.get(timeout=0.01)
    go.set()
    assert ahead.get(timeout=10) == 1


def test_closing_stops_the_source_soon_and_closes_it() -> None:
    taken, closed = [], threading.Event()

    def items() -> Iterator[int]:
        try:
            for number in range(10**6):
                taken.append(number)
                yield number
        finally:
            closed.set()

    ahead = Prefetcher(items(), waiting=2)
    assert next(ahead) == 0
    ahead.close()
    assert closed.wait(5)
    assert len(taken) <= 5
    assert list(ahead) == []


def test_closing_wakes_who_waits() -> None:
    never = threading.Event()

    def items() -> Iterator[int]:
        never.wait(20)
        yield 1

    ahead = Prefetcher(items(), waiting=1)
    got: list[list[int]] = []
    waiter = threading.Thread(target=lambda: got.append(list(ahead)), daemon=True)
    waiter.start()
    time.sleep(0.05)
    ahead.close()
    waiter.join(5)
    assert got == [[]]
    never.set()
