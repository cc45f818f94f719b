"""Atomic replacement of files and directories, synced before they get their final names; readable storage errors."""

from __future__ import annotations

import ctypes
import errno
import os
import re
import shutil
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ie_cli.errors import DataError, IEError, StorageError
from ie_cli.system.temporary import OLD, workspace
from ie_cli.system.text import open_text

_FULL = {errno.ENOSPC, errno.EDQUOT} if hasattr(errno, "EDQUOT") else {errno.ENOSPC}
_NOT_SYNCED = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}
"""Errors of file systems, e.g. network file systems, that cannot sync directories."""
_SOFT_LOCK = re.compile(rb"\d+\n[^\n]+\n(?:\w+\n)?")
"""What filelock writes on a file system without locks: a process id, its host and a number."""
_RUST_ERROR = re.compile(r"\(os error (\d+)\)")


def storage_error(error: OSError, what: str | os.PathLike[str] | None = None) -> StorageError:
    """Convert an error of the system into a `StorageError` with a hint."""
    where = os.fspath(what) if what is not None else error.filename or "a file"
    if isinstance(where, bytes):
        where = os.fsdecode(where)
    reason = os.strerror(error.errno) if error.errno else str(error)
    if error.errno in _FULL:
        return StorageError(f"{where}: {reason}", hint="free some space or write to another disk.")
    hints = {
        errno.EFBIG: "the file exceeds the limit of the file system or of `ulimit -f`; choose another place or raise the limit.",
        errno.EACCES: "check the write permissions or choose another place.",
        errno.EPERM: "check the write permissions or choose another place.",
        errno.EROFS: "choose a writable place.",
        errno.EMFILE: "raise `ulimit -n`.",
        errno.EBADF: "the stream is closed: open it, e.g. with `> FILE`, or write to a file.",
    }
    return StorageError(f"{where}: {reason}", hint=hints.get(error.errno or 0, "choose another place."))


@contextmanager
def storing(path: str | os.PathLike[str]) -> Iterator[None]:
    """Convert errors in writing `path` into a `StorageError` that names it.

    Raises:
        StorageError: the disk is full, not writable, missing, …
    """
    try:
        yield
    except (IEError, BrokenPipeError):
        raise
    except OSError as error:
        raise storage_error(error, path) from error
    except Exception as error:  # safetensors and tokenizers raise their own types
        if (found := _RUST_ERROR.search(str(error))) is None:
            raise
        raise storage_error(OSError(int(found[1]), str(error)), path) from error


def file_mode() -> int:
    """Return the mode that the system gives to a new file."""
    return 0o666 & ~_umask()


def mode_of(path: Path) -> int:
    """Return the mode of a file, or that of a new file if there is none or the path is a link."""
    with suppress(OSError):
        before = path.lstat()
        if stat.S_ISREG(before.st_mode):
            return stat.S_IMODE(before.st_mode) & 0o777
    return file_mode()


def copy_mode_and_owner(new: Path, old: Path, *, mode: int) -> None:
    """Give a replacement the mode and, if possible, the owner and group of the file or directory that it replaces.

    Args:
        new: the replacement.
        old: the path that it will replace.
        mode: the mode to use if there is nothing to replace, or only a link.
    """
    try:
        before = old.lstat()
    except OSError:
        before = None
    state = new.lstat()
    if before is None or stat.S_IFMT(before.st_mode) != stat.S_IFMT(state.st_mode):
        os.chmod(new, mode | (state.st_mode & stat.S_ISGID if stat.S_ISDIR(state.st_mode) else 0))
        return
    if hasattr(os, "chown"):
        for owner in (before.st_uid, -1):  # without permission to change the owner, try the group alone
            with suppress(OSError):
                os.chown(new, owner, before.st_gid)
                break
    # A directory keeps its setgid and sticky bits; a file loses setuid, setgid and sticky.
    os.chmod(new, stat.S_IMODE(before.st_mode) & (0o3777 if stat.S_ISDIR(before.st_mode) else 0o777))


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def sync(path: Path) -> None:
    """Flush a file, or the entries of a directory, to disk; a directory is skipped if the system cannot sync it."""
    directory = path.is_dir()
    if os.name == "nt" and directory:
        return  # Windows cannot open directories and persists their entries itself
    try:
        handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    except PermissionError:
        if directory:  # it may be writable without being readable
            return
        raise
    try:
        os.fsync(handle)
    except OSError as error:
        if not directory or error.errno not in _NOT_SYNCED:
            raise
    finally:
        os.close(handle)


