"""Directories as outputs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ie_cli.errors import DataError
from ie_cli.system.atomic import replace_directory, storing
from ie_cli.system.places import claimed
from ie_cli.system.temporary import sweep, workspace


def require_new_directory(path: str) -> None:
    """Check early that a directory can be created at a path.

    Raises:
        DataError: there is a file or a directory with contents, or no parent directory.
    """
    target = Path(os.path.realpath(path))
    if target.is_dir() and any(target.iterdir()):
        raise DataError(f"{path}: this directory is not empty", hint="name a new directory.")
    if target.exists() and not target.is_dir():
        raise DataError(f"{path}: is a file, and a directory is to be written", hint="name a new directory.")
    if not target.parent.is_dir():
        raise DataError(f"{path}: there is no directory {target.parent}", hint=f"create it: mkdir -p {target.parent}")


@contextmanager
def new_directory(path: str) -> Iterator[Path]:
    """Yield a temporary directory that gets its name at the end, when it is complete."""
    require_new_directory(path)
    target = Path(os.path.realpath(path))
    sweep(target.parent)
    with claimed(path), storing(path), workspace(target.parent, target.name) as directory:
        (directory / "new").mkdir()
        yield directory / "new"
        require_new_directory(path)
        replace_directory(directory / "new", target)
