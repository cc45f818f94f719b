"""Plain text, one document per line; empty lines count, so that line n of the output belongs to line n of the input."""

from __future__ import annotations

from collections.abc import Iterator

from ie_cli.document import Document
from ie_cli.formats.common.base import Lines, Reading, Record


def read(lines: Lines, path: str, reading: Reading) -> Iterator[Record]:
    """Yield an example without annotation for each line."""
    for number, line in lines:
        yield Document(line, where=f"{path}:{number}")
