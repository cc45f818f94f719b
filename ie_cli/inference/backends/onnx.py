"""The ONNX Runtime backend: runs an exported graph on the CPU, without torch."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ie_cli.codecs.base import Codec
from ie_cli.errors import ModelError
from ie_cli.inference.backends.onnx_weights import first_not_finite
from ie_cli.inference.integrity import MIXED_FILES_HINT
from ie_cli.inference.model_directory import EXPORT, ONNX, QUERIES, reading
from ie_cli.system.distribution import install_hint

_BLOCK_SCORES = 2**23  # scores of one window in a block
INPUTS = ("input_ids", "attention_mask")
HIDDEN = "hidden"
"""The output of a graph, and the input of its second graph, that contains the encoder's output."""
Arrays = Mapping[str, npt.NDArray[Any]]


def output_prefix(task: str, tasks: Collection[str]) -> str:
    """Return the prefix of the names of a task's outputs in a graph: empty if it is the only task."""
    return f"{task}/" if len(tasks) > 1 else ""


class OnnxBackend:
    """Run an exported graph and, if heads have queries, the second graph beside it.

    Args:
        file: `model.onnx`, written by ``ie export``.
        codecs: codecs of the model's tasks; the graph must have their score matrices with the same numbers of labels.

    Raises:
        ModelError: the file is damaged, not an exported graph, or from another model, or ONNX Runtime is missing.
    """

    def __init__(self, file: Path, codecs: Mapping[str, Codec]) -> None:
        self.file, self._codecs = file, codecs
        self._session = _session(file)
        self._names = [output.name for output in self._session.get_outputs()]
        second = file.with_name(QUERIES)
        self._queries = _Queries(second) if second.is_file() else None
        inputs = {value.name for value in self._session.get_inputs()}
        expected = {
            f"{output_prefix(task, codecs)}{matrix}": len(names)
            for task, codec in codecs.items()
            for matrix, names in codec.matrices.items()
        }
        labels = _count_labels(self._session)
        if self._queries is not None:
            labels |= self._queries.labels
        if inputs != set(INPUTS) or not expected.keys() & labels.keys():
            raise ModelError(
                f"{file}: not a graph written by `ie export`: it has the inputs {', '.join(sorted(inputs))} and the outputs "
                f"{', '.join(self._names[:6])}",
                hint="export the model again.",
            )
        if labels != expected or (self._queries is not None) != (HIDDEN in self._names):
            raise ModelError(
                f"{file}: the graph has the label counts {labels}, but ie.json has {expected}", hint=MIXED_FILES_HINT
            )

    def run(self, input_ids: npt.NDArray[np.int64], attention_mask: npt.NDArray[np.bool_]) -> dict[str, OnnxOutputs]:
        """Return the outputs of each head for a batch ``[batch, L]``."""
        with reading(self.file, "check that tokenizer.json belongs to this model, or use smaller batches."):
            values = self._session.run(self._names, dict(zip(INPUTS, (input_ids, attention_mask), strict=True)))
        found = dict(zip(self._names, values, strict=True))
        hidden = found.pop(HIDDEN, None)
        outputs: dict[str, OnnxOutputs] = {}
        for task in self._codecs:
            prefix = output_prefix(task, self._codecs)
            ask = None if self._queries is None or hidden is None else partial(self._queries.run, prefix, hidden)
            outputs[task] = OnnxOutputs(found, prefix, ask)
        return outputs

    def write(self, directory: Path) -> None:
        """Copy the graphs, external weights if the first is larger than 1.5 GiB, and the record of the export."""
        for name in (ONNX, f"{ONNX}.data", QUERIES, EXPORT):
            if (self.file.parent / name).is_file():
                shutil.copyfile(self.file.parent / name, directory / name)


