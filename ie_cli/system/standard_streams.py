"""Standard streams that cannot be written to: what is said is not worth what is computed."""

from __future__ import annotations

import io
import os
import sys
from typing import Any, cast


class _Talk(io.RawIOBase):
    """Standard error, where all is well that cannot be written: the disk of a log is full, nobody reads, it is closed."""

    def __init__(self, handle: int) -> None:
        self._handle = handle

    def fileno(self) -> int:
        return self._handle

    def isatty(self) -> bool:
        return os.isatty(self._handle)

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        """Write what can be written, and take the rest for written."""
        rest = memoryview(data).cast("B")
        size = len(rest)
        try:
            while rest:
                rest = rest[os.write(self._handle, rest) :]
        except OSError:
            pass
        return size


def reopen_closed() -> None:
    """Open what a shell closed (``2>&-``), for nothing: else the next file would have its number, and get what is said.

    Reading fails then as writing does, for data are not to be lost in silence; what is said may be.
    """
    for number, mode in ((0, os.O_WRONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, mode)  # the lowest number that is free


def tolerate_broken_stderr() -> None:
    """Let no command, and none of its libraries, end because standard error cannot be written to."""
    if sys.stderr is None:
        handle, encoding = 2, "utf-8"
    else:
        try:
            handle, encoding = sys.stderr.fileno(), sys.stderr.encoding
        except (OSError, ValueError):  # no file: nothing of it can fail
            return
        sys.stderr.flush()
    buffer = io.BufferedWriter(cast(Any, _Talk(handle)))
    sys.stderr = io.TextIOWrapper(buffer, encoding=encoding, errors="backslashreplace", line_buffering=True)
