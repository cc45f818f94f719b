r"""Encoding of text as UTF-8 with ``\n`` line ends on every system, whatever characters it contains.

A lone surrogate has no encoding in UTF-8. It comes from JSON (``"\ud800"``) or represents a byte of a file name that is not
UTF-8. It is written as its escape, ``\ud800``: in a JSON or YAML string this is the character itself, elsewhere it remains
visible. All code that writes text uses this module; a test enforces it.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import BinaryIO, Literal

_ERRORS = "backslashreplace"


def encode(text: str) -> bytes:
    r"""Encode a text.

    >>> encode("Zoë \udcff")
    b'Zo\xc3\xab \\udcff'
    """
    return text.encode("utf-8", _ERRORS)


def escape_surrogates(text: str) -> str:
    """Escape lone surrogates in a text, for libraries that do their own writing."""
    return encode(text).decode("utf-8")


def as_text(binary: BinaryIO) -> io.TextIOWrapper:
    """Wrap a binary stream for writing text."""
    return io.TextIOWrapper(binary, encoding="utf-8", errors=_ERRORS, newline="\n")


def open_text(file: Path | int, mode: Literal["w", "a"] = "w") -> io.TextIOWrapper:
    """Open a file, given by its path or descriptor, for writing text."""
    return open(file, mode, encoding="utf-8", errors=_ERRORS, newline="\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file."""
    with open_text(path) as file:
        file.write(text)