class _Queries:
    """Runs the graph of the second pass, whose inputs and outputs are named ``PREFIX QUERY.NAME`` without the space.

    Args:
        file: `model-queries.onnx`, written by ``ie export``.
    """

    def __init__(self, file: Path) -> None:
        self._file, self._session = file, _session(file, spinning=False)
        self._inputs = [value.name for value in self._session.get_inputs() if value.name != HIDDEN]
        self._outputs = [output.name for output in self._session.get_outputs()]
        self.labels = _count_labels(self._session)

    def run(self, prefix: str, hidden: npt.NDArray[Any], name: str, arguments: Arrays) -> dict[str, npt.NDArray[Any]]:
        """Return the arrays of a query; the other queries of the graph get no items."""
        start = f"{prefix}{name}."
        names = [output for output in self._outputs if output.startswith(start)]
        if not names:
            raise ModelError(f"{self._file}: the graph has no output '{name}' that takes arguments")
        given = {f"{start}{argument}": values for argument, values in arguments.items()}
        nothing = np.zeros(0, dtype=np.int64)
        with reading(self._file, "export the model again, or use smaller batches."):
            feed = {HIDDEN: hidden, **{key: given.get(key, nothing) for key in self._inputs}}
            values = self._session.run(names, feed)
        return {output.removeprefix(start): value for output, value in zip(names, values, strict=True)}


@dataclass(frozen=True, slots=True)
class OnnxOutputs:
    """The outputs of a graph whose names start with a prefix; `ask` runs a query in the second graph, if there is one."""

    found: Arrays
    prefix: str
    ask: Callable[[str, Arrays], dict[str, npt.NDArray[Any]]] | None = None

    def matrix(self, name: str) -> Iterator[dict[str, npt.NDArray[Any]]]:
        """Yield the blocks of a score matrix; arrays ``[batch, labels, L, …]`` are split so that the scores stay small."""
        start = f"{self.prefix}{name}."
        matrix = {key.removeprefix(start): value for key, value in self.found.items() if key.startswith(start)}
        if "query" not in matrix:
            yield matrix
            return
        _, labels, length, _ = matrix["query"].shape
        step = max(1, _BLOCK_SCORES // length**2)
        for first in range(0, labels, step):
            yield {factor: value[:, first : first + step] for factor, value in matrix.items()}

    def query(self, name: str, arguments: Arrays) -> dict[str, npt.NDArray[Any]]:
        """Run the second pass over the hidden states."""
        if self.ask is None:
            raise ModelError(
                f"the exported graph has no output '{name}' that takes arguments",
                hint="use the original model with torch.",
            )
        return self.ask(name, arguments)


def _count_labels(session: Any) -> dict[str, int]:
    """Return the number of labels of each score matrix, from the second or last axis, whichever has a fixed size."""
    labels: dict[str, int] = {}
    for output in session.get_outputs():
        if output.name == HIDDEN:
            continue
        matrix = output.name.rpartition(".")[0]
        fixed = [size for size in (*output.shape[1:2], *output.shape[-1:]) if isinstance(size, int)]
        if fixed:
            labels.setdefault(matrix, fixed[0])
    return labels


def load_onnx(path: Path, codecs: Mapping[str, Codec]) -> OnnxBackend:
    """Load the graph of a model directory.

    Raises:
        ModelError: see `OnnxBackend`; or a weight is not finite.
    """
    backend = OnnxBackend(path / ONNX, codecs)
    for file in (path / ONNX, path / QUERIES):
        with reading(file, "copy it again, or export the model again."):
            if file.is_file() and (name := first_not_finite(file)) is not None:
                raise ValueError(f"{name} contains non-finite numbers")
    return backend


def _session(file: Path, *, spinning: bool = True) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise ModelError(
            f"{file}: running this model requires onnxruntime: {error}", hint=install_hint("onnx")
        ) from error
    options = onnxruntime.SessionOptions()
    if not spinning:  # threads that wait for the next run would slow down the session whose turn it is
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3  # errors are raised; warnings concern nodes that users cannot change
    if hasattr(os, "sched_getaffinity"):  # a container may have fewer cores than the machine
        options.intra_op_num_threads = len(os.sched_getaffinity(0))
    with reading(file, "copy it again, export the model again, or update onnxruntime."):
        return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
