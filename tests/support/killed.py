"""What killed processes leave behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ie_cli.system import temporary
from ie_cli.system.temporary import is_workspace


@contextmanager
def killed_in(directory: Path) -> Iterator[None]:
    """Leave the workspaces of this context in a directory behind, as a killed process does."""
    before = set(directory.iterdir())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(temporary, "_remove", lambda room, lock: lock.release())  # as the kernel does
        yield
    for room in {path for path in directory.iterdir() if is_workspace(path.name)} - before:
        (room / "lock").touch()  # some releases of filelock remove it with the release of the lock