def sync_tree(directory: Path) -> None:
    """Call `sync` on every file in a directory and on the directory."""
    for path in directory.iterdir():
        if path.is_dir():
            sync_tree(path)
        else:
            sync(path)
    sync(directory)


def replace_text(path: Path, text: str) -> None:
    """Replace the content of a file atomically.

    Raises:
        StorageError: see `storing`.
    """
    with storing(path), workspace(path.parent, path.name) as workdir:
        new = workdir / "new"
        with open_text(new) as file:
            file.write(text)
        replace_file(new, path)


def replace_file(new: Path, path: Path) -> None:
    """Sync a file and move it to `path`, with the mode and owner of the file that it replaces."""
    sync(new)
    copy_mode_and_owner(new, path, mode=file_mode())
    os.replace(new, path)
    sync(path.parent)


def require_unlocked(file: Path, busy: str) -> None:
    """Check early that no other process holds a lock, without leaving a lock file behind.

    Raises:
        DataError: another process holds the lock.
        StorageError: see `locked`.
    """
    if os.path.lexists(file):
        with locked(file, busy):
            pass


@contextmanager
def locked(file: Path, busy: str, *, remove: bool = False) -> Iterator[None]:
    """Hold a lock that ends with the process, even if the process is killed.

    Args:
        file: the lock file.
        busy: the error message if another process holds the lock.
        remove: whether to remove the lock file at the end.

    Raises:
        DataError: another process holds the lock.
        StorageError: the file cannot be created or is not a lock.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(file, timeout=0)
    with storing(file):
        if _check_lock_file(file):
            raise DataError(
                busy, hint=f"wait for it, or write to another place; if there is no such process, remove {file}."
            )
        try:
            lock.acquire()
        except Timeout as error:
            raise DataError(busy, hint="wait for it, or write to another place.") from error
    try:
        yield
    finally:
        if remove:
            with suppress(OSError):  # Windows cannot remove open files
                file.unlink()
        lock.release()


def _check_lock_file(file: Path) -> bool:
    """Check that a path can be opened as a lock: opening a link, a hard link or a file with contents could damage it.

    Returns:
        Whether it is a soft lock, the substitute on file systems without locks, which must not be opened either.

    Raises:
        StorageError: it exists and is neither a soft lock nor an empty file.
    """
    try:
        state = file.lstat()
    except FileNotFoundError:
        return False
    regular = stat.S_ISREG(state.st_mode)
    if regular and 0 < state.st_size < 1000 and _SOFT_LOCK.fullmatch(file.read_bytes()):
        return True
    if not regular or state.st_size:
        what = "a file with contents" if regular else "a link" if stat.S_ISLNK(state.st_mode) else "not a file"
        raise StorageError(
            f"{file}: expected a lock file, but it is {what}", hint="check where it comes from, then remove it."
        )
    return False


def replace_directory(temporary: Path, path: Path) -> None:
    """Sync a directory and move it to `path`, replacing an existing directory.

    The new directory and its files take over the modes and owners of the old ones. On Linux, if the file system supports it,
    the two directories are exchanged in one step. Otherwise the old one is moved to a workspace for a moment; `sweep` restores
    it if the process ends in between.
    """
    sync_tree(temporary)
    for file in temporary.iterdir():
        if file.is_file() and not file.is_symlink():
            copy_mode_and_owner(file, path / file.name, mode=stat.S_IMODE(file.stat().st_mode))
    copy_mode_and_owner(temporary, path, mode=0o777 & ~_umask())
    if not path.exists():
        os.replace(temporary, path)
    elif _exchange(temporary, path):
        sync(path.parent)
        shutil.rmtree(temporary, ignore_errors=True)
    else:
        with workspace(path.parent, path.name) as workdir:
            (workdir / OLD).mkdir()
            os.replace(path, workdir / OLD / path.name)
            os.replace(temporary, path)
    sync(path.parent)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two names in one step; return False if the system or the file system does not support it."""
    if sys.platform != "linux":
        return False
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError:  # an old C library
        return False
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return int(rename(here, os.fsencode(one), here, os.fsencode(other), exchange)) == 0
