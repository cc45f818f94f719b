"""Show how far a command has come."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ie_cli.commands import console as terminal
from ie_cli.errors import counted

Item = TypeVar("Item")


class ShardCounter:
    """Shows how many shards are done and how many records they hold, on a terminal as a bar, otherwise as a line now and then."""

    def __init__(self, progress: Progress | None, *, total: int, done: int, quiet: bool) -> None:
        self._progress, self._total, self._done, self._records, self._quiet = progress, total, done, 0, quiet
        self._last_line = time.monotonic()
        self._task = None if progress is None else progress.add_task("", total=total, completed=done, items="")

    def __call__(self, records: int) -> None:
        """Count a shard that is done."""
        self._done += 1
        self._records += records
        text = f"{self._done:,} of {counted(self._total, 'shard')}, {counted(self._records, 'record')}"
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=self._done, items=text)
        elif not self._quiet and time.monotonic() - self._last_line > terminal.PLAIN_SECONDS:
            terminal.say(text)
            self._last_line = time.monotonic()


@contextmanager
def counting_shards(*, total: int, done: int, quiet: bool) -> Iterator[ShardCounter]:
    """Show the progress over shards, and yield what counts them with their records."""
    if quiet or not terminal.console.is_terminal:
        yield ShardCounter(None, total=total, done=done, quiet=quiet)
        return
    columns = (
        TextColumn("predicting"),
        BarColumn(),
        TextColumn("{task.fields[items]}"),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    with Progress(*columns, console=terminal.console, transient=True) as progress:
        yield ShardCounter(progress, total=total, done=done, quiet=quiet)


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
