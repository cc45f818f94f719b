"""Output paths: devices, pipes and open files are written to, files are replaced, and one file has one writer."""

from __future__ import annotations

import errno
import os
import re
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ie_cli.errors import DataError, StorageError
from ie_cli.system import places
from ie_cli.system.atomic import replace_directory, replace_text
from ie_cli.system.places import claimed, descriptor_of, identity, lock_of, require_unclaimed
from ie_cli.system.streams import is_replaceable, open_output
from ie_cli.system.temporary import LOCKLESS, workspace

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="devices and modes of POSIX")
needs_proc = pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="no /proc")


def write(path: Path | str, text: str = "new\n") -> None:
    with open_output(str(path)) as file:
        file.write(text)


def test_what_can_be_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").touch()
    for name, target in (("null", "/dev/null"), ("to-file", "file"), ("to-pipe", "pipe"), ("nowhere", "none")):
        (tmp_path / name).symlink_to(target)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(tmp_path / "socket"))
        found = {path.name: is_replaceable(str(path)) for path in tmp_path.iterdir()}
    assert found == {
        "pipe": False, "file": True, "null": False, "to-file": True, "to-pipe": False, "nowhere": True, "socket": False,
    }  # fmt: skip
    assert is_replaceable(str(tmp_path))
    assert is_replaceable(str(tmp_path / "new"))
    for path in ("-", "memory://x", "/dev/null", "/dev/stdout", "/dev/fd/1"):
        assert not is_replaceable(path)


@pytest.fixture
def shared() -> Iterator[Path]:
    """Create a directory in /dev/shm, which contains files although it is under /dev."""
    if not os.access("/dev/shm", os.W_OK):
        pytest.skip("no /dev/shm")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        yield Path(name)


def test_files_under_dev_are_files(shared: Path) -> None:
    write(shared / "new")
    assert (shared / "new").read_text(encoding="utf-8") == "new\n"

    def fail() -> None:
        with open_output(str(shared / "new")) as file:
            file.write("half")
            file.flush()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert (shared / "new").read_text(encoding="utf-8") == "new\n"
    assert [path.name for path in shared.iterdir()] == ["new"]


