"""Files of vectors with the texts that they belong to: JSON Lines, Parquet, or `.npy` with a second file of texts.

Each file names the model that has written it, so that vectors of different models are never compared.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
import orjson

from ie_cli.document import Document
from ie_cli.errors import DataError
from ie_cli.formats import FORMATS
from ie_cli.formats.suffixes import COMPRESSIONS, suffix_of
from ie_cli.system.distribution import install_hint
from ie_cli.system.json_reading import loads
from ie_cli.system.streams import is_replaceable, new_file, open_output, read_lines
from ie_cli.system.text import escape_surrogates

Floats = npt.NDArray[np.float32]
Add = Callable[[Document, Floats], None]
"""What writes the next document with its vector."""
BLOCK = 8192
"""The number of rows that are read at once."""
_NPY, _PARQUET = ".npy", ".parquet"
_MODEL = b"ie.model"
_AGAIN = "write the file again with `ie embed`."


@dataclass(frozen=True, slots=True)
class Block:
    """Some documents of a file, and their vectors; float32 ``[documents, d]``."""

    documents: list[Document]
    vectors: Floats


def require_vector_file(path: str) -> None:
    """Check that vectors can be written to a path.

    Raises:
        DataError: its suffix stands for no such file, or the file must be a local one and is none.
    """
    lines = FORMATS["jsonl"].suffixes
    suffix = suffix_of(path)
    if suffix in (_NPY, _PARQUET):
        if path.endswith(COMPRESSIONS) or not is_replaceable(path):
            raise DataError(
                f"{path}: a file in {suffix} must be a local file and is not compressed", hint="write JSON Lines."
            )
        if suffix == _PARQUET:
            _pyarrow(path)
    elif suffix not in ("", *lines):
        raise DataError(
            f"{path}: the suffix {suffix} stands for no file of vectors",
            hint=f"use {_NPY}, {_PARQUET} or {lines[0]}.",
        )


@contextmanager
def open_vectors(path: str, model: str) -> Iterator[Add]:
    """Open an output for vectors, in the form that the suffix stands for; a local file appears when it is complete.

    Args:
        path: a file; ``-`` is stdout.
        model: what identifies the model.

    Raises:
        DataError: see `require_vector_file`.
        StorageError: the file cannot be written.
    """
    require_vector_file(path)
    opened = {_NPY: _open_npy, _PARQUET: _open_parquet}.get(suffix_of(path), _open_json)
    with opened(path, model) as add:
        yield add


def model_of(path: str) -> str | None:
    """Return what identifies the model whose vectors a file contains; None if it is a file of texts.

    Raises:
        DataError: the file is missing or damaged.
    """
    suffix = suffix_of(path)
    if suffix == _PARQUET:
        with _reading(path):
            known = _pyarrow(path).read_schema(path).metadata or {}
        return str(known[_MODEL].decode()) if _MODEL in known else None
    if path == "-" or suffix not in (_NPY, *FORMATS["jsonl"].suffixes):
        return None
    lines = texts_of(path) if suffix == _NPY else path
    first = next((line for _, line in read_lines(lines) if line.strip()), None)
    try:
        fields = None if first is None else _parse(first)
    except ValueError:
        fields = None
    if isinstance(fields, dict) and isinstance(fields.get("model"), str) and fields.keys() & {"vector", "checksum"}:
        return str(fields["model"])
    return _not_ours(lines) if suffix == _NPY and first is not None else None


def _not_ours(path: str) -> NoReturn:
    raise DataError(f"{path}: this file was not written by `ie embed`", hint="give the texts as JSON Lines.")


def read_vectors(path: str, model: str) -> Iterator[Block]:
    """Yield the contents of a file of vectors in blocks.

    Args:
        path: the file.
        model: what identifies the model that its vectors must come from.

    Raises:
        DataError: the file is damaged, or a vector comes from another model.
    """
    return {_NPY: _read_npy, _PARQUET: _read_parquet}.get(suffix_of(path), _read_json)(path, model)


def require_same_model(where: str, found: object, model: str) -> None:
    """Check that vectors come from a model.

    Raises:
        DataError: they come from another one.
    """
    if found != model:
        raise DataError(
            f"{where}: the vectors were computed by another model, or another task of it",
            hint="use the model that has written them, or run `ie embed` again: vectors of two models cannot be compared.",
        )


def texts_of(path: str) -> str:
    """Return the name of the file with the texts of an `.npy` file."""
    return f"{path}.jsonl"


def _line(document: Document, model: str, **fields: object) -> str:
    known: dict[str, object] = {} if document.id is None else {"id": document.id}
    record = {**known, "text": document.text, **fields, "model": model}
    try:
        return orjson.dumps(record, option=orjson.OPT_SERIALIZE_NUMPY).decode() + "\n"
    except (orjson.JSONEncodeError, TypeError):  # a lone surrogate, or an integer of more than 64 bits
        return json.dumps(record, default=lambda array: array.tolist()) + "\n"


def _parse(line: str) -> Any:
    try:
        return loads(line, orjson.loads)
    except orjson.JSONDecodeError:  # a lone surrogate, or an integer of more than 64 bits
        return loads(line)


def _record(line: str, where: str, model: str) -> tuple[Document, dict[str, Any]]:
    """Return the document and the fields of a line.

    Raises:
        DataError: the line is damaged, or comes from another model.
    """
    try:
        fields = _parse(line)
        document = Document(fields["text"], id=fields.get("id"), where=where)
        if not isinstance(document.text, str) or not isinstance(document.id, str | int | None):
            raise ValueError("text or id has the wrong type")
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{where}: not a line of a file of vectors: {error}", hint=_AGAIN) from error
    require_same_model(where, fields.get("model"), model)
    return document, fields


@contextmanager
def _open_json(path: str, model: str) -> Iterator[Add]:
    with open_output(path) as out:

        def add(document: Document, vector: Floats) -> None:
            out.write(_line(document, model, vector=vector))

        yield add


def _read_json(path: str, model: str) -> Iterator[Block]:
    size: int | None = None
    lines = ((number, line) for number, line in read_lines(path) if line.strip())
    while part := list(islice(lines, BLOCK)):
        documents, rows = [], []
        for number, line in part:
            where = f"{path}:{number}"
            document, fields = _record(line, where, model)
            row = _row(fields.get("vector"), where)
            size = len(row) if size is None else size
            if len(row) != size:
                raise DataError(f"{where}: a vector of {len(row)} numbers, expected {size}", hint=_AGAIN)
            documents.append(document)
            rows.append(row)
        yield Block(documents, np.stack(rows))


def _row(value: object, where: str) -> Floats:
    try:
        row = np.array(value, dtype=np.float32)
    except (ValueError, TypeError) as error:
        raise DataError(f"{where}: the vector is not a list of numbers", hint=_AGAIN) from error
    if row.ndim != 1 or not np.isfinite(row).all():
        raise DataError(f"{where}: the vector is not a list of finite numbers", hint=_AGAIN)
    return row


@contextmanager
def _open_npy(path: str, model: str) -> Iterator[Add]:
    """Write an array ``[rows, d]``, and the texts beside it, each with a checksum of its row."""
    count, size = 0, 0
    with new_file(path) as file, file.open("wb") as out, open_output(texts_of(path)) as texts:

        def add(document: Document, vector: Floats) -> None:
            nonlocal count, size
            if not count:
                size = len(vector)
                _write_header(out, 0, size)
            count += 1
            out.write(vector.tobytes())
            texts.write(_line(document, model, checksum=zlib.crc32(vector.tobytes())))

        yield add
        out.seek(0)
        _write_header(out, count, size)  # as long as the first one: numpy leaves room for the number of rows


def _write_header(out: Any, rows: int, size: int) -> None:
    header = {"descr": "<f4", "fortran_order": False, "shape": (rows, size)}
    np.lib.format.write_array_header_1_0(out, header)


def _read_npy(path: str, model: str) -> Iterator[Block]:
    with _reading(path):
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        if array.ndim != 2 or array.dtype != np.float32:
            raise ValueError(f"expected float32 with two axes, got {array.dtype} with {array.ndim}")
    second = texts_of(path)
    lines = ((number, line) for number, line in read_lines(second) if line.strip())
    start = 0
    while part := list(islice(lines, BLOCK)):
        vectors: Floats = np.array(array[start : start + len(part)])
        found = [_record(line, f"{second}:{number}", model) for number, line in part]
        sums = [zlib.crc32(row.tobytes()) for row in vectors]
        if sums != [fields.get("checksum") for _, fields in found]:
            raise DataError(f"{path}: its vectors are not those of the texts in {second}", hint=_AGAIN)
        yield Block([document for document, _ in found], vectors)
        start += len(part)
    if start != len(array):
        raise DataError(f"{path}: {len(array)} vectors, but {second} has {start} texts", hint=_AGAIN)


@contextmanager
def _open_parquet(path: str, model: str) -> Iterator[Add]:
    """Write the columns id (text), text and vector."""
    import pyarrow as pa
    from pyarrow import parquet

    waiting: list[tuple[Document, Floats]] = []
    with new_file(path) as file:
        writer: Any = None

        def write() -> None:
            nonlocal writer
            rows = np.stack([vector for _, vector in waiting]) if waiting else np.zeros((0, 1), dtype=np.float32)
            kind = pa.list_(pa.float32(), rows.shape[1])
            columns = {
                "id": pa.array(
                    [None if d.id is None else escape_surrogates(str(d.id)) for d, _ in waiting], pa.string()
                ),
                "text": pa.array([escape_surrogates(d.text) for d, _ in waiting], pa.string()),
                "vector": pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), type=kind),
            }
            table = pa.table(columns).replace_schema_metadata({_MODEL: model.encode()})
            writer = writer or parquet.ParquetWriter(file, table.schema)
            writer.write_table(table)
            waiting.clear()

        def add(document: Document, vector: Floats) -> None:
            waiting.append((document, vector))
            if len(waiting) >= BLOCK:
                write()

        try:
            yield add
            if waiting or writer is None:
                write()
        finally:
            if writer is not None:
                writer.close()


def _read_parquet(path: str, model: str) -> Iterator[Block]:
    with _reading(path):
        file = _pyarrow(path).ParquetFile(path)
    require_same_model(path, (file.schema_arrow.metadata or {}).get(_MODEL, b"").decode(), model)
    with file:
        batches = file.iter_batches(batch_size=BLOCK, columns=["id", "text", "vector"])
        while True:
            with _reading(path):
                batch = next(batches, None)
                if batch is None:
                    return
                ids, texts = batch.column("id").to_pylist(), batch.column("text").to_pylist()
                vectors = batch.column("vector").flatten().to_numpy().reshape(len(ids), -1)
            documents = [Document(text, id=known, where=path) for known, text in zip(ids, texts, strict=True)]
            yield Block(documents, np.ascontiguousarray(vectors, dtype=np.float32))


@contextmanager
def _reading(path: str) -> Iterator[None]:
    """Turn what a library raises for a missing or damaged file into an error that names the file."""
    try:
        if not Path(path).is_file():
            raise DataError(f"{path}: no such file", hint=_AGAIN)
        yield
    except DataError:
        raise
    except Exception as error:
        first = next(iter(str(error).splitlines()), type(error).__name__)
        raise DataError(f"{path}: damaged: {first}", hint=_AGAIN) from error


def _pyarrow(path: str) -> ModuleType:
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise DataError(f"{path}: Parquet requires the package pyarrow", hint=install_hint()) from error
    module: ModuleType = parquet
    return module
