"""Locks for work that several processes may begin at the same time, whose result all of them use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ie_cli.system.atomic import storing
from ie_cli.system.temporary import LOCKLESS


@contextmanager
def one_at_a_time(file: Path) -> Iterator[None]:
    """Wait until no other process holds a lock, and hold it.

    Without locks in the file system, nobody waits: the work must have the same result whoever does it.

    Raises:
        StorageError: the lock cannot be created.
    """
    with _held(file, waits=True):
        yield


@contextmanager
def one_first(file: Path) -> Iterator[None]:
    """Hold a lock, or, if another process holds it, wait for this process and go on without the lock.

    This is for work whose result is not always kept: those that have waited find it, or all do the work at the same time.

    Raises:
        StorageError: the lock cannot be created.
    """
    with _held(file, waits=False) as held:
        if held:
            yield
            return
    with _held(file, waits=True):
        pass
    yield


@contextmanager
def _held(file: Path, *, waits: bool) -> Iterator[bool]:
    """Yield whether the lock is held, or cannot be; without `waits`, another process may hold it."""
    from filelock import FileLock, Timeout

    lock = FileLock(file)
    try:
        lock.acquire(blocking=waits)
    except Timeout:
        yield False
        return
    except (OSError, NotImplementedError) as error:
        if not isinstance(error, NotImplementedError) and error.errno not in LOCKLESS:
            with storing(file):
                raise
        yield True
        return
    try:
        yield True
    finally:
        file.unlink(missing_ok=True)
        lock.release()
