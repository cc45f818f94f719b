"""The ONNX Runtime backend: the same factors from an exported graph, on the CPU, without torch."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ie_cli.decode import Factors, LabelFactors, SharedFactors
from ie_cli.errors import ModelError
from ie_cli.model_folder import ONNX, reading

TABLES = ("entities", "start_links", "end_links")
"""Tables of a head in their order; an output of the graph is called ``TABLE.FACTOR``, as in ``entities.pair``."""
INPUTS = ("input_ids", "attention_mask")


class OnnxBackend:
    """Run an exported graph.

    Args:
        file: `model.onnx`, written by ``ie export``.

    Raises:
        ModelError: the file is damaged or no such graph, or ONNX Runtime is missing.
    """

    def __init__(self, file: Path) -> None:
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

    def factors(
        self, input_ids: npt.NDArray[np.int64], attention_mask: npt.NDArray[np.bool_]
    ) -> tuple[tuple[Factors, ...], ...]:
        """Factors of a batch ``[batch, L]`` for each table of the head, for `decode`."""
        values = self._session.run(self._names, dict(zip(INPUTS, (input_ids, attention_mask), strict=True)))
        found = dict(zip(self._names, values, strict=True))
        tables = [table for table in TABLES if any(name.startswith(f"{table}.") for name in found)]
        return tuple((_factors(found, table),) for table in tables)

    def write(self, folder: Path) -> None:
        """Copy the graph."""
        shutil.copyfile(self.file, folder / ONNX)


def load_onnx(path: Path) -> OnnxBackend:
    """The graph of a model folder."""
    return OnnxBackend(path / ONNX)


def _factors(found: dict[str, Any], table: str) -> Factors:
    if f"{table}.pair" in found:
        return SharedFactors(*(found[f"{table}.{name}"] for name in ("pair", "start", "end")))
    return LabelFactors(0, found[f"{table}.query"], found[f"{table}.key"])


def _session(file: Path) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise ModelError(
            f"{file}: to run it, onnxruntime is needed, which is not installed", hint='pip install "ie-cli[onnx]".'
        ) from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors raise; warnings are about nodes that nobody here can change
    if hasattr(os, "sched_getaffinity"):  # a container may have fewer cores than the machine
        options.intra_op_num_threads = len(os.sched_getaffinity(0))
    with reading(file):
        return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
