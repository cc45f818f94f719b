"""The weights of an ONNX graph, found in its file without the `onnx` package, which prediction does not need.

The file is a message of Protocol Buffers; what is read here of it are a few fields by their numbers in `onnx.proto`
(https://github.com/onnx/onnx/blob/main/onnx/onnx.proto) and nothing is copied.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

_GRAPH, _INITIALIZER = 7, 5  # of ModelProto, of GraphProto
_TYPE, _NAME, _RAW, _EXTERNAL = 2, 8, 9, 13  # of TensorProto
_PLAIN = {4: "<f4", 10: "<f8"}
"""The fields of TensorProto that hold numbers one after another, where they are not raw."""
_TYPES = {1: "<f4", 10: "<f2", 11: "<f8"}
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_SIZES = {_FIXED64: 8, _FIXED32: 4}


def first_not_finite(file: Path) -> str | None:
    """The name of the first weight that holds something infinite or no number, None where all are finite.

    A constant of a single number is no weight: what masks scores may be infinite.

    Raises:
        ValueError: the file is no such graph.
    """
    for name, values in weights(file):
        with np.errstate(all="ignore"):  # a sum is not finite where a number in it is not
            finite = np.isfinite(values.sum(dtype=np.promote_types(values.dtype, np.float32)))
        if values.size > 1 and not finite and not np.isfinite(values).all():
            return name
    return None


def weights(file: Path) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    """The floating-point initialisers of a graph by their names, flat.

    Raises:
        ValueError: the file is no such graph.
    """
    try:
        for number, graph in _fields(np.memmap(file, np.uint8, "r").data):
            if number == _GRAPH:
                for inner, tensor in _fields(graph):
                    if inner == _INITIALIZER:
                        yield from _tensor(tensor, file.parent)
    except (IndexError, KeyError, TypeError) as error:  # a field that is cut off, missing, or of another kind
        raise ValueError("not a graph in ONNX form") from error


def _tensor(message: Any, directory: Path) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    fields: dict[int, Any] = {}
    beside: dict[str, str] = {}
    for number, value in _fields(message):
        if number == _EXTERNAL:
            entry = dict(_fields(value))
            beside[str(entry.get(1, b""), "utf-8")] = str(entry.get(2, b""), "utf-8")
        else:
            fields[number] = value
    kind = _TYPES.get(fields.get(_TYPE, 0))
    if kind is None:
        return
    name = str(fields.get(_NAME, b""), "utf-8")
    if beside:
        whole = np.memmap(directory / Path(beside["location"]).name, np.uint8, "r").data
        begin = int(beside.get("offset", 0))
        yield name, np.frombuffer(whole[begin : begin + int(beside.get("length", len(whole)))], kind)
    elif _RAW in fields:
        yield name, np.frombuffer(fields[_RAW], kind)
    for number, plain in _PLAIN.items():
        if isinstance(fields.get(number), memoryview):
            yield name, np.frombuffer(fields[number], plain)


def _fields(message: Any) -> Iterator[tuple[int, Any]]:
    """The fields of a message by their numbers: numbers, and views of what is longer."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == _VARINT:
            value, at = _varint(message, at)
            yield key >> 3, value
            continue
        size = _SIZES.get(kind)
        if kind == _BYTES:
            size, at = _varint(message, at)
        if size is None or at + size > len(message):
            raise ValueError("not a graph in ONNX form")
        yield key >> 3, message[at : at + size]
        at += size


def _varint(message: Any, at: int) -> tuple[int, int]:
    """A number and where it ends: seven bits in a byte, the lowest first."""
    value, shift = 0, 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
