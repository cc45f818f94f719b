"""The ONNX Runtime backend: the same factors from an exported graph, on the CPU, without torch."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ie_cli.codecs.spans import Factors, LabelFactors, SharedFactors
from ie_cli.data.label_schema import LabelSchema
from ie_cli.errors import ModelError
from ie_cli.inference.integrity import BELONG
from ie_cli.inference.model_directory import EXPORT, ONNX, reading

TABLES = ("entities", "start_links", "end_links")
"""Tables of a head in their order; an output of the graph is called ``TABLE.FACTOR``, as in ``entities.pair``."""
_SCORES = 2**23  # of one window at once
INPUTS = ("input_ids", "attention_mask")


class OnnxBackend:
    """Run an exported graph.

    Args:
        file: `model.onnx`, written by ``ie export``.
        schema: of the model; the graph must have its rows.

    Raises:
        ModelError: the file is damaged, no such graph, or of another model, or ONNX Runtime is missing.
    """

    def __init__(self, file: Path, schema: LabelSchema) -> None:
        self.file = file
        self._session = _session(file)
        self._names = [output.name for output in self._session.get_outputs()]
        inputs = {value.name for value in self._session.get_inputs()}
        known = {f"{table}.{factor}" for table in TABLES for factor in ("pair", "start", "end", "query", "key")}
        if inputs != set(INPUTS) or not self._names or not known.issuperset(self._names):
            raise ModelError(
                f"{file}: not a graph that `ie export` writes: inputs {', '.join(sorted(inputs))}, outputs "
                f"{', '.join(self._names[:6])}",
                hint="export the model again.",
            )
        rows = {
            output.name.partition(".")[0]: output.shape[1]
            for output in self._session.get_outputs()
            if output.name.endswith((".start", ".query"))
        }
        sizes = (len(schema.labels), *([len(schema.predicates)] * 2 if schema.predicates else []))
        if rows != dict(zip(TABLES, sizes, strict=False)):
            raise ModelError(
                f"{file}: the graph has the rows {rows}, but ie.json beside it {len(schema.labels)} labels and "
                f"{len(schema.predicates)} predicates",
                hint=BELONG,
            )

    def factors(
        self, input_ids: npt.NDArray[np.int64], attention_mask: npt.NDArray[np.bool_]
    ) -> tuple[tuple[Factors, ...], ...]:
        """Factors of a batch ``[batch, L]`` for each table of the head, for `decode`."""
        with reading(self.file, "its tokenizer.json may be of another model; or the batch is too large: --batch-size."):
            values = self._session.run(self._names, dict(zip(INPUTS, (input_ids, attention_mask), strict=True)))
        found = dict(zip(self._names, values, strict=True))
        tables = [table for table in TABLES if any(name.startswith(f"{table}.") for name in found)]
        return tuple(tuple(_factors(found, table)) for table in tables)

    def write(self, folder: Path) -> None:
        """Copy the graph, the weights beside a graph of more than 1.5 GiB, and what is known of the export."""
        for name in (ONNX, f"{ONNX}.data", EXPORT):
            if (self.file.parent / name).is_file():
                shutil.copyfile(self.file.parent / name, folder / name)


def load_onnx(path: Path, schema: LabelSchema) -> OnnxBackend:
    """The graph of a model folder."""
    return OnnxBackend(path / ONNX, schema)


def _factors(found: dict[str, Any], table: str) -> Iterator[Factors]:
    """The factors of a table; those of a scorer per label in blocks whose scores are small."""
    if f"{table}.pair" in found:
        yield SharedFactors(*(found[f"{table}.{name}"] for name in ("pair", "start", "end")))
        return
    query, key = found[f"{table}.query"], found[f"{table}.key"]
    _, labels, length, _ = query.shape
    step = max(1, _SCORES // length**2)
    for first in range(0, labels, step):
        yield LabelFactors(first, query[:, first : first + step], key[:, first : first + step])


def _session(file: Path) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise ModelError(
            f"{file}: to run it, onnxruntime is needed: {error}", hint='pip install "ie-cli[onnx]".'
        ) from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors raise; warnings are about nodes that nobody here can change
    if hasattr(os, "sched_getaffinity"):  # a container may have fewer cores than the machine
        options.intra_op_num_threads = len(os.sched_getaffinity(0))
    with reading(file, "copy it again, export the model again, or update onnxruntime."):
        return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
