"""Streams of UTF-8 lines from and to files, pipes, compressed files and remote stores."""

from __future__ import annotations

import gzip
import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import IO, Any, BinaryIO, cast

from ie_cli.errors import DataError, StorageError, did_you_mean
from ie_cli.system.atomic import replace_file, storing
from ie_cli.system.distribution import install_hint
from ie_cli.system.optional_packages import with_code
from ie_cli.system.places import claimed, descriptor_of, is_file
from ie_cli.system.temporary import sweep, workspace
from ie_cli.system.text import as_text
from ie_cli.system.urls import is_url, open_url, writing_url

NOT_UTF8 = "is not UTF-8"
"""The end of the message about a line in another encoding."""


def read_lines(
    path: str, on_undecodable: Callable[[int, bytes, DataError], None] | None = None, *, keep_ends: bool = False
) -> Iterator[tuple[int, str]]:
    r"""Yield pairs of a line number, starting at 1, and the line without its terminator.

    Only ``\n`` and ``\r\n`` end a line: characters such as U+2028 are text. A byte-order mark is removed.

    Args:
        path: a file, ``-`` for stdin, or a URL.
        on_undecodable: called with the number of a line that is not UTF-8, its bytes and the error; if it returns, the line is
            skipped. If omitted, the error is raised.
        keep_ends: whether lines are given with their terminators.

    Raises:
        DataError: there is no such file, it is damaged, or a line is not UTF-8.
    """
    name = "stdin" if path == "-" else path
    with open_input(path) as file:
        number, head = 0, b""
        try:
            for number, raw in enumerate(file, 1):
                head = head or raw[:_MAGIC_LENGTH]
                while number == 1 and raw.startswith(b"\xef\xbb\xbf"):  # two tools may each have added one
                    raw = raw.removeprefix(b"\xef\xbb\xbf")
                if not keep_ends:
                    raw = raw.removesuffix(b"\n").removesuffix(b"\r")
                try:
                    line = raw.decode("utf-8")
                except UnicodeDecodeError as error:
                    problem = _not_utf8(name, number, raw, error, head)
                    if on_undecodable is None:
                        raise problem from error
                    on_undecodable(number, raw, problem)
                    continue
                yield number, line
        except (DataError, BrokenPipeError):
            raise
        except Exception as error:  # compressed files and remote stores raise many types of errors
            raise DataError(
                f"{name}: cannot be read after line {number}: {error}",
                hint="check whether the file is damaged or truncated.",
            ) from error


def _not_utf8(path: str, number: int, raw: bytes, error: UnicodeDecodeError, head: bytes) -> DataError:
    """Return the error of a line, which the first bytes of the file may explain."""
    where = f"{path}:{number}: byte {error.start + 1} of the line (0x{raw[error.start]:02x}) {NOT_UTF8}"
    if number == 1 and raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        return DataError(where, hint="it looks like UTF-16: iconv -f UTF-16 -t UTF-8 IN > OUT")
    kind = next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), None)
    if kind is not None:
        return DataError(where, hint=f"it looks like {kind}.")
    if b"\0" in raw:
        return DataError(where, hint="it looks like a binary file: give a text file.")
    try:
        raw.decode("gb18030")
    except UnicodeDecodeError:
        return DataError(where, hint="convert the file: iconv -f ENCODING -t UTF-8 IN > OUT")
    return DataError(where, hint="it looks like GBK or GB18030: iconv -f GB18030 -t UTF-8 IN > OUT")


_MAGIC = {
    b"\x1f\x8b": "a gzip file: rename it to end in .gz",
    b"\x28\xb5\x2f\xfd": "a zstd file: rename it to end in .zst",
    b"PK\x03\x04": "a zip file: extract it, as the exports of annotation tools; rename an Excel file to end in .xlsx",
    b"%PDF": "a PDF: extract its text first",
    b"PAR1": "a Parquet file: rename it to end in .parquet",
}
_MAGIC_LENGTH = 4


@contextmanager
def open_input(path: str) -> Iterator[BinaryIO]:
    """Open ``-`` (stdin), a file or a URL for reading bytes; ``.gz`` and ``.zst`` are decompressed."""
    if path == "-":
        try:
            # Not sys.stdin.buffer: a thread that waits there holds a lock that Python needs at exit.
            stdin = open(sys.stdin.fileno(), "rb", closefd=False)  # noqa: SIM115
        except AttributeError:
            raise DataError("stdin is closed", hint="give a file, or redirect one: `< FILE`.") from None
        except (OSError, ValueError):  # stdin is not a file, e.g. in a notebook
            yield sys.stdin.buffer
            return
        with stdin:
            yield stdin
        return
    with _open_raw(path) as raw:
        if path.endswith(".gz"):
            with gzip.open(raw, "rb") as file:
                yield cast(BinaryIO, file)
        elif path.endswith(".zst"):
            with io.BufferedReader(_Decompressed(raw), 2**17) as file:
                yield cast(BinaryIO, file)
        else:
            yield raw


@contextmanager
def _open_raw(path: str) -> Iterator[BinaryIO]:
    if is_url(path):
        with open_url(path) as remote:
            yield remote
        return
    file = Path(path)
    if os.path.isdir(path):
        raise DataError(f"{path}: is a directory", hint="name a file in it.")
    require_present(path)
    try:
        opened = file.open("rb")
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}", hint="check the permissions of the file.") from error
    with opened:
        yield opened


