"""Files and directories that are whole or not there: synced before they get their names; the disk's errors in plain words."""

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
"""What a file system says, of a network for example, that syncs no directories."""
_SOFT_LOCK = re.compile(rb"\d+\n[^\n]+\n(?:\w+\n)?")
"""What filelock writes where a file system has no locks: a process, its host, and a number."""
_RUST_ERROR = re.compile(r"\(os error (\d+)\)")


def storage_error(error: OSError, what: str | os.PathLike[str] | None = None) -> StorageError:
    """What the system says of a file or directory, with what to do about it."""
    where = os.fspath(what) if what is not None else error.filename or "a file"
    if isinstance(where, bytes):
        where = os.fsdecode(where)
    said = os.strerror(error.errno) if error.errno else str(error)
    if error.errno in _FULL:
        return StorageError(f"{where}: {said}", hint="free some space, or write to another disk.")
    hints = {
        errno.EFBIG: "the file system, or `ulimit -f`, allows no file as large.",
        errno.EACCES: "check who may write there, or choose another place.",
        errno.EPERM: "check who may write there, or choose another place.",
        errno.EROFS: "choose a place that can be written to.",
        errno.EMFILE: "raise `ulimit -n`.",
        errno.EBADF: "it is closed: open it, e.g. `> FILE`, or write to a file.",
    }
    return StorageError(f"{where}: {said}", hint=hints.get(error.errno or 0, "choose another place."))


@contextmanager
def storing(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn what fails in writing `path` into an error that names it.

    Raises:
        StorageError: the disk is full, may not be written to, is gone, …
    """
    try:
        yield
    except (IEError, BrokenPipeError):
        raise
    except OSError as error:
        raise storage_error(error, path) from error
    except Exception as error:  # safetensors and tokenizers raise types of their own
        if (found := _RUST_ERROR.search(str(error))) is None:
            raise
        raise storage_error(OSError(int(found[1]), str(error)), path) from error


def file_mode() -> int:
    """The mode that the system gives a new file."""
    return 0o666 & ~_umask()


def mode_of(path: Path) -> int:
    """The mode of a file; where there is none, or a link, that of a new one."""
    with suppress(OSError):
        before = path.lstat()
        if stat.S_ISREG(before.st_mode):
            return stat.S_IMODE(before.st_mode) & 0o777
    return file_mode()


def succeed(new: Path, old: Path, *, mode: int) -> None:
    """Give what will take the place of a file or directory its mode and, where possible, its owner and group.

    Args:
        mode: where there is no older one, or a link.
    """
    try:
        before = old.lstat()
    except OSError:
        before = None
    there = new.lstat()
    if before is None or stat.S_IFMT(before.st_mode) != stat.S_IFMT(there.st_mode):
        os.chmod(new, mode | (there.st_mode & stat.S_ISGID if stat.S_ISDIR(there.st_mode) else 0))
        return
    if hasattr(os, "chown"):
        for owner in (before.st_uid, -1):  # who may not give a file away may still give it a group of their own
            with suppress(OSError):
                os.chown(new, owner, before.st_gid)
                break
    # Of a directory also that its files belong to its group, as the system hands it down; of a file nothing that runs as others.
    os.chmod(new, stat.S_IMODE(before.st_mode) & (0o3777 if stat.S_ISDIR(before.st_mode) else 0o777))


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def sync(path: Path) -> None:
    """Have the system write a file, or the names in a directory, to the disk; of a directory only where that can be asked for."""
    directory = path.is_dir()
    if os.name == "nt" and directory:
        return  # Windows opens no directory, and keeps its names itself
    try:
        handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    except PermissionError:
        if directory:  # it may be written to and not be read
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
    """`sync` every file in a directory, and the directory."""
    for path in directory.iterdir():
        if path.is_dir():
            sync_tree(path)
        else:
            sync(path)
    sync(directory)


def replace_text(path: Path, text: str) -> None:
    """Write text in place of a file, which at no moment is half written.

    Raises:
        StorageError: as `storing`.
    """
    with storing(path), workspace(path.parent, path.name) as room:
        new = room / "new"
        with open_text(new) as file:
            file.write(text)
        put_file_in_place(new, path)


def put_file_in_place(new: Path, path: Path) -> None:
    """Sync a file and give it the name `path`, with the mode and owner of the file that it replaces."""
    sync(new)
    succeed(new, path, mode=file_mode())
    os.replace(new, path)
    sync(path.parent)


def require_unlocked(file: Path, busy: str) -> None:
    """Tell early that another process holds a lock, and leave none behind.

    Raises:
        DataError: it does.
        StorageError: as `locked`.
    """
    if os.path.lexists(file):
        with locked(file, busy):
            pass


@contextmanager
def locked(file: Path, busy: str, *, remove: bool = False) -> Iterator[None]:
    """Hold a lock, which goes with the process, however that ends.

    Args:
        busy: what to say where another process holds it.
        remove: the file of the lock at the end.

    Raises:
        DataError: another process holds it.
        StorageError: the file cannot be made, or is no lock.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(file, timeout=0)
    with storing(file):
        if _require_lock(file):
            raise DataError(busy, hint=f"wait for it, or write to another place; if no process is, remove {file}.")
        try:
            lock.acquire()
        except Timeout as error:
            raise DataError(busy, hint="wait for it, or write to another place.") from error
    try:
        yield
    finally:
        if remove:
            with suppress(OSError):  # Windows removes no file that is open
                file.unlink()
        lock.release()


def _require_lock(file: Path) -> bool:
    """Refuse what would be emptied or made elsewhere when it is opened as a lock: links, hard ones included, and other files.

    Returns:
        Whether it is what stands for a lock where the file system has none, which is not to be opened as one either.

    Raises:
        StorageError: it is neither that, nor absent, nor an empty file.
    """
    try:
        state = file.lstat()
    except FileNotFoundError:
        return False
    regular = stat.S_ISREG(state.st_mode)
    if regular and 0 < state.st_size < 1000 and _SOFT_LOCK.fullmatch(file.read_bytes()):
        return True
    if not regular or state.st_size:
        what = "a file with contents" if regular else "a link" if stat.S_ISLNK(state.st_mode) else "no file"
        raise StorageError(f"{file}: is {what}, not a lock", hint="see where it comes from, and remove it.")
    return False


def put_in_place(temporary: Path, path: Path) -> None:
    """Sync a directory and give it the name `path`; an older directory of that name goes.

    Its mode and owner, and those of files of the same names, are the older one's. On Linux and on file systems that can,
    the two change names in one step. Elsewhere the older one is in a workspace for a moment: `sweep` puts it back, should
    the process end there.
    """
    sync_tree(temporary)
    for file in temporary.iterdir():
        if file.is_file() and not file.is_symlink():
            succeed(file, path / file.name, mode=stat.S_IMODE(file.stat().st_mode))
    succeed(temporary, path, mode=0o777 & ~_umask())
    if not path.exists():
        os.replace(temporary, path)
    elif _exchange(temporary, path):
        sync(path.parent)
        shutil.rmtree(temporary, ignore_errors=True)
    else:
        with workspace(path.parent, path.name) as room:
            (room / OLD).mkdir()
            os.replace(path, room / OLD / path.name)
            os.replace(temporary, path)
    sync(path.parent)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two names in one step; False where the system or the file system cannot."""
    if sys.platform != "linux":
        return False
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError:  # an old C library
        return False
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return int(rename(here, os.fsencode(one), here, os.fsencode(other), exchange)) == 0
