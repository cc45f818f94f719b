"""What the path of an output leads to: a file that can be replaced, a stream; and whether two of them are one."""

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
from ie_cli.system.temporary import LOCKLESS, short

_OPEN_FILES = re.compile(r"/dev/fd|/proc/(?P<process>\d+)(?:/task/\d+)?/fd")
Identity = tuple[int, int] | str


def descriptor_of(path: str) -> int | None:
    """The open file of this process that a path leads to, such as ``/dev/stdout``, ``/dev/fd/5`` or a link to one."""
    for _ in range(40):  # as many links as Linux follows
        directory, name = os.path.split(os.path.abspath(path))
        directory = os.path.realpath(directory)
        match = _OPEN_FILES.fullmatch(directory)
        if match and name.isdecimal() and match["process"] in (None, str(os.getpid())):
            return int(name)
        try:
            path = os.path.join(directory, os.readlink(os.path.join(directory, name)))
        except (OSError, ValueError):  # no link, or not ours to look at
            return None
    return None


def is_file(path: str) -> bool:
    """Whether a path leads to a file or a directory, or to nothing yet: not to a device, a pipe, a socket, or an open file.

    What is open already is written to where it stands: who opened it may have written to it, and may go on to.
    """
    if descriptor_of(path) is not None:
        return False
    try:
        there = os.stat(path)
    except (OSError, ValueError):
        return True
    if not (stat.S_ISREG(there.st_mode) or stat.S_ISDIR(there.st_mode)):
        return False
    try:  # an open file of another process may have no name any more
        return os.path.samestat(there, os.stat(os.path.realpath(path)))
    except OSError:
        return False


def identity(path: str, *, reading: bool = False) -> Identity | None:
    """What two paths share that lead to one file or pipe; None of a terminal and of devices, which many may write to.

    Args:
        reading: ``-`` is stdin, and pipes do not count.
    """
    nothing = "-" if path == "-" and not reading else None
    try:
        if path == "-":
            stream = sys.stdin if reading else sys.stdout
            there = os.fstat(stream.fileno())
        else:
            there = os.stat(path)
    except (OSError, ValueError, AttributeError):  # not there yet; or a stream that is no file
        return os.path.realpath(path) if path != "-" else nothing
    if stat.S_ISREG(there.st_mode) or (not reading and (stat.S_ISFIFO(there.st_mode) or stat.S_ISSOCK(there.st_mode))):
        return there.st_dev, there.st_ino
    return nothing


def lock_of(path: str) -> Path:
    """The file of the lock that whoever writes a file holds."""
    target = Path(os.path.realpath(path))
    return target.with_name(f".{short(target.name)}.ie-lock")


@contextmanager
def claimed(*paths: str) -> Iterator[None]:
    """Keep other processes from writing the same files; no lock stays behind.

    Raises:
        DataError: another process writes one of them.
        StorageError: there can be no such file.
    """
    with ExitStack() as stack:
        for path in paths:
            with storing(path), suppress(FileNotFoundError):
                os.lstat(os.path.realpath(path))  # a name that is too long must not come up when everything is written
            try:
                stack.enter_context(locked(lock_of(path), busy(path), remove=True))
            except StorageError as error:
                if not isinstance(why := error.__cause__, OSError):
                    raise
                if why.errno not in LOCKLESS:
                    raise storage_error(why, path) from why  # nobody knows of the lock
                with suppress(OSError):
                    lock_of(path).unlink()  # which nobody can hold
        yield


def require_unclaimed(path: str) -> None:
    """Tell early that another process writes a file.

    Raises:
        DataError: it does.
    """
    require_unlocked(lock_of(path), busy(path))


def busy(path: str) -> str:
    return f"{path}: another process is at work on it"
