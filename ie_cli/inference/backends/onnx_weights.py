"""Read the weights of an ONNX graph without the `onnx` package, which prediction does not need.

The file is a Protocol Buffers message; this module reads a few of its fields by their numbers in `onnx.proto`
(https://github.com/onnx/onnx/blob/main/onnx/onnx.proto), without copying data.
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
"""The fields of TensorProto that contain packed numbers if they are not raw."""
_TYPES = {1: "<f4", 10: "<f2", 11: "<f8"}
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_SIZES = {_FIXED64: 8, _FIXED32: 4}


def first_not_finite(file: Path) -> str | None:
    """Return the name of the first weight with an infinite value or NaN, or None if all are finite.

    Constants with a single value are ignored, because masks may be infinite.

    Raises:
        ValueError: the file is not an ONNX graph.
    """
    for name, values in weights(file):
        with np.errstate(all="ignore"):  # a sum is not finite if one of its terms is not
            finite = np.isfinite(values.sum(dtype=np.promote_types(values.dtype, np.float32)))
        if values.size > 1 and not finite and not np.isfinite(values).all():
            return name
    return None


def weights(file: Path) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    """Yield the names and flat values of a graph's floating-point initializers.

    Raises:
        ValueError: the file is not an ONNX graph.
    """
    try:
        for number, graph in _fields(np.memmap(file, np.uint8, "r").data):
            if number == _GRAPH:
                for inner, tensor in _fields(graph):
                    if inner == _INITIALIZER:
                        yield from _tensor(tensor, file.parent)
    except (IndexError, KeyError, TypeError) as error:  # a field that is truncated, missing, or of another type
        raise ValueError("not an ONNX graph") from error


def _tensor(message: Any, directory: Path) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    fields: dict[int, Any] = {}
    external: dict[str, str] = {}
    for number, value in _fields(message):
        if number == _EXTERNAL:
            entry = dict(_fields(value))
            external[str(entry.get(1, b""), "utf-8")] = str(entry.get(2, b""), "utf-8")
        else:
            fields[number] = value
    kind = _TYPES.get(fields.get(_TYPE, 0))
    if kind is None:
        return
    name = str(fields.get(_NAME, b""), "utf-8")
    if external:
        data = np.memmap(directory / Path(external["location"]).name, np.uint8, "r").data
        start = int(external.get("offset", 0))
        yield name, np.frombuffer(data[start : start + int(external.get("length", len(data)))], kind)
    elif _RAW in fields:
        yield name, np.frombuffer(fields[_RAW], kind)
    for number, plain in _PLAIN.items():
        if isinstance(fields.get(number), memoryview):
            yield name, np.frombuffer(fields[number], plain)


def _fields(message: Any) -> Iterator[tuple[int, Any]]:
    """Yield the numbers and values of a message's fields: integers, or memory views of longer values."""
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
            raise ValueError("not an ONNX graph")
        yield key >> 3, message[at : at + size]
        at += size


def _varint(message: Any, at: int) -> tuple[int, int]:
    """Return a varint and the position after it: seven bits per byte, the lowest first."""
    value, shift = 0, 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
