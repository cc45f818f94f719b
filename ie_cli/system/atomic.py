"""Files and folders that are whole or not there: synced before they get their names; the disk's errors in plain words."""

from __future__ import annotations

import ctypes
import errno
import os
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ie_cli.errors import DataError, IEError, StorageError

_FULL = {errno.ENOSPC, errno.EDQUOT} if hasattr(errno, "EDQUOT") else {errno.ENOSPC}
_RUST_ERROR = re.compile(r"\(os error (\d+)\)")


def storage_error(error: OSError, what: str | os.PathLike[str] | None = None) -> StorageError:
    """What the system says of a file or folder, with what to do about it."""
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


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def sync(path: Path) -> None:
    """Have the system write a file, or the names in a folder, to the disk."""
    if os.name == "nt" and path.is_dir():
        return  # Windows opens no folder, and keeps its names itself
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_tree(folder: Path) -> None:
    """`sync` every file in a folder, and the folder."""
    for path in folder.iterdir():
        if path.is_dir():
            sync_tree(path)
        else:
            sync(path)
    sync(folder)


def replace_text(path: Path, text: str) -> None:
    """Write UTF-8 with plain line ends in place of a file, which at no moment is half written.

    Raises:
        StorageError: as `storing`.
    """
    with storing(path):
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
        try:
            with open(handle, "w", encoding="utf-8", newline="\n") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(name, file_mode())
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        sync(path.parent)


def refuse_locked(file: Path, busy: str) -> None:
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
        _require_lock(file)
        try:
            lock.acquire()
        except Timeout as error:
            raise DataError(busy, hint="wait for it, or write to another place with --output.") from error
    try:
        yield
    finally:
        if remove:
            with suppress(OSError):  # Windows removes no file that is open
                file.unlink()
        lock.release()


def _require_lock(file: Path) -> None:
    """Refuse what would be emptied or made elsewhere when it is opened as a lock: links, hard ones included, and other files.

    Raises:
        StorageError: it is neither absent nor an empty file.
    """
    try:
        state = file.lstat()
    except FileNotFoundError:
        return
    regular = stat.S_ISREG(state.st_mode)
    if not regular or state.st_size:
        what = "a file with contents" if regular else "a link" if stat.S_ISLNK(state.st_mode) else "no file"
        raise StorageError(f"{file}: is {what}, not a lock", hint="see where it comes from, and remove it.")


def put_in_place(temporary: Path, path: Path) -> None:
    """Sync a folder and give it the name `path`; an older folder of that name goes.

    On Linux and on file systems that can, the two change names in one step. Elsewhere the older one is called
    ``.NAME-old-…/NAME`` for a moment: `recover` puts it back, should the process end there.
    """
    os.chmod(temporary, 0o777 & ~_umask())
    sync_tree(temporary)
    if not path.exists():
        os.replace(temporary, path)
    elif _exchange(temporary, path):
        sync(path.parent)
        shutil.rmtree(temporary, ignore_errors=True)
    else:
        old = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}-old-")) / path.name
        os.replace(path, old)
        try:
            os.replace(temporary, path)
        except BaseException:
            os.replace(old, path)
            raise
        shutil.rmtree(old.parent, ignore_errors=True)
    sync(path.parent)


def recover(path: Path) -> None:
    """Put back a folder that `put_in_place` was about to replace, and remove what a process left that ended too early."""
    for rest in path.parent.glob(f".{path.name}-*"):
        old = rest / path.name
        if not path.exists() and rest.name.startswith(f".{path.name}-old-") and old.is_dir() and not old.is_symlink():
            os.replace(old, path)
        if rest.is_symlink() or not rest.is_dir():
            rest.unlink(missing_ok=True)
        else:
            shutil.rmtree(rest, ignore_errors=True)


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
