"""Standard streams that are closed, or that take nothing: what is said is not worth what is computed."""

from __future__ import annotations

import errno
import io
import os
import sys
from contextlib import suppress
from typing import Any, cast


def fill_standard_streams() -> None:
    """Put something in the place of standard streams that are closed (`<&-`, `>&-`, `2>&-`).

    A file that is opened later must not get the number of one of them, or a library would write its talk into it. What is put
    there can only be used the wrong way round, so that whoever reads or writes data gets an error, `Bad file descriptor`.
    Nobody hears what is said to a closed stderr.
    """
    if sys.stdin is None and _is_free(0):
        _open(0, os.O_WRONLY)
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stdout is None and _is_free(1):
        _open(1, os.O_RDONLY)
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if _is_free(2):
        _open(2, os.O_WRONLY)  # `tolerate_broken_stderr` makes the stream
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # help is no data: it ends in no locale in a traceback


def tolerate_broken_stderr() -> None:
    """Let no command, and none of its libraries, end because standard error cannot be written to."""
    encoding = getattr(sys.stderr, "encoding", "utf-8")
    binary = getattr(sys.stderr, "buffer", None) or io.FileIO(2, "w", closefd=False)
    with suppress(OSError):
        binary.flush()
    talk = io.BufferedWriter(cast(Any, _Talk(getattr(binary, "raw", binary))))
    sys.stderr = io.TextIOWrapper(talk, encoding=encoding, errors="backslashreplace", line_buffering=True)


def standard_input_is_closed() -> bool:
    """Whether stdin cannot be read; where it is no file, as in a notebook, nobody knows."""
    try:
        os.read(sys.stdin.fileno(), 0)
    except (ValueError, AttributeError):
        return False
    except OSError as error:
        return error.errno == errno.EBADF
    return False


def _is_free(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return True
    return False


def _open(number: int, flags: int) -> None:
    handle = os.open(os.devnull, flags)
    if handle != number:
        os.dup2(handle, number)
        os.close(handle)


class _Talk(io.RawIOBase):
    """Standard error, where all is well that cannot be written: the disk of a log is full, nobody reads, it is closed."""

    def __init__(self, raw: io.RawIOBase) -> None:
        self._raw = raw

    def fileno(self) -> int:
        return self._raw.fileno()

    def isatty(self) -> bool:
        return self._raw.isatty()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        """Write what can be written, and take the rest for written."""
        rest = memoryview(data).cast("B")
        size = len(rest)
        with suppress(OSError):
            while rest:
                rest = rest[self._raw.write(rest) or size :]  # nothing: it would have to be waited for
        return size
