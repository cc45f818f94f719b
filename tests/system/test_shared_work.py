"""Locks: one process at a time, or one first and the others together."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from ie_cli.system.locks import one_at_a_time, one_first

Lock = Callable[[Path], AbstractContextManager[None]]


def others(lock: Lock, file: Path, count: int) -> tuple[list[threading.Thread], threading.Barrier, list[int]]:
    """Start threads that need a lock, and meet while they have it."""
    meeting, entered = threading.Barrier(count + 1), list[int]()

    def work(number: int) -> None:
        with lock(file):
            entered.append(number)
            meeting.wait(timeout=20)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    return threads, meeting, entered


@pytest.mark.parametrize(("lock", "count"), [(one_first, 3), (one_at_a_time, 1)])
def test_all_wait_for_the_first_and_some_go_on_together(lock: Lock, count: int, tmp_path: Path) -> None:
    file = tmp_path / "reading.lock"
    with lock(file):
        threads, meeting, entered = others(lock, file, count)
        threads[0].join(timeout=0.3)
        assert entered == []
    meeting.wait(timeout=20)
    for thread in threads:
        thread.join()
    assert sorted(entered) == list(range(count))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("lock", [one_at_a_time, one_first])
def test_an_error_releases_the_lock(lock: Lock, tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(ValueError, match="failed"), lock(tmp_path / "a.lock"):
            raise ValueError("failed")
    assert list(tmp_path.iterdir()) == []
