"""Temporary directories beside what they will replace: a lock inside ends with the process, so that leftovers are known.

The name of such a directory, ``.NAME.ie-`` and 32 digits, is its mark: random digits, the kernel, the host, and a checksum
of all that. What a killed process left is removed by the next one that writes there: where the mark is right, the user and the
kernel or the host are ours, and nobody holds the lock. Nothing else is ever touched.
"""

from __future__ import annotations

import errno
import hashlib
import os
import platform
import re
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from filelock import BaseFileLock

LOCKLESS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP}
"""What a file system says that has no locks."""
OLD = "old"
"""In a workspace: what is put back beside it where a process ended before there was anything new of that name."""
_LOCK = "lock"
# Windows takes 0o700 for a list of who has access, which files that are moved out of the directory would keep.
_PRIVATE = 0o777 if os.name == "nt" else 0o700
_NAME = re.compile(r"\.(.+)\.ie-([0-9a-f]{8})([0-9a-f]{8})([0-9a-f]{8})([0-9a-f]{8})", re.DOTALL)


@contextmanager
def workspace(parent: Path, name: str) -> Iterator[Path]:
    """A directory of our own for the making of `name` in `parent`; at the end it is gone, with all that is still in it.

    Raises:
        OSError: it cannot be made.
    """
    room, lock = _take(parent, short(name))
    try:
        yield room
    finally:
        _dissolve(room, lock)


@contextmanager
def scratch(name: str) -> Iterator[Path]:
    """A workspace where the system has temporary files."""
    parent = Path(tempfile.gettempdir())
    sweep(parent)
    with workspace(parent, name) as room:
        yield room


def sweep(directory: Path) -> None:
    """Remove the workspaces of processes that ended too early, and put back what they were about to replace."""
    with suppress(OSError):  # no such directory, or not ours to look into
        with os.scandir(directory) as entries:
            found = [entry for entry in entries if is_workspace(entry.name) and entry.is_dir(follow_symlinks=False)]
        for entry in found:
            with suppress(OSError):
                _sweep(Path(entry.path))


def is_workspace(name: str) -> bool:
    """Whether a name is one that `workspace` gives."""
    match = _NAME.fullmatch(name)
    return match is not None and match[5] == _digits(*match.groups()[:4])


def short(name: str) -> str:
    """A name, or its hash where little could be added to it."""
    return name if len(os.fsencode(name)) <= 200 else hashlib.blake2b(os.fsencode(name), digest_size=16).hexdigest()


def _take(parent: Path, name: str) -> tuple[Path, BaseFileLock | None]:
    """A new directory and its lock; None where the file system has no locks: what is left there stays."""
    from filelock import Timeout

    for _ in range(100):
        marks = (name, secrets.token_hex(4), *_machine())
        room = parent / f".{name}.ie-{''.join(marks[1:])}{_digits(*marks)}"
        try:
            room.mkdir(mode=_PRIVATE)
        except FileExistsError:
            continue
        lock = _lock_in(room)
        try:
            lock.acquire()
        except (Timeout, FileNotFoundError):  # another process took it for a leftover, as it had no lock yet
            continue
        except (OSError, NotImplementedError) as error:
            if isinstance(error, NotImplementedError) or error.errno in LOCKLESS:
                return room, None
            shutil.rmtree(room, ignore_errors=True)
            raise
        return room, lock
    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(parent))


def _sweep(room: Path) -> None:
    """Remove a workspace, if its process is gone for certain."""
    from filelock import Timeout

    match = _NAME.fullmatch(room.name)
    kernel, host = _machine()
    if match is None or (match[3] != kernel and match[4] != host):  # locks of other hosts may not reach this one
        return
    if hasattr(os, "getuid") and room.lstat().st_uid != os.getuid():
        return
    with suppress(OSError):  # there is something in it
        room.rmdir()
        return
    there = (room / _LOCK).lstat()
    # A file with contents stands for a lock where the file system has none; to ask for it may already break it.
    if not stat.S_ISREG(there.st_mode) or there.st_size:
        return
    lock = _lock_in(room)
    try:
        lock.acquire()
    except (Timeout, NotImplementedError):
        return
    _dissolve(room, lock)


def _dissolve(room: Path, lock: BaseFileLock | None) -> None:
    """Put back what was to be replaced and was not, and remove the rest; where it cannot be put back, it stays."""
    kept = False
    if (room / OLD).is_dir():
        for path in (room / OLD).iterdir():
            if not os.path.lexists(room.parent / path.name):
                try:
                    os.replace(path, room.parent / path.name)
                except OSError:
                    kept = True
    if not kept:
        _clear(room)  # the lock is the last to go, or nobody would know what is left where a process ends here
    if lock is not None:
        lock.release()  # Windows removes no file that is open
    if not kept:
        shutil.rmtree(room, ignore_errors=True)


def _clear(room: Path) -> None:
    """Remove what is in a workspace but for its lock."""
    with suppress(OSError):
        for path in room.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            elif path.name != _LOCK:
                path.unlink()


def _lock_in(room: Path) -> BaseFileLock:
    from filelock import FileLock

    return FileLock(room / _LOCK, timeout=0, thread_local=False)


def _digits(*parts: str) -> str:
    return hashlib.blake2b("\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()


@lru_cache(maxsize=1)
def _machine() -> tuple[str, str]:
    """The running kernel, whose locks are exact, and the host, of which an earlier kernel's processes are gone."""
    host = _digits("host", platform.node(), _read("/etc/machine-id"))
    started = _read("/proc/sys/kernel/random/boot_id")
    return (_digits("kernel", started) if started else host), host


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
