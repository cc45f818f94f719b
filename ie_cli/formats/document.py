"""Plain text, the whole file as one document: paragraphs and line ends are kept.

Offsets count the characters of the file as it is: a line end of two characters, CR LF, counts as two. Only a byte order mark at
the start is removed.
"""

from __future__ import annotations

from collections.abc import Iterator

from ie_cli.document import Document
from ie_cli.formats.common.base import Lines, Reading, Record


def read(lines: Lines, path: str, reading: Reading) -> Iterator[Record]:
    """Yield one example without annotation; the lines are given with their ends."""
    yield Document("".join(line for _, line in lines), where=path)
