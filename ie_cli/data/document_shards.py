"""Training documents in shards of bounded size: a single one stays in memory, several are files on disk."""

from __future__ import annotations

import hashlib
import json
import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import xxhash

from ie_cli.data.spool import line_of, read_line, weight_of
from ie_cli.document import Document
from ie_cli.system.atomic import replace_directory, storing
from ie_cli.system.cache import cache_directory
from ie_cli.system.checksums import file_checksum
from ie_cli.system.temporary import sweep, workspace

SHARD_WEIGHT = 2**22
"""Limit on the characters of a shard, counted as for `spool.MAX_WEIGHT`: 10,000 to 30,000 annotated sentences."""


class ShardDirectory:
    """A directory of shards, created when it is needed, which is removed with this object unless it is kept."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._stack = ExitStack()
        weakref.finalize(self, self._stack.close)

    @property
    def path(self) -> Path:
        """The directory.

        Raises:
            StorageError: it cannot be created.
        """
        if self._path is None:
            parent = cache_directory()
            with storing(parent):
                sweep(parent)
                self._path = self._stack.enter_context(workspace(parent, "documents")) / "shards"
                self._path.mkdir()
        return self._path

    def keep(self, target: Path) -> None:
        """Move the directory to its final name, so that later processes find it.

        Raises:
            StorageError: it cannot be moved.
        """
        with storing(target):
            replace_directory(self.path, target)
        self._path = target
        self._stack.close()


@dataclass(frozen=True, slots=True)
class Shard:
    """Some consecutive documents.

    Attributes:
        first: the number of the first document.
        count: the number of documents.
        path: the file with the documents, one per line; None if they are in memory.
        kept: the documents in memory.
    """

    first: int
    count: int
    path: Path | None
    kept: Sequence[Document] = ()

    def __iter__(self) -> Iterator[Document]:
        if self.path is None:
            yield from self.kept
            return
        with self.path.open("rb") as file:
            for line in file:
                yield read_line(line)


@dataclass(frozen=True, slots=True)
class StoredShard:
    """A shard in a file.

    Attributes:
        name: the name of the file.
        count: the number of documents.
        checksum: the checksum of the file.
    """

    name: str
    count: int
    checksum: str

    def is_intact(self, directory: Path) -> bool:
        """Return whether the file has the same content as when it was written."""
        try:
            return file_checksum(directory / self.name) == self.checksum
        except OSError:
            return False


class DocumentShards:
    """A sequence of documents without their user fields (`Document.meta`), of which at most one shard is in memory.

    Where the shards begin depends on the documents alone.

    Args:
        documents: documents to add.
        directory: where the files are written.
        name: the start of the names of the files.
        stored: shards in the directory, to which nothing can be added.
        weight: limit on the characters of a shard, by default `SHARD_WEIGHT`.
    """

    def __init__(
        self,
        documents: Iterable[Document] = (),
        *,
        directory: ShardDirectory | None = None,
        name: str = "train",
        stored: Sequence[StoredShard] = (),
        weight: int | None = None,
    ) -> None:
        self._directory, self._name = directory or ShardDirectory(), name
        self._limit = SHARD_WEIGHT if weight is None else weight
        self._stored, self._last, self._weight = list(stored), list[Document](), 0
        self._in_files = sum(shard.count for shard in stored)
        for document in documents:
            self.add(document)

    def __len__(self) -> int:
        return self._in_files + len(self._last)

    def __iter__(self) -> Iterator[Document]:
        for shard in self._shards():
            yield from shard

    def add(self, document: Document) -> None:
        """Append a document.

        Raises:
            StorageError: a full shard cannot be written.
        """
        document = replace(document, meta={})
        weight = weight_of(document)
        if self._last and self._weight + weight > self._limit:
            self.flush()
        self._last.append(document)
        self._weight += weight

    def flush(self) -> list[StoredShard]:
        """Write the documents that are in memory, and return the shards, which are all in files then.

        Raises:
            StorageError: they cannot be written.
        """
        if self._last:
            path = self._directory.path / f"{self._name}-{len(self._stored):05d}.jsonl"
            with storing(path):
                with path.open("wb") as file:
                    _write(file, self._last)
                self._stored.append(StoredShard(path.name, len(self._last), file_checksum(path)))
            self._in_files += len(self._last)
            self._last, self._weight = [], 0
        return list(self._stored)

    @property
    def shards(self) -> list[Shard]:
        """The shards in order; several are all in files, so that other processes can read them."""
        if self._stored:
            self.flush()
        return list(self._shards())

    @property
    def content_key(self) -> str:
        """A hash of the documents, which identifies data that have no other fingerprint."""
        if self._stored:
            self.flush()
        digest = hashlib.blake2b(digest_size=16)
        digest.update(json.dumps([[shard.count, shard.checksum] for shard in self._stored]).encode())
        last = xxhash.xxh3_128()
        for document in self._last:
            last.update(line_of(document))
        digest.update(last.digest())
        return f"content {digest.hexdigest()}"

    def every(self, step: int) -> Iterator[Document]:
        """Yield each `step`-th document, starting with the first one; the others are not parsed."""
        number = 0
        for shard in self._shards():
            if shard.path is None:
                yield from shard.kept[-number % step :: step]
                number += shard.count
                continue
            with shard.path.open("rb") as file:
                for line in file:
                    if number % step == 0:
                        yield read_line(line)
                    number += 1

    def _shards(self) -> Iterator[Shard]:
        first = 0
        for stored in self._stored:
            yield Shard(first, stored.count, self._directory.path / stored.name)
            first += stored.count
        if self._last or not self._stored:
            yield Shard(first, len(self._last), None, self._last)


def _write(file: IO[bytes], documents: Iterable[Document]) -> None:
    for document in documents:
        file.write(line_of(document))
