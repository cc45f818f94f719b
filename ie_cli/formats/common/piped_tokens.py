"""Sentences in spaCy's layout `.iob`: one per line, whose tokens have the form ``word|tag`` or ``word|POS|tag``."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, islice

from ie_cli.document import Document
from ie_cli.formats.common.base import Lines, Record
from ie_cli.formats.common.columns import split_whitespace
from ie_cli.formats.common.tag_schemes import split_tag

_LOOK_AHEAD = 20


def width_of(lines: Sequence[str]) -> int:
    """Return the number of parts of each token if lines have this layout; 0 if they do not."""
    sentences = [split_whitespace(line) for line in lines if line.strip()]
    parts = {token.count("|") + 1 for tokens in sentences for token in tokens}
    # Columns have one token per line, which may contain bars.
    if not parts or max(map(len, sentences)) < 2 or (width := min(parts)) not in (2, 3):
        return 0
    tags = (token.rpartition("|")[2] for tokens in sentences for token in tokens)
    return width if all(map(split_tag, tags)) else 0


class PipedTokens:
    """Presents such sentences as columns, and gives a sentence that cannot be read back as it was."""

    def __init__(self) -> None:
        self.found = False
        self._raw: deque[tuple[int, str]] = deque()

    def columns(self, lines: Lines) -> Iterator[tuple[int, str]]:
        """Yield the tokens as rows with tabs, and an empty line after each sentence; yield lines of other layouts unchanged."""
        stream = iter(lines)
        head = list(islice(stream, _LOOK_AHEAD))
        if not (width := width_of([line for _, line in head])):
            yield from chain(head, stream)
            return
        self.found = True
        for number, line in chain(head, stream):
            self._raw.append((number, line))
            for token in split_whitespace(line):
                yield number, "\t".join(token.rsplit("|", width - 1))
            yield number, ""

    def restored(self, records: Iterable[Record]) -> Iterator[Record]:
        """Yield the records, and those that cannot be read with their line of the file."""
        for record in records:
            number = int((record.where or "").rpartition(":")[2]) if self.found else 0
            while self._raw and self._raw[0][0] < number:
                self._raw.popleft()
            if isinstance(record, Document) or not self.found:
                yield record
            else:
                yield replace(record, raw=self._raw[0][1])
