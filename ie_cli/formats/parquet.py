"""Parquet files: a span, a document or a token per row, in columns as in `csv`.

Lists are stored as such: ``entities`` is a list of records, ``tokens`` and ``ner_tags`` are lists. Integers in ``ner_tags`` have
names if the library `datasets` has written the file with a ClassLabel feature. A span per row is written, as in `csv`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from ie_cli.document import Document
from ie_cli.errors import DataError
from ie_cli.formats.common.base import Container, Format, Reading, Record, Save, read_no_lines
from ie_cli.formats.common.table_columns import SPAN_ROLES
from ie_cli.formats.common.table_rows import TABLE_OPTIONS, Cells, read_table, row_of
from ie_cli.formats.table import count_losses, spans_of
from ie_cli.system.json_reading import loads
from ie_cli.system.streams import new_file

SUFFIXES = (".parquet", ".pq")
_BATCH = 1024
_GROUP = 20_000
"""Number of rows that are written at once."""


def holds(path: str) -> bool:
    """Return whether a path is a Parquet file by its suffix."""
    return path.lower().endswith(SUFFIXES)


def read(path: str, reading: Reading) -> Iterator[Record]:
    """Yield the documents of a file.

    Raises:
        DataError: the file is damaged, or its columns are not known.
    """
    import pyarrow
    from pyarrow import parquet

    try:
        with open(path, "rb") as raw, parquet.ParquetFile(raw) as file:
            names = list(file.schema_arrow.names)
            classes = _classes(file.schema_arrow.metadata)
            yield from read_table(names, _rows(file, path), path, reading, classes=classes)
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(
            f"{path}: not a readable Parquet file: {str(error).splitlines()[0][:200]}",
            hint="check whether the file is damaged or truncated.",
        ) from error


def row_of_file(path: str, reading: Reading) -> str | None:
    """Return what a row of a file is; None if that is not known, or the file cannot be read."""
    import pyarrow
    from pyarrow import parquet

    try:
        return row_of(list(parquet.read_schema(path).names), reading)
    except (pyarrow.ArrowException, OSError):  # whoever reads the rows reports it
        return None


def _rows(file: Any, path: str) -> Iterator[Cells]:
    number = 0
    for batch in file.iter_batches(_BATCH):
        for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            number += 1
            yield f"{path}:{number}", row


def _classes(metadata: Mapping[bytes, bytes] | None) -> dict[str, Sequence[str]]:
    """Return the names of classes that `datasets` has written, by column."""
    try:
        features = loads((metadata or {}).get(b"huggingface", b"{}").decode())["info"]["features"]
    except (ValueError, KeyError, TypeError):
        return {}
    found: dict[str, Sequence[str]] = {}
    for column, feature in features.items() if isinstance(features, dict) else ():
        inner = feature.get("feature", feature) if isinstance(feature, dict) else feature
        names = inner.get("names") if isinstance(inner, dict) else None
        if isinstance(names, list) and all(isinstance(name, str) for name in names):
            found[str(column)] = names
    return found


@contextmanager
def save(path: str) -> Iterator[Save]:
    """Create a file, and store a row for each span."""
    import pyarrow
    from pyarrow import parquet

    texts, integers, numbers = pyarrow.string(), pyarrow.int64(), pyarrow.float64()
    kinds = (texts, texts, integers, integers, integers, texts, texts, numbers)
    schema = pyarrow.schema(list(zip(SPAN_ROLES, kinds, strict=True)))
    with new_file(path) as new, new.open("wb") as raw, parquet.ParquetWriter(raw, schema) as writer:
        rows: list[tuple[Any, ...]] = []

        def flush() -> None:
            columns = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in schema]
            arrays = [pyarrow.array(column, kind) for column, kind in zip(columns, kinds, strict=True)]
            writer.write_table(pyarrow.Table.from_arrays(arrays, schema=schema))
            rows.clear()

        def store(document: Document) -> Mapping[str, int]:
            rows.extend(spans_of(document))
            if len(rows) >= _GROUP:
                flush()
            return {}

        yield store
        flush()


FORMAT = Format(
    "parquet",
    "tables in Parquet files; one span per row is written",
    read_no_lines,
    count_losses=count_losses,
    suffixes=SUFFIXES,
    container=Container(read, holds, save),
    options=TABLE_OPTIONS,
    rows=row_of_file,
)