@needs_proc
def test_descriptors_are_known_whatever_leads_to_them(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (tmp_path / "file").open() as file:
        number = file.fileno()
        (tmp_path / "link").symlink_to(f"/proc/self/fd/{number}")
        (tmp_path / "directory").symlink_to("/dev/fd")
        names = ("/dev/fd/{}", "/proc/self/fd/{}", f"/proc/{os.getpid()}/fd/{{}}", "/proc/thread-self/fd/{}")
        for path in (*(name.format(number) for name in names), tmp_path / "link", tmp_path / "directory" / str(number)):
            assert descriptor_of(str(path)) == number
    (tmp_path / "loop").symlink_to("loop")
    for path in ("file", "none", "loop"):
        assert descriptor_of(str(tmp_path / path)) is None
    assert descriptor_of("/dev/null") is None
    assert descriptor_of("/proc/1/fd/1") is None or os.getpid() == 1
    assert descriptor_of("/dev/stdout") == 1


@needs_proc
@pytest.mark.parametrize("name", ["/dev/fd/{}", "/proc/self/fd/{}"])
def test_an_open_file_is_written_at_its_position(name: str, tmp_path: Path) -> None:
    path = tmp_path / "out"
    with path.open("wb", buffering=0) as file:
        file.write(b"head\n")
        write(name.format(file.fileno()))
        file.write(b"tail\n")
    assert path.read_bytes() == b"head\nnew\ntail\n"
    with path.open("rb") as file, pytest.raises(StorageError, match="Bad file descriptor"):
        write(name.format(file.fileno()))
    assert path.read_bytes() == b"head\nnew\ntail\n"


@needs_proc
def test_an_open_file_without_a_name_is_not_replaceable(tmp_path: Path) -> None:
    with (tmp_path / "x").open("w") as file, subprocess.Popen(["sleep", "60"], stdout=file) as process:
        (tmp_path / "x").unlink()
        assert not is_replaceable(f"/proc/{process.pid}/fd/1")
        process.kill()


def test_a_named_pipe_and_a_link_to_a_device_stay(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    write(tmp_path / "pipe")
    reader.join()
    (tmp_path / "null").symlink_to("/dev/null")
    write(tmp_path / "null")
    assert got == [b"new\n"]
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    assert stat.S_ISCHR((tmp_path / "null").stat().st_mode)


def test_one_file_has_one_identity(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    os.link(tmp_path / "file", tmp_path / "hard")
    (tmp_path / "soft").symlink_to("file")
    (tmp_path / "soft-none").symlink_to("none")
    assert len({identity(str(tmp_path / name)) for name in ("file", "hard", "soft")}) == 1
    assert identity(str(tmp_path / "none")) == identity(str(tmp_path / "soft-none"))
    assert identity("/dev/null") is None
    assert identity(str(tmp_path / "file")) != identity(str(tmp_path / "none"))


def test_one_file_has_one_writer_and_no_lock_stays(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("out")
    with open_output(str(tmp_path / "out")) as file:
        file.write("first")
        for name in ("out", "link"):
            with pytest.raises(DataError, match="another process is writing it"):
                write(tmp_path / name)
            with pytest.raises(DataError, match="another process is writing it"):
                require_unclaimed(str(tmp_path / name))
    assert (tmp_path / "out").read_text(encoding="utf-8") == "first"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "out"]
    with pytest.raises(RuntimeError), claimed(str(tmp_path / "out")):
        raise RuntimeError
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "out"]
    require_unclaimed(str(tmp_path / "out"))


def test_files_are_written_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lockless(file: Path, busy: str, **named: bool) -> None:
        raise StorageError(busy) from OSError(37, "No locks available")

    monkeypatch.setattr(places, "locked", lockless)
    write(tmp_path / "out")
    assert (tmp_path / "out").read_text(encoding="utf-8") == "new\n"


@pytest.mark.parametrize("error", [errno.EINVAL, errno.ENOTSUP])
def test_files_are_written_if_directories_cannot_be_synced(
    error: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def only_files(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(error, os.strerror(error))
        synced.append(handle)

    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", only_files)
    write(tmp_path / "file")
    assert (tmp_path / "file").read_text(encoding="utf-8") == "new\n"
    assert synced


@pytest.mark.parametrize("what", ["file", "directory"])
def test_a_failing_disk_is_an_error(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode) == (what == "directory"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StorageError, match=f"file: {os.strerror(errno.EIO)}"):
        write(tmp_path / "file")


def test_a_directory_that_cannot_be_read_is_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(path: Path, flags: int, *arguments: int, **named: int) -> int:
        if Path(path) == tmp_path:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return real(path, flags, *arguments, **named)

    real = os.open
    monkeypatch.setattr(os, "open", closed)  # root reads what it wants to
    write(tmp_path / "file")
    assert (tmp_path / "file").read_text(encoding="utf-8") == "new\n"


def test_without_write_permission_the_output_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(lock: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(lock_of(str(tmp_path / "file"))))

    monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    with pytest.raises(StorageError, match=rf"{re.escape(str(tmp_path / 'file'))}: {os.strerror(errno.EACCES)}"):
        write(tmp_path / "file")


@pytest.mark.parametrize("error", sorted(LOCKLESS))
@pytest.mark.filterwarnings("ignore:flock not supported")
def test_no_lock_stays_if_the_system_refuses_locks(error: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(handle: int, how: int) -> None:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr("fcntl.flock", refuse)
    write(tmp_path / "file")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_long_name_has_a_lock(tmp_path: Path) -> None:
    write(tmp_path / ("字" * 85))
    assert lock_of(str(tmp_path / ("字" * 85))).parent == tmp_path
    assert [path.name for path in tmp_path.iterdir()] == ["字" * 85]


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o444])
def test_what_is_replaced_keeps_its_mode(mode: int, tmp_path: Path) -> None:
    for how in (write, lambda path: replace_text(path, "new\n")):
        path = tmp_path / "file"
        path.touch()
        path.chmod(mode)
        how(path)
        assert path.read_text(encoding="utf-8") == "new\n"
        assert stat.S_IMODE(path.stat().st_mode) == mode
        path.unlink()


def test_what_is_new_has_the_mode_of_the_system(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        for number, how in enumerate((write, lambda path: replace_text(path, ""))):
            how(tmp_path / str(number))
        (tmp_path / "made").mkdir()
        replace_directory(tmp_path / "made", tmp_path / "directory")
    finally:
        os.umask(before)
    assert {stat.S_IMODE((tmp_path / str(number)).stat().st_mode) for number in range(2)} == {0o640}
    assert stat.S_IMODE((tmp_path / "directory").stat().st_mode) == 0o750


@pytest.mark.parametrize("swaps", [True, False])
def test_a_replaced_directory_keeps_its_modes(swaps: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not swaps:
        monkeypatch.setattr("ie_cli.system.atomic._exchange", lambda one, other: False)
    for name in ("new", "model"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "weights").write_text(name, encoding="utf-8")
    (tmp_path / "new" / "more").touch()
    (tmp_path / "model").chmod(0o700)
    (tmp_path / "model" / "weights").chmod(0o600)
    replace_directory(tmp_path / "new", tmp_path / "model")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "model").iterdir()}
    assert modes["weights"] == 0o600
    assert modes["more"] == 0o666 & ~_umask()
    assert stat.S_IMODE((tmp_path / "model").stat().st_mode) == 0o700
    assert (tmp_path / "model" / "weights").read_text(encoding="utf-8") == "new"


@pytest.mark.parametrize("swaps", [True, False])
def test_a_directory_of_a_group_stays_one(swaps: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not swaps:
        monkeypatch.setattr("ie_cli.system.atomic._exchange", lambda one, other: False)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs").chmod(0o2775)
    for _ in range(2):
        with workspace(tmp_path / "runs", "model") as room:
            (room / "new").mkdir()  # which inherits it on Linux; elsewhere it is not needed
            (room / "new").chmod(0o2755)
            replace_directory(room / "new", tmp_path / "runs" / "model")
        assert (tmp_path / "runs" / "model").stat().st_mode & stat.S_ISGID


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root gives files away")
def test_what_is_replaced_keeps_its_owner(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    os.chown(tmp_path / "file", 12345, 23456)
    write(tmp_path / "file")
    there = (tmp_path / "file").stat()
    assert (there.st_uid, there.st_gid) == (12345, 23456)
