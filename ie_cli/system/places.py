"""Output paths: whether one leads to a replaceable file or a stream, and whether two lead to the same one."""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from ie_cli.errors import StorageError
from ie_cli.system.atomic import locked, require_unlocked, storage_error, storing
from ie_cli.system.temporary import LOCKLESS, short_name

_OPEN_FILES = re.compile(r"/dev/fd|/proc/(?P<process>\d+)(?:/task/\d+)?/fd")
Identity = tuple[int, int] | str


def descriptor_of(path: str) -> int | None:
    """Return the file descriptor that a path such as ``/dev/stdout``, ``/dev/fd/5`` or a link to one leads to, or None."""
    for _ in range(40):  # the number of links that Linux follows
        directory, name = os.path.split(os.path.abspath(path))
        directory = os.path.realpath(directory)
        match = _OPEN_FILES.fullmatch(directory)
        if match and name.isdecimal() and match["process"] in (None, str(os.getpid())):
            return int(name)
        try:
            path = os.path.join(directory, os.readlink(os.path.join(directory, name)))
        except (OSError, ValueError):  # not a link, or not readable
            return None
    return None


def is_file(path: str) -> bool:
    """Return whether a path leads to a file, a directory or nothing yet, not to a device, pipe, socket or open descriptor.

    An open descriptor must be written to at its current position: whoever opened it may write to it before and afterwards.
    """
    if descriptor_of(path) is not None:
        return False
    try:
        state = os.stat(path)
    except (OSError, ValueError):
        return True
    if not (stat.S_ISREG(state.st_mode) or stat.S_ISDIR(state.st_mode)):
        return False
    try:  # an open file of another process may no longer have a name
        return os.path.samestat(state, os.stat(os.path.realpath(path)))
    except OSError:
        return False


def identity(path: str, *, reading: bool = False) -> Identity | None:
    """Return a value that is equal for two paths if they lead to the same file or pipe.

    Args:
        path: the path; ``-`` is stdout, or stdin when reading.
        reading: whether the path is an input, for which pipes are not compared.

    Returns:
        The identity, or None for terminals and devices, which several programs may use at once.
    """
    default = "-" if path == "-" and not reading else None
    try:
        if path == "-":
            stream = sys.stdin if reading else sys.stdout
            state = os.fstat(stream.fileno())
        else:
            state = os.stat(path)
    except (OSError, ValueError, AttributeError):  # it does not exist yet, or the stream is not a file
        return os.path.realpath(path) if path != "-" else default
    if stat.S_ISREG(state.st_mode) or (not reading and (stat.S_ISFIFO(state.st_mode) or stat.S_ISSOCK(state.st_mode))):
        return state.st_dev, state.st_ino
    return default


def lock_of(path: str) -> Path:
    """Return the lock file that protects writing a file."""
    target = Path(os.path.realpath(path))
    return target.with_name(f".{short_name(target.name)}.ie-lock")


@contextmanager
def claimed(*paths: str) -> Iterator[None]:
    """Prevent other processes from writing the same files; the lock files are removed at the end.

    Raises:
        DataError: another process is writing one of them.
        StorageError: a file of this name cannot be created.
    """
    with ExitStack() as stack:
        for path in paths:
            with storing(path), suppress(FileNotFoundError):
                os.lstat(os.path.realpath(path))  # report a name that is too long before the work, not after it
            try:
                stack.enter_context(locked(lock_of(path), busy_message(path), remove=True))
            except StorageError as error:
                if not isinstance(cause := error.__cause__, OSError):
                    raise
                if cause.errno not in LOCKLESS:
                    raise storage_error(cause, path) from cause  # name the output, not its lock file
                with suppress(OSError):
                    lock_of(path).unlink()  # without locks, no process can hold it
        yield


def require_unclaimed(path: str) -> None:
    """Check early that no other process is writing a file.

    Raises:
        DataError: another process is writing it.
    """
    require_unlocked(lock_of(path), busy_message(path))


def busy_message(path: str) -> str:
    """Return the message for a file that another process is writing."""
    return f"{path}: another process is writing it"
