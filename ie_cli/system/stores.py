"""Directories on disk and in remote stores alike: finding files, their states, and files that appear only when complete.

A path is local, or a URL that fsspec opens. ``file://`` and ``local://`` are local paths. On disk, a file is prepared under a
temporary name and renamed. In an object store an upload is atomic, that is, an object has its name only when all of it has
arrived; a file is prepared on the local disk and then uploaded, without a copy inside the store that a rename would be there.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from ie_cli.errors import DataError, StorageError
from ie_cli.system.streams import new_file
from ie_cli.system.temporary import is_workspace, scratch
from ie_cli.system.urls import bad_url, file_system, is_url

_LOCAL = ("file://", "local://")
_VERSIONS = ("ETag", "etag", "md5Hash", "content_md5", "checksum", "crc32c", "blob_id")
"""Where the stores say which version of an object they have."""
_TIMES = ("LastModified", "last_modified", "mtime", "updated", "created")


@dataclass(frozen=True, slots=True)
class FileState:
    """What shows that a file has changed: its size in bytes, and its ETag or the time of its last change."""

    size: int
    version: str


def local_path(path: str) -> str:
    """Return the path of a ``file://`` URL, and any other path or URL unchanged."""
    prefix = next((one for one in _LOCAL if path.startswith(one)), None)
    return path if prefix is None else path.removeprefix(prefix)


def join(directory: str, name: str) -> str:
    """Return the path of a file in a directory; names have ``/`` between their parts."""
    return f"{directory.rstrip('/')}/{name}" if is_url(directory) else os.path.join(directory, *name.split("/"))


def is_pattern(path: str) -> bool:
    """Return whether a URL is a pattern with ``*``, ``?`` or ``[…]``; in web addresses, these have other meanings."""
    return is_url(path) and not path.startswith(("http://", "https://", "hf://")) and glob.has_magic(path)


def matching_urls(pattern: str) -> dict[str, FileState]:
    """Return the states of the files that match a pattern by their URLs, sorted; ``**`` stands for any directories.

    Raises:
        DataError: the URL is not allowed, or the store cannot be reached.
    """
    system, path = file_system(pattern)
    with _asking(pattern):
        system.invalidate_cache()
        found = system.glob(path, detail=True)
    protocol = pattern.partition("://")[0]
    files = sorted((name, info) for name, info in found.items() if info.get("type") == "file")
    return {f"{protocol}://{name.lstrip('/')}": _state(info) for name, info in files}


def state_of(path: str) -> FileState | None:
    """Return the state of a file; None if there is no such file.

    Raises:
        DataError: the store cannot be reached.
    """
    if not is_url(path):
        try:
            found = os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise DataError(f"{path}: {error.strerror or error}", hint="check the permissions.") from error
        return FileState(found.st_size, str(found.st_mtime_ns))
    system, name = file_system(path)
    with _asking(path):
        system.invalidate_cache()  # a store may remember what it has listed before
        try:
            return _state(system.info(name))
        except FileNotFoundError:
            return None


def files_below(directory: str) -> dict[str, FileState]:
    """Return the states of all files in a directory and below, by their names relative to it; none if there is no such directory.

    Raises:
        DataError: the store cannot be reached.
    """
    if not is_url(directory):
        return dict(_local_files(directory))
    system, root = file_system(directory.rstrip("/"))
    with _asking(directory):
        system.invalidate_cache()
        try:
            found = system.find(root, detail=True)
        except FileNotFoundError:
            return {}
    prefix = root.rstrip("/") + "/"
    return {name.removeprefix(prefix): _state(info) for name, info in found.items() if name.startswith(prefix)}


def _local_files(directory: str) -> Iterator[tuple[str, FileState]]:
    for parent, inside, names in os.walk(directory):
        inside[:] = [name for name in inside if not is_workspace(name)]
        for name in names:
            path = os.path.join(parent, name)
            if (state := state_of(path)) is not None:
                yield os.path.relpath(path, directory).replace(os.sep, "/"), state


def read_files(directory: str, names: Iterable[str]) -> dict[str, bytes]:
    """Return the contents of small files by their names, those of a remote store read at the same time.

    Raises:
        DataError: a file cannot be read.
    """
    paths = {name: join(directory, name) for name in names}
    if not paths:
        return {}
    if not is_url(directory):
        return {name: _read_local(path) for name, path in paths.items()}
    system, root = file_system(directory)
    by_path = {f"{root.rstrip('/')}/{name}": name for name in paths}
    with _asking(directory):
        return {by_path[path]: content for path, content in system.cat(list(by_path)).items()}


def _read_local(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}", hint="check the permissions.") from error


@contextmanager
def writing(path: str) -> Iterator[Path]:
    """Yield the path of a local file that becomes the file `path` at the end, as a whole; on errors, there is none.

    Missing directories are created. While a local file is written, no other process writes it.

    Raises:
        DataError: another process is writing the file.
        StorageError: the file cannot be written.
    """
    if not is_url(path):
        try:
            os.makedirs(os.path.dirname(path) or os.curdir, exist_ok=True)
        except OSError as error:
            raise StorageError(
                f"{os.path.dirname(path)}: {error.strerror or error}", hint="choose another place."
            ) from error
        with new_file(path) as new:
            yield new
        return
    system, name = file_system(path)
    with scratch("upload") as directory:
        new = directory / "new"
        yield new
        with _storing(path):
            system.put_file(str(new), name)


@contextmanager
def copy_of(url: str, name: str) -> Iterator[Path]:
    """Yield the path of a local copy of a remote file, with some name; it is removed at the end.

    Raises:
        DataError: the file cannot be read.
    """
    system, path = file_system(url)
    with scratch("download") as directory:
        copy = directory / (name or "file")
        with _asking(url):
            system.get_file(path, str(copy))
        yield copy


def remove(path: str) -> None:
    """Remove a file if it exists."""
    if not is_url(path):
        Path(path).unlink(missing_ok=True)
        return
    system, name = file_system(path)
    with _storing(path), suppress(FileNotFoundError):
        system.rm_file(name)


def _state(info: Mapping[str, Any]) -> FileState:
    version = next((info[key] for key in (*_VERSIONS, *_TIMES) if info.get(key)), "")
    if isinstance(version, datetime):  # some stores give the same time as a number elsewhere
        version = version.timestamp()
    return FileState(int(info.get("size") or 0), str(version).strip('"'))


@contextmanager
def _asking(url: str) -> Iterator[None]:
    """Turn the errors of a store, each of which has its own, into those of data."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:
        raise bad_url(url, error) from error


@contextmanager
def _storing(url: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise StorageError(
            f"{url}: cannot be written: {error}", hint="check the URL, and whether you may write there."
        ) from error
