"""Compressed files that would expand to far more than they seem to contain, and fill the memory."""

from __future__ import annotations

import zipfile
import zlib

from ie_cli.errors import DataError

LARGEST = 2**30
"""The number of bytes up to which every file is expanded."""
LARGEST_RATIO = 100
"""The ratio of sizes above which a larger one is rejected, as in Apache POI; texts and numbers stay below 50."""
_CHUNK = 2**20


def require_moderate_zip(path: str) -> None:
    """Check the sizes that an archive gives for its files, which `zipfile` does not exceed; another file is not checked.

    Raises:
        DataError: together, they are too large.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            files = archive.infolist()
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError):
        return  # whoever reads it reports this
    _require_moderate(path, sum(file.file_size for file in files), sum(file.compress_size for file in files))


def require_moderate_zlib(path: str) -> None:
    """Check the size of a file that zlib has compressed, by expanding it piece by piece; another file is not checked.

    Raises:
        DataError: it is too large.
    """
    expander = zlib.decompressobj()
    size = compressed = 0
    try:
        with open(path, "rb") as file:
            while piece := file.read(_CHUNK):
                compressed += len(piece)
                while piece:
                    size += len(expander.decompress(piece, _CHUNK))
                    piece = expander.unconsumed_tail
                _require_moderate(path, size, compressed)
    except (OSError, zlib.error):
        return  # whoever reads it reports this


def _require_moderate(path: str, size: int, compressed: int) -> None:
    if size > LARGEST and size > LARGEST_RATIO * compressed:
        raise DataError(
            f"{path}: the file expands to more than {size // 2**20:,} MiB, {size // max(1, compressed):,} times its size",
            hint="such files are made to fill the memory; if you trust it, convert it to another format with another tool first.",
        )
