"""Show how far a command has come."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ie_cli.commands import console as terminal

Item = TypeVar("Item")


class Counter:
    """Shows how many items are done, and which share of the input that is; nothing without a `Progress`.

    The input is read ahead by another thread, so the position in the input is remembered for each item.
    """

    def __init__(self, progress: Progress | None, *, size: int | None, done: int) -> None:
        self._progress, self._done, self._position = progress, done, 0
        self._positions: deque[int] = deque()
        self._task = None if progress is None else progress.add_task("", total=size, items=f"{done:,}")

    def __call__(self) -> None:
        """Count an item that is done."""
        self._done += 1
        if self._progress is not None and self._task is not None:
            position = self._positions.popleft() if self._positions else None
            self._progress.update(self._task, items=f"{self._done:,}", completed=position)

    @property
    def on_read(self) -> Callable[[int], None] | None:
        """What counts bytes of the input, for `Reading.progress`; None if nothing is shown."""
        return self._read if self._progress is not None else None

    def _read(self, size: int) -> None:
        self._position += size

    def follow(self, items: Iterator[Item]) -> Iterator[Item]:
        """Yield the items, and remember where in the input each of them ends."""
        if self._progress is None:
            yield from items
            return
        for item in items:
            self._positions.append(self._position)
            yield item


@contextmanager
def counting(what: str, *, quiet: bool, size: int | None = None, done: int = 0) -> Iterator[Counter]:
    """Show the progress on a terminal, and yield what counts items and bytes.

    Args:
        what: the activity to show.
        quiet: show nothing.
        size: number of bytes of the input, if it is known.
        done: number of items that were processed before.
    """
    if quiet or not terminal.console.is_terminal:
        yield Counter(None, size=size, done=done)
        return
    share = () if size is None else (TextColumn("{task.percentage:>3.0f} %"),)
    left = TimeElapsedColumn() if size is None else TimeRemainingColumn(elapsed_when_finished=True)
    columns = (TextColumn(what), BarColumn(), *share, TextColumn("{task.fields[items]} records"), left)
    with Progress(*columns, console=terminal.console, transient=True) as progress:
        yield Counter(progress, size=size, done=done)
