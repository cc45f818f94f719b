"""Damage of stored files, as disks and careless hands do it."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

Damage = Callable[[random.Random, bytes], bytes]


def zero_block(source: random.Random, data: bytes) -> bytes:
    """Zeros in the place of a block: what a file system leaves of a block that was never written."""
    size = min(len(data), source.choice([16, 512, 4096, 65536]))
    at = source.randint(0, len(data) - size)
    return data[:at] + bytes(size) + data[at + size :]


def flip_bit(source: random.Random, data: bytes) -> bytes:
    """One bit."""
    at = source.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << source.randrange(8)]) + data[at + 1 :]


def truncate(source: random.Random, data: bytes) -> bytes:
    """An end that is missing."""
    return data[: source.choice([0, source.randrange(len(data)), len(data) - 1])]


def append(source: random.Random, data: bytes) -> bytes:
    """Something behind the end."""
    return data + source.choice([b"\0" * 100, b"x", data])


DAMAGES: dict[str, Damage] = {damage.__name__: damage for damage in (zero_block, flip_bit, truncate, append)}


def write_over(file: Path, data: bytes) -> None:
    """Put other content in the place of a file, which may still be mapped."""
    file.unlink()
    file.write_bytes(data)


def damage(source: random.Random, directory: Path, *names: str) -> list[Path]:
    """Damage a file, or swap two; the files that differ now.

    Args:
        names: patterns of those that may be chosen.
    """
    files = sorted(path for name in names for path in directory.rglob(name) if path.is_file())
    file, other = source.choice(files), source.choice(files)
    before = {path: path.read_bytes() for path in {file, other}}
    if source.random() < 0.2:
        write_over(file, before[other])
        write_over(other, before[file])
    else:
        write_over(file, source.choice(list(DAMAGES.values()))(source, before[file]))
    return [path for path, data in before.items() if path.read_bytes() != data]
