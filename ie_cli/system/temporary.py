"""Temporary directories next to what they will replace; a lock inside that ends with the process identifies leftovers.

The name of such a directory is ``.NAME.ie-`` and 32 hexadecimal digits: a random number, the kernel, the host, and a checksum
of all these. The next process that writes there removes what a killed process left behind, provided that the checksum matches,
the user and the kernel or host are the same, and no process holds the lock. Nothing else is ever touched.
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
"""Errors of file systems without locks."""
OLD = "old"
"""Subdirectory of a workspace; its content is restored next to the workspace if the process ended before replacing it."""
_LOCK = "lock"
# On Windows 0o700 sets an access list, which files moved out of the directory would keep.
_PRIVATE = 0o777 if os.name == "nt" else 0o700
_NAME = re.compile(r"\.(.+)\.ie-([0-9a-f]{8})([0-9a-f]{8})([0-9a-f]{8})([0-9a-f]{8})", re.DOTALL)


@contextmanager
def workspace(parent: Path, name: str) -> Iterator[Path]:
    """Create a private directory in which `name` in `parent` is prepared; it is removed at the end with its contents.

    Raises:
        OSError: the directory cannot be created.
    """
    directory, lock = _create(parent, short_name(name))
    try:
        yield directory
    finally:
        _remove(directory, lock)


@contextmanager
def scratch(name: str) -> Iterator[Path]:
    """Create a workspace in the system's directory for temporary files."""
    parent = Path(tempfile.gettempdir())
    sweep(parent)
    with workspace(parent, name) as directory:
        yield directory


def sweep(directory: Path) -> None:
    """Remove the workspaces of processes that were killed, and restore what they were about to replace."""
    with suppress(OSError):  # the directory is missing or not readable
        with os.scandir(directory) as entries:
            found = [entry for entry in entries if is_workspace(entry.name) and entry.is_dir(follow_symlinks=False)]
        for entry in found:
            with suppress(OSError):
                _sweep(Path(entry.path))


def is_workspace(name: str) -> bool:
    """Return whether `workspace` created a directory of this name."""
    match = _NAME.fullmatch(name)
    return match is not None and match[5] == _digits(*match.groups()[:4])


def short_name(name: str) -> str:
    """Return a name, or its hash if the name is so long that little could be added to it."""
    return name if len(os.fsencode(name)) <= 200 else hashlib.blake2b(os.fsencode(name), digest_size=16).hexdigest()


def _create(parent: Path, name: str) -> tuple[Path, BaseFileLock | None]:
    """Create a directory and its lock, or None as the lock on a file system without locks, where leftovers stay."""
    from filelock import Timeout

    for _ in range(100):
        parts = (name, secrets.token_hex(4), *_machine())
        directory = parent / f".{name}.ie-{''.join(parts[1:])}{_digits(*parts)}"
        try:
            directory.mkdir(mode=_PRIVATE)
        except FileExistsError:
            continue
        lock = _lock_in(directory)
        try:
            lock.acquire()
        except (Timeout, FileNotFoundError):  # without its lock, another process treated it as a leftover
            continue
        except (OSError, NotImplementedError) as error:
            if isinstance(error, NotImplementedError) or error.errno in LOCKLESS:
                return directory, None
            shutil.rmtree(directory, ignore_errors=True)
            raise
        return directory, lock
    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(parent))


def _sweep(directory: Path) -> None:
    """Remove a workspace if its process has certainly ended."""
    from filelock import Timeout

    match = _NAME.fullmatch(directory.name)
    kernel, host = _machine()
    if match is None or (match[3] != kernel and match[4] != host):  # locks of other hosts may not be visible here
        return
    if hasattr(os, "getuid") and directory.lstat().st_uid != os.getuid():
        return
    with suppress(OSError):  # fails if it is not empty
        directory.rmdir()
        return
    state = (directory / _LOCK).lstat()
    # A file with contents is a soft lock on a file system without locks; acquiring it could already break it.
    if not stat.S_ISREG(state.st_mode) or state.st_size:
        return
    lock = _lock_in(directory)
    try:
        lock.acquire()
    except (Timeout, NotImplementedError):
        return
    _remove(directory, lock)


def _remove(directory: Path, lock: BaseFileLock | None) -> None:
    """Restore what was about to be replaced and remove the rest; what cannot be restored stays in the workspace."""
    kept = False
    if (directory / OLD).is_dir():
        for path in (directory / OLD).iterdir():
            if not os.path.lexists(directory.parent / path.name):
                try:
                    os.replace(path, directory.parent / path.name)
                except OSError:
                    kept = True
    if not kept:
        _clear(directory)  # the lock goes last, so that a leftover is recognised if the process ends here
    if lock is not None:
        lock.release()  # Windows cannot remove open files
    if not kept:
        shutil.rmtree(directory, ignore_errors=True)


def _clear(directory: Path) -> None:
    """Remove the contents of a workspace except its lock."""
    with suppress(OSError):
        for path in directory.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            elif path.name != _LOCK:
                path.unlink()


def _lock_in(directory: Path) -> BaseFileLock:
    from filelock import FileLock

    return FileLock(directory / _LOCK, timeout=0, thread_local=False)


def _digits(*parts: str) -> str:
    return hashlib.blake2b("\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()


@lru_cache(maxsize=1)
def _machine() -> tuple[str, str]:
    """Identify the running kernel, whose locks are reliable, and the host, on which processes of earlier boots are gone."""
    host = _digits("host", platform.node(), _read("/etc/machine-id"))
    started = _read("/proc/sys/kernel/random/boot_id")
    return (_digits("kernel", started) if started else host), host


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
