"""Group a stream of documents into chunks that are annotated together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

from ie_cli.document import Document
from ie_cli.system.prefetch import Idle, Prefetcher

Other = TypeVar("Other")


def grouped(
    reader: Prefetcher[Other], *, size: int, characters: int, idle: float | None = None
) -> Iterator[list[Other]]:
    """Group items into chunks of at most `size` items and about `characters` characters of text.

    Args:
        reader: the items.
        size: maximum number of items.
        characters: number of characters after which a chunk ends.
        idle: seconds without input after which an unfinished chunk is yielded.
    """
    chunk: list[Other] = []
    length = 0
    while True:
        try:
            item = reader.get(timeout=idle if chunk else None)
        except Idle:
            yield chunk
            chunk, length = [], 0
            continue
        except Exception as end:  # items read before an error are still yielded
            if chunk:
                yield chunk
            if isinstance(end, StopIteration):
                return
            raise
        chunk.append(item)
        length += len(item.text) if isinstance(item, Document) else 0
        if len(chunk) >= size or length >= characters:
            yield chunk
            chunk, length = [], 0
