"""The cache directory, for data that can be computed again, such as encoded windows."""

from __future__ import annotations

import atexit
import errno
import os
import shutil
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path

from ie_cli.system.atomic import storing
from ie_cli.system.text import escape_surrogates

VARIABLE = "IE_CACHE"
"""The environment variable that names the cache directory."""


def cache_directory() -> Path:
    """Return the cache directory: ``$IE_CACHE``, else ``$XDG_CACHE_HOME/ie``, else ``~/.cache/ie``.

    If one of the last two is not writable or not valid UTF-8, a temporary directory is returned, which is removed when the
    process ends.

    Raises:
        StorageError: ``$IE_CACHE`` cannot be written or is not valid UTF-8.
    """
    if given := os.environ.get(VARIABLE):
        directory = Path(given)
        with storing(directory):
            _require_writable(directory)
        return directory
    with suppress(OSError, RuntimeError):  # RuntimeError: the user has no home directory
        directory = _user_cache() / "ie"
        _require_writable(directory)
        return directory
    return _temporary_directory()


def _user_cache() -> Path:
    """Return the user's cache directory as in the XDG Base Directory Specification, which ignores relative paths."""
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return given if given.is_absolute() else Path.home() / ".cache"


def _require_writable(directory: Path) -> None:
    if escape_surrogates(str(directory)) != str(directory):  # the library that writes the windows does not accept it
        raise OSError(errno.EILSEQ, "the path is not valid UTF-8", str(directory))
    directory.mkdir(parents=True, exist_ok=True)
    tempfile.TemporaryFile(dir=directory).close()


@cache
def _temporary_directory() -> Path:
    """Return a directory that is removed when the process ends."""
    directory = tempfile.mkdtemp(prefix="ie-cache-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return Path(directory)
