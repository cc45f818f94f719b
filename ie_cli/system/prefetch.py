"""Iterate in a thread of its own, a few items ahead of whoever uses them."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class _End:
    error: BaseException | None


class Idle(Exception):
    """No item came within the time that was given."""


class Prefetcher(Generic[Item]):
    """The items of an iterable, which a thread takes; what it raises is raised where the items are used.

    Args:
        waiting: items that are held at most.
    """

    def __init__(self, items: Iterable[Item], *, waiting: int) -> None:
        self._waiting: queue.Queue[Item | _End] = queue.Queue(maxsize=waiting)
        self._stop = threading.Event()
        threading.Thread(target=self._fill, args=(iter(items),), daemon=True).start()

    def get(self, timeout: float | None = None) -> Item:
        """The next item.

        Raises:
            Idle: there was none for `timeout` seconds.
            StopIteration: there are no more.
        """
        if self._stop.is_set():
            raise StopIteration
        try:
            item = self._waiting.get(timeout=timeout)
        except queue.Empty:
            raise Idle from None
        if not isinstance(item, _End):
            return item
        with suppress(queue.Full):
            self._waiting.put_nowait(item)  # whoever asks again is told again
        raise item.error or StopIteration

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        return self.get()

    def close(self) -> None:
        """Let the thread end, and whoever waits for an item; a generator that the thread runs is closed."""
        self._stop.set()
        with suppress(queue.Full):
            self._waiting.put_nowait(_End(None))

    def _fill(self, items: Iterator[Item]) -> None:
        error: BaseException | None = None
        try:
            for item in items:
                if not self._put(item):
                    break
        except BaseException as caught:  # it is raised again where the items are used
            error = caught
        if isinstance(items, Generator):
            items.close()
        self._put(_End(error))

    def _put(self, item: Item | _End) -> bool:
        while not self._stop.is_set():
            try:
                self._waiting.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False
