"""Checksums that verify that a file or a record is unchanged since it was written."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import xxhash

CHECKSUM = "checksum"
"""The field of a record that holds the checksum of the other fields."""
_PREFIX = "xxh3:"
_BLOCK = 2**20


class FileChecksum:
    """An incremental checksum of a growing file: each call reads only what was added."""

    def __init__(self, file: Path) -> None:
        self._file, self._size = file, 0
        self._hash = xxhash.xxh3_128()

    def up_to(self, size: int | None = None) -> str:
        """Return the checksum of the first `size` bytes, or of all if None; `size` must not decrease between calls.

        Raises:
            OSError: the file cannot be read or is too short.
        """
        buffer = memoryview(bytearray(_BLOCK))
        with self._file.open("rb", buffering=0) as stream:
            stream.seek(self._size)
            while size is None or self._size < size:
                count = stream.readinto(buffer if size is None else buffer[: size - self._size])
                if not count:
                    break
                self._hash.update(buffer[:count])
                self._size += count
        if size is not None and self._size < size:
            raise OSError(f"{self._file}: {self._size} bytes, expected {size}")
        return f"{_PREFIX}{self._hash.hexdigest()}"


def file_checksum(file: Path, size: int | None = None) -> str:
    """Return the checksum of a file, or of its first `size` bytes.

    Raises:
        OSError: the file cannot be read or is too short.
    """
    return FileChecksum(file).up_to(size)


def record_checksum(record: Any, without: Collection[str] = ()) -> str:
    """Return the checksum of a JSON value regardless of its layout, ignoring the fields `without` of an object."""
    value = json.loads(json.dumps(record))  # as it will be read back: tuples become lists, numeric keys become strings
    if isinstance(value, dict):
        value = {name: part for name, part in value.items() if name not in without}
    return f"{_PREFIX}{xxhash.xxh3_128_hexdigest(json.dumps(value, sort_keys=True).encode())}"


def with_checksum(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of a record with its checksum added."""
    return {**record, CHECKSUM: record_checksum(record, (CHECKSUM,))}


def require_intact(record: Mapping[str, Any]) -> None:
    """Compare a record with its checksum; records of earlier versions have none and are accepted.

    Raises:
        ValueError: the record has changed since it was written.
    """
    if CHECKSUM in record and record[CHECKSUM] != record_checksum(record, (CHECKSUM,)):
        raise ValueError("its content does not match its checksum")
