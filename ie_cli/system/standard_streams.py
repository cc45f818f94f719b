"""Standard streams that cannot be written to: what is said is not worth what is computed."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from typing import Any, cast


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
    encoding = getattr(sys.stderr, "encoding", "utf-8")
    binary = getattr(sys.stderr, "buffer", None) or io.FileIO(2, "w", closefd=False)
    with suppress(OSError):
        binary.flush()
    talk = io.BufferedWriter(cast(Any, _Talk(getattr(binary, "raw", binary))))
    sys.stderr = io.TextIOWrapper(talk, encoding=encoding, errors="backslashreplace", line_buffering=True)
