"""The directory for what can be computed again, such as encoded data."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path

from ie_cli.system.atomic import storing

VARIABLE = "IE_CACHE"
"""The environment variable that names the cache directory."""


def cache_folder() -> Path:
    """The cache directory: ``$IE_CACHE``, else ``$XDG_CACHE_HOME/ie``, else ``~/.cache/ie``.

    If one of the last two cannot be written, a directory that is removed with the process takes its place.

    Raises:
        StorageError: ``$IE_CACHE`` cannot be written.
    """
    if given := os.environ.get(VARIABLE):
        folder = Path(given)
        with storing(folder):
            _require_writable(folder)
        return folder
    with suppress(OSError, RuntimeError):  # RuntimeError: the system knows no home of this user
        folder = _user_cache() / "ie"
        _require_writable(folder)
        return folder
    return _temporary_folder()


def _user_cache() -> Path:
    """The user's cache directory, as the XDG Base Directory Specification has it: a relative path is ignored."""
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return given if given.is_absolute() else Path.home() / ".cache"


def _require_writable(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    tempfile.TemporaryFile(dir=folder).close()


@cache
def _temporary_folder() -> Path:
    """A directory that is removed with the process."""
    folder = tempfile.mkdtemp(prefix="ie-cache-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)
