"""The ONNX Runtime backend: runs an exported graph on the CPU, without torch."""

from __future__ import annotations

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
from ie_cli.system.cores import cores
from ie_cli.system.distribution import install_hint

_BLOCK_SCORES = 2**23  # scores of one window in a block
INPUTS = ("input_ids", "attention_mask")
VECTOR = "vector"
"""The name of the output that contains a vector of each text; its size is no number of labels."""
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
        labels = _count_labels(self._session)
        if self._queries is not None:
            labels |= self._queries.labels
        expected = self._expected(labels)
        if inputs != set(INPUTS) or not expected.keys() & labels.keys():
            raise ModelError(
                f"{file}: not a graph written by `ie export`: it has the inputs {', '.join(sorted(inputs))} and the outputs "
                f"{', '.join(self._names[:6])}",
                hint="export the model again.",
            )
        given = self._queries.given if self._queries is not None else frozenset()
        if labels != expected or (HIDDEN in given) != (HIDDEN in self._names) or not given <= set(self._names):
            raise ModelError(
                f"{file}: the graph has the label counts {labels}, but ie.json has {expected}", hint=MIXED_FILES_HINT
            )

    def _expected(self, labels: Mapping[str, int]) -> dict[str, int]:
        """Return the number of labels that each score matrix should have.

        For pairs, the size of a vector is not known, and a head without classes has one logit or none.
        """
        expected: dict[str, int] = {}
        for task, codec in self._codecs.items():
            for matrix, names in codec.matrices.items():
                name = f"{output_prefix(task, self._codecs)}{matrix}"
                if codec.reads == "windows":
                    expected[name] = len(names)
                elif codec.reads == "texts":
                    expected[f"{name}.{VECTOR}"] = labels.get(f"{name}.{VECTOR}", 0)
                if codec.reads == "pair" or (codec.reads == "texts" and name in labels):
                    expected[name] = max(1, len(names))
        return expected

    def run(self, input_ids: npt.NDArray[np.int64], attention_mask: npt.NDArray[np.bool_]) -> dict[str, OnnxOutputs]:
        """Return the outputs of each head for a batch ``[batch, L]``."""
        with reading(self.file, "check that tokenizer.json belongs to this model, or use smaller batches."):
            values = self._session.run(self._names, dict(zip(INPUTS, (input_ids, attention_mask), strict=True)))
        found = dict(zip(self._names, values, strict=True))
        read = {} if self._queries is None else {name: found[name] for name in self._queries.given}
        found.pop(HIDDEN, None)
        outputs: dict[str, OnnxOutputs] = {}
        for task in self._codecs:
            prefix = output_prefix(task, self._codecs)
            ask = None if self._queries is None else partial(self._queries.run, prefix, read)
            outputs[task] = OnnxOutputs(found, prefix, ask)
        return outputs

    def query(
        self, task: str, name: str, vectors: npt.NDArray[np.float32], arguments: Arrays
    ) -> dict[str, npt.NDArray[Any]]:
        """Run a query of a head on vectors that it has read; float32 ``[rows, d]``."""
        prefix = output_prefix(task, self._codecs)
        if self._queries is None:
            raise ModelError(f"{self.file.with_name(QUERIES)}: no such file", hint="export the model again.")
        return self._queries.run(prefix, {f"{prefix}{name}.{VECTOR}": vectors}, name, arguments)

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
        inputs = {value.name: len(value.shape) for value in self._session.get_inputs()}
        self.given = frozenset(name for name, axes in inputs.items() if axes > 1)
        """The inputs that are outputs of the first graph: the hidden states and vectors."""
        self._axes = inputs
        self._outputs = [output.name for output in self._session.get_outputs()]
        self.labels = _count_labels(self._session)

    def run(self, prefix: str, read: Arrays, name: str, arguments: Arrays) -> dict[str, npt.NDArray[Any]]:
        """Return the arrays of a query; the other queries of the graph get no items.

        Args:
            prefix: the prefix of the task.
            read: outputs of the first graph, at least what the query reads.
            name: the name of the query.
            arguments: the arguments of the query.
        """
        start = f"{prefix}{name}."
        names = [output for output in self._outputs if output.startswith(start)]
        if not names:
            raise ModelError(f"{self._file}: the graph has no output '{name}' that takes arguments")
        feed = {**read, **{f"{start}{argument}": values for argument, values in arguments.items()}}
        with reading(self._file, "export the model again, or use smaller batches."):
            nothing = {key: self._nothing(key) for key in self._axes if key not in feed}
            values = self._session.run(names, feed | nothing)
        return {output.removeprefix(start): value for output, value in zip(names, values, strict=True)}

    def _nothing(self, name: str) -> npt.NDArray[Any]:
        """Return an empty input for another query: no arguments, or what it would read of one token."""
        if name not in self.given:
            return np.zeros(0, dtype=np.int64)
        shape = next(value.shape for value in self._session.get_inputs() if value.name == name)
        return np.zeros([size if isinstance(size, int) else 1 for size in shape], dtype=np.float32)


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
    """Return the number of labels of each score matrix, from the second or last axis, whichever has a fixed size.

    The size of a vector is under the full name of the output.
    """
    labels: dict[str, int] = {}
    for output in session.get_outputs():
        if output.name == HIDDEN:
            continue
        matrix, _, kind = output.name.rpartition(".")
        fixed = [size for size in (*output.shape[1:2], *output.shape[-1:]) if isinstance(size, int)]
        if fixed:
            labels.setdefault(output.name if kind == VECTOR else matrix, fixed[0])
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
    options.intra_op_num_threads = cores()  # its default is all cores of the machine, whatever OMP_NUM_THREADS says
    with reading(file, "copy it again, export the model again, or update onnxruntime."):
        return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
