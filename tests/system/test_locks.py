"""A lock is a separate empty file: links and other files are neither followed nor emptied."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import filelock
import pytest

from ie_cli.errors import DataError, StorageError
from ie_cli.system.atomic import locked, require_unlocked


def symlink(lock: Path, victim: Path) -> None:
    lock.symlink_to(victim)


def hard_link(lock: Path, victim: Path) -> None:
    os.link(victim, lock)


def dangling(lock: Path, victim: Path) -> None:
    lock.symlink_to(victim.with_name("made-elsewhere"))


def pipe(lock: Path, victim: Path) -> None:
    if not hasattr(os, "mkfifo"):
        pytest.skip("no named pipes")
    os.mkfifo(lock)


def directory(lock: Path, victim: Path) -> None:
    lock.mkdir()


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (symlink, "is a link"),
        (dangling, "is a link"),
        (hard_link, "is a file with contents"),
        (pipe, "is not a file"),
        (directory, "is not a file"),
    ],
)
def test_what_is_no_lock_is_refused_before_it_is_opened(
    tmp_path: Path, make: Callable[[Path, Path], None], what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AssertionError("it was opened")

    monkeypatch.setattr(filelock.FileLock, "acquire", fail)  # older releases follow links
    victim, lock = tmp_path / "victim", tmp_path / ".lock"
    victim.write_text("mine")
    make(lock, victim)
    with pytest.raises(StorageError, match=f"lock.*{what}"), locked(lock, "busy"):
        pass
    with pytest.raises(StorageError, match=f"lock.*{what}"):
        require_unlocked(lock, "busy")
    assert victim.read_text() == "mine"
    assert {path.name for path in tmp_path.iterdir()} == {"victim", ".lock"}


def test_a_lock_of_an_earlier_process_is_taken(tmp_path: Path) -> None:
    lock = tmp_path / ".lock"
    for _ in range(2):
        with locked(lock, "busy"):
            assert lock.is_file()
            with pytest.raises(DataError, match="busy"), locked(lock, "busy"):
                pass
    with locked(lock, "busy", remove=True):
        pass
    assert not lock.exists()
    require_unlocked(lock, "busy")


@pytest.mark.parametrize("contents", ["4711\nhost\n", "4711\nhost\n2939882277\n"])
def test_a_soft_lock_counts_as_a_lock_and_stays(tmp_path: Path, contents: str) -> None:
    lock = tmp_path / ".lock"
    lock.write_text(contents, encoding="ascii")
    with pytest.raises(DataError, match="busy") as caught, locked(lock, "busy"):
        pass
    assert f"remove {lock}" in str(caught.value.hint)
    assert lock.read_text(encoding="ascii") == contents
