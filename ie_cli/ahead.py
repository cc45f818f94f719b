"""Iterate in a thread of its own, a few items ahead of whoever uses them."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class _End:
    error: BaseException | None


class Ahead(Generic[Item]):
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
            queue.Empty: there was none for `timeout` seconds.
            StopIteration: there are no more.
        """
        item = self._waiting.get(timeout=timeout)
        if not isinstance(item, _End):
            return item
        self._waiting.put(item)  # whoever asks again is told again
        raise item.error or StopIteration

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        return self.get()

    def close(self) -> None:
        """Let the thread end; a generator that it runs is closed."""
        self._stop.set()

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
