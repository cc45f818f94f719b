"""A directory that the library `datasets` has saved with ``save_to_disk``, or that it loads: JSON, CSV, Parquet, Arrow, text.

A saved directory is detected; another one is read if this format is named. Of several splits, ``train`` is read: name the
directory of another one, or ``hub:DIRECTORY?split=validation``. The layouts are those of `hub:`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from ie_cli.errors import DataError
from ie_cli.formats import hub
from ie_cli.formats.common.base import Container, Format, Reading, Record, read_no_lines
from ie_cli.formats.common.hub_dataset import PREFIX, load_rows
from ie_cli.formats.rows import row_of_columns


def holds(path: str) -> bool:
    """Return whether a path is a directory that was saved."""
    return any(os.path.isfile(os.path.join(path, name)) for name in ("state.json", "dataset_dict.json"))


def read(path: str, reading: Reading) -> Iterator[Record]:
    """Yield a document for each row."""
    yield from hub.read(f"{PREFIX}{path}", reading)


def row_of_directory(path: str, reading: Reading) -> str | None:
    """Return what a row of a directory is; None if that is not known, or the directory cannot be loaded."""
    try:
        return row_of_columns(list(load_rows(f"{PREFIX}{path}", lambda text: None).features))
    except DataError:  # whoever reads the rows reports it
        return None


FORMAT = Format(
    "datasets",
    "a directory that `datasets` has saved with save_to_disk, or another one that it can load; input only",
    read_no_lines,
    container=Container(read, holds, directories=True),
    options=("joiner", "grades"),
    rows=row_of_directory,
)