def require_present(path: str) -> None:
    """Check that a local file or directory exists.

    Raises:
        DataError: it does not.
    """
    if not os.path.exists(path):  # unlike Path.exists, it returns False for a name that is too long
        file = Path(path)
        raise DataError(f"{path}: no such file{did_you_mean(file.name, _names_in(file.parent))}", hint=_MISSING_HINT)


_MISSING_HINT = "check the path: a recipe's paths are relative to the recipe, all others to the current directory."


def _names_in(directory: Path) -> list[str]:
    try:
        return os.listdir(directory)
    except OSError:  # missing or not readable
        return []


class _Decompressed(io.RawIOBase):
    """The decompressed bytes of zstd frames; unlike the library's reader, it detects a truncated last frame."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw, self._package = raw, zstandard()
        self._frame: Any = None
        self._ready, self._compressed = memoryview(b""), b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer with the data of at most one read; return 0 at the end of the file."""
        while not self._ready:
            compressed = self._compressed or self._raw.read(
                2**13
            )  # small, because it may decompress to 30,000 times the size
            self._compressed = b""
            if not compressed:
                if self._frame is not None:
                    raise EOFError("it ends in the middle of a zstd frame")
                return 0
            self._frame = self._frame or self._package.ZstdDecompressor().decompressobj()
            try:
                self._ready = memoryview(self._frame.decompress(compressed))
            except self._package.ZstdError as error:
                raise OSError(str(error)) from error
            if self._frame.eof:
                self._compressed, self._frame = self._frame.unused_data, None
        size = min(len(buffer), len(self._ready))
        buffer[:size], self._ready = self._ready[:size], self._ready[size:]
        return size


def zstandard() -> ModuleType:
    """Import the optional zstandard package.

    Raises:
        DataError: the package is not installed.
    """
    try:
        return with_code(import_module("zstandard"))
    except ImportError as error:
        raise DataError("reading and writing .zst requires the zstandard package", hint=install_hint("zstd")) from error


@contextmanager
def open_output(path: str) -> Iterator[IO[str]]:
    """Open ``-`` (stdout), a file or a URL for writing text, compressed according to its suffix.

    A local file gets its name only when it is complete: until then it is a temporary file in the same directory, which is
    removed on errors. It keeps the mode and owner of the file that it replaces. A lock keeps other processes from writing it.
    """
    if path == "-":
        if sys.stdout is None:
            raise StorageError("standard output is closed", hint="write to a file.")
        sys.stdout.flush()
        out = as_text(sys.stdout.buffer)
        try:
            with storing("standard output"):
                yield out
                out.flush()
        finally:
            out.detach()
        return
    if is_url(path):
        with writing_url(path) as raw, compressed(raw, path) as file:
            yield file
        return
    if not is_replaceable(path):  # a device, a named pipe, an open file
        with storing(path), _open_stream(path) as raw, compressed(raw, path) as file:
            yield file
        return
    with new_file(path) as new, new.open("wb") as raw, compressed(raw, path) as file:
        yield file


@contextmanager
def new_file(path: str) -> Iterator[Path]:
    """Yield the path of a temporary file that replaces a local file at the end, as described for `open_output`."""
    require_writable(path)
    target = Path(os.path.realpath(path))  # a link stays a link
    sweep(target.parent)
    with claimed(path), storing(path), workspace(target.parent, target.name) as directory:
        yield directory / "new"
        replace_file(directory / "new", target)


def _open_stream(path: str) -> BinaryIO:
    """Open a path that cannot be replaced for writing; an open descriptor continues at its current position."""
    number = descriptor_of(path)
    if number is None:
        handle = os.open(path, os.O_WRONLY | os.O_TRUNC | getattr(os, "O_BINARY", 0))
    else:
        for stream in (sys.stdout, sys.stderr):  # earlier output comes first
            if stream is not None:
                stream.flush()
        handle = os.dup(number)
    return os.fdopen(handle, "wb")


def is_replaceable(path: str) -> bool:
    """Return whether a path names a local file that can be replaced, not a stream, remote store, device or pipe."""
    return path != "-" and not is_url(path) and is_file(path)


def require_writable(path: str) -> None:
    """Check early that a local file can be created at a path.

    Raises:
        DataError: the path is a directory, or its parent directory does not exist.
    """
    target = Path(os.path.realpath(path))
    if os.path.isdir(target):
        raise DataError(f"{path}: is a directory", hint="name a file in it.")
    if not os.path.isdir(target.parent):
        raise DataError(f"{path}: there is no directory {target.parent}", hint=f"create it: mkdir -p {target.parent}")


@contextmanager
def compressed(raw: BinaryIO, path: str) -> Iterator[IO[str]]:
    """Write text to an open file, compressed according to its suffix; the compressed stream is completed at the end."""
    with ExitStack() as stack:
        binary: BinaryIO = raw
        if path.endswith(".gz"):
            binary = cast(BinaryIO, stack.enter_context(gzip.GzipFile("", "wb", fileobj=raw, mtime=0)))
        elif path.endswith(".zst"):
            binary = stack.enter_context(zstandard().ZstdCompressor().stream_writer(raw, closefd=False))
        text = as_text(binary)
        yield text
        text.flush()
        text.detach()
