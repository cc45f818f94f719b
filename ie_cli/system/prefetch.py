"""Iterate in a background thread, a few items ahead of the consumer."""

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
    """No item arrived within the timeout."""


class Prefetcher(Generic[Item]):
    """An iterator over items that a background thread fetches; exceptions are raised in the consumer.

    Args:
        items: the items.
        waiting: the maximum number of prefetched items.
    """

    def __init__(self, items: Iterable[Item], *, waiting: int) -> None:
        self._waiting: queue.Queue[Item | _End] = queue.Queue(maxsize=waiting)
        self._stop = threading.Event()
        threading.Thread(target=self._fill, args=(iter(items),), daemon=True).start()

    def get(self, timeout: float | None = None) -> Item:
        """Return the next item.

        Raises:
            Idle: no item arrived within `timeout` seconds.
            StopIteration: there are no more items.
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
            self._waiting.put_nowait(item)  # a second call gets the same answer
        raise item.error or StopIteration

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        return self.get()

    def close(self) -> None:
        """Stop the thread and any waiting consumer; close the iterable if it is a generator."""
        self._stop.set()
        with suppress(queue.Full):
            self._waiting.put_nowait(_End(None))

    def _fill(self, items: Iterator[Item]) -> None:
        error: BaseException | None = None
        try:
            for item in items:
                if not self._put(item):
                    break
        except BaseException as caught:  # raised again in the consumer
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
