"""Closed or broken standard streams: a lost message must not cost a computed result."""

from __future__ import annotations

import errno
import io
import os
import sys
from contextlib import suppress
from typing import Any, cast


def fill_standard_streams() -> None:
    """Fill in standard streams that are closed (`<&-`, `>&-`, `2>&-`).

    Otherwise a file that is opened later could get the descriptor of a standard stream, and libraries would write messages
    into it. The replacements are opened in the wrong direction, so that reading or writing data fails with `Bad file
    descriptor`. Messages to a closed stderr are discarded.
    """
    if sys.stdin is None and _is_free(0):
        _open(0, os.O_WRONLY)
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stdout is None and _is_free(1):
        _open(1, os.O_RDONLY)
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if _is_free(2):
        _open(2, os.O_WRONLY)  # `tolerate_broken_stderr` creates the stream
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # help must not end in a traceback in any locale


def tolerate_broken_stderr() -> None:
    """Keep commands and their libraries running when standard error cannot be written to."""
    encoding = getattr(sys.stderr, "encoding", "utf-8")
    binary = getattr(sys.stderr, "buffer", None) or io.FileIO(2, "w", closefd=False)
    with suppress(OSError):
        binary.flush()
    tolerant = io.BufferedWriter(cast(Any, _TolerantStderr(getattr(binary, "raw", binary))))
    sys.stderr = io.TextIOWrapper(tolerant, encoding=encoding, errors="backslashreplace", line_buffering=True)


def standard_input_is_closed() -> bool:
    """Return whether stdin is known to be closed; if it is not a file, as in a notebook, return False."""
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


class _TolerantStderr(io.RawIOBase):
    """Standard error that ignores failed writes: the disk of a log is full, the reader is gone, or it is closed."""

    def __init__(self, raw: io.RawIOBase) -> None:
        self._raw = raw

    def fileno(self) -> int:
        return self._raw.fileno()

    def isatty(self) -> bool:
        return self._raw.isatty()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        """Write as much as possible and report everything as written."""
        rest = memoryview(data).cast("B")
        size = len(rest)
        with suppress(OSError):
            while rest:
                rest = rest[self._raw.write(rest) or size :]  # None: a write would block
        return size
