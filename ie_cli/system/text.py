"""How text becomes bytes: UTF-8 with plain line ends on every system, whatever the text holds.

Half a surrogate pair has no form in UTF-8. It comes out of JSON (``"\\ud800"``), and stands for each byte of a file name that
is no UTF-8. It is written out as its escape, ``\\ud800``: in a string of JSON or YAML this is the character itself, elsewhere
it is there to be seen. Whatever writes text writes it through this module; a test looks for what does not.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import BinaryIO, Literal

_ERRORS = "backslashreplace"


def encode(text: str) -> bytes:
    """The bytes of a text.

    >>> encode("Zoë \\udcff")
    b'Zo\\xc3\\xab \\\\udcff'
    """
    return text.encode("utf-8", _ERRORS)


def writable(text: str) -> str:
    """A text as it can be read back after it was written: for libraries that write by themselves."""
    return encode(text).decode("utf-8")


def as_text(binary: BinaryIO) -> io.TextIOWrapper:
    """Write text to what takes bytes."""
    return io.TextIOWrapper(binary, encoding="utf-8", errors=_ERRORS, newline="\n")


def open_text(file: Path | int, mode: Literal["w", "a"] = "w") -> io.TextIOWrapper:
    """Open a file, by its path or its handle, to write text."""
    return open(file, mode, encoding="utf-8", errors=_ERRORS, newline="\n")


def write_text(path: Path, text: str) -> None:
    """Write a file."""
    with open_text(path) as file:
        file.write(text)
