"""Temporary directories: leftovers of killed processes are removed, directories of all others stay."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import given
from hypothesis import strategies as st
from support.killed import killed_in

from ie_cli.inference.model_directory import new_directory
from ie_cli.system import temporary
from ie_cli.system.streams import open_output
from ie_cli.system.temporary import OLD, is_workspace, scratch, short_name, sweep, workspace

NAMES = st.binary(min_size=1, max_size=255).filter(lambda name: not set(name) & {0, ord("/")}).map(os.fsdecode)


def left(directory: Path, name: str) -> Path:
    """Leave a workspace behind as a killed process does."""
    with killed_in(directory), workspace(directory, name) as room:
        (room / "new").mkdir()
        (room / "new" / "half").touch()
    return room


@given(NAMES)
def test_a_workspace_is_known_by_its_name_and_is_removed(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    directory = tmp_path_factory.mktemp("x")
    with workspace(directory, name) as room:
        (room / "file").touch()
        assert is_workspace(room.name)
        assert [path.name for path in directory.iterdir()] == [room.name]
        sweep(directory)
        assert (room / "file").exists()  # at work
    assert not list(directory.iterdir())


@given(st.text(min_size=1), st.text("0123456789abcdef", min_size=32, max_size=32))
def test_other_names_are_not_ours(name: str, digits: str) -> None:
    for other in (name, f".{name}", f".{name}-old-{digits[:8]}", f".{name}.ie-lock", f".{name}.ie-{digits}"):
        assert not is_workspace(other)


def test_a_long_name_has_a_workspace_too(tmp_path: Path) -> None:
    for name in ("x" * 255, "字" * 85, "x" * 200):
        with workspace(tmp_path, name) as room:
            assert is_workspace(room.name)
    assert short_name("x" * 200) == "x" * 200


def test_of_a_killed_process_nothing_stays_and_of_a_living_one_all(tmp_path: Path) -> None:
    script = (
        "import pathlib, sys, time\nfrom ie_cli.system.temporary import workspace\n"
        "with workspace(pathlib.Path(sys.argv[1]), 'model') as room:\n"
        "    (room / 'new').mkdir()\n    print(room, flush=True)\n    time.sleep(100)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, tmp_path], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        room = Path(process.stdout.readline().decode().strip())
        sweep(tmp_path)
        assert (room / "new").is_dir()
        process.kill()
    assert room.is_dir()
    sweep(tmp_path)
    assert not list(tmp_path.iterdir())


def test_what_was_to_be_replaced_comes_back_unless_there_is_something(tmp_path: Path) -> None:
    for content in ("first", "second"):
        room = left(tmp_path, "model")
        (room / OLD / "model").mkdir(parents=True)
        (room / OLD / "model" / "file").write_text(content, encoding="utf-8")
        sweep(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["model"]
        assert (tmp_path / "model" / "file").read_text(encoding="utf-8") == "first"


def test_what_cannot_be_restored_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = left(tmp_path, "model")
    (room / OLD / "model").mkdir(parents=True)

    def refused(source: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(temporary.os, "replace", refused)
        sweep(tmp_path)
    assert (room / OLD / "model").is_dir()


def _writing(directory: Path) -> None:
    with open_output(str(directory / "out")) as file:
        file.write("new")


def _storing(directory: Path) -> None:
    with new_directory(directory / "out") as inside:
        (inside / "file").touch()


def _waiting(directory: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(temporary.tempfile, "gettempdir", lambda: str(directory))
        with scratch("export") as room:
            assert room.parent == directory
    (directory / "out").touch()


@pytest.mark.parametrize("next_one", [_writing, _storing, _waiting])
def test_leftovers_of_a_killed_process_are_removed_by_the_next(
    next_one: Callable[[Path], None], tmp_path: Path
) -> None:
    left(tmp_path, "out")
    left(tmp_path, "another")
    (tmp_path / ".out.12345678").touch()
    (tmp_path / ".out-backup").mkdir()
    next_one(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".out-backup", ".out.12345678", "out"]


@pytest.mark.parametrize(
    ("kernel", "host", "goes"), [(False, False, False), (False, True, True), (True, False, True), (True, True, True)]
)
def test_what_another_host_left_stays(
    kernel: bool, host: bool, goes: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Locks of another host may not be visible here; processes of earlier boots of this host are gone."""
    ours = temporary._machine()
    theirs = (ours[0] if kernel else "0" * 8, ours[1] if host else "1" * 8)
    with monkeypatch.context() as patch:
        patch.setattr(temporary, "_machine", lambda: theirs)
        room = left(tmp_path, "model")
    sweep(tmp_path)
    assert room.exists() is not goes


def test_what_only_looks_like_ours_stays(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "mine").touch()
    kept = []
    for number, change in enumerate(("file", "link", "no lock", "lock is a link")):
        directory = tmp_path / str(number)
        directory.mkdir()
        room = left(directory, "model")
        if change == "lock is a link":
            (room / "lock").unlink()
            (room / "lock").symlink_to(tmp_path / "elsewhere" / "mine")
        elif change == "no lock":
            (room / "lock").unlink()
        else:
            room.rename(tmp_path / f"away-{number}")
            room.touch() if change == "file" else room.symlink_to(tmp_path / "elsewhere")
        sweep(directory)
        kept.append(os.path.lexists(room))
    assert kept == [True] * 4
    assert (tmp_path / "elsewhere" / "mine").exists()


def test_killed_before_it_had_a_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(FileLock, "acquire", lambda lock: sys.exit(1))
        with pytest.raises(SystemExit):
            workspace(tmp_path, "model").__enter__()
    assert len(list(tmp_path.iterdir())) == 1
    sweep(tmp_path)
    assert not list(tmp_path.iterdir())


def test_killed_while_it_tidies_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(path: Path, **_: object) -> None:
        (path / "lock").unlink(missing_ok=True)  # the contents of a directory are removed in any order
        locks.extend(tmp_path.glob("*/lock"))
        sys.exit(1)

    locks: list[Path] = []

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", killed)
        with pytest.raises(SystemExit), workspace(tmp_path, "model") as room:
            (room / "new").mkdir()
    assert (room / "new").exists()
    assert locks == [room / "lock"]  # by which the next process knows what it may remove


def test_a_soft_lock_is_not_acquired(tmp_path: Path) -> None:
    room = left(tmp_path, "model")
    (room / "lock").write_text(f"{os.getpid()}\nhost\n", encoding="ascii")
    sweep(tmp_path)
    assert (room / "new" / "half").exists()
    assert (room / "lock").read_text(encoding="ascii")


def test_without_locks_it_works_and_nothing_is_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = left(tmp_path, "model")

    def lockless(lock: object) -> None:
        raise NotImplementedError

    monkeypatch.setattr(FileLock, "acquire", lockless)
    with workspace(tmp_path, "model") as other:
        assert other.is_dir()
    assert not other.exists()
    sweep(tmp_path)
    assert (room / "new" / "half").exists()
