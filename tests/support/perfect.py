"""A backend with perfect scores: what a model returns that has learned its gold completely, in the form of each head."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from support.fakes import FakeOutputs
from support.heads import HIDDEN, built, windows_for
from support.perfect_biaffine import classes

from ie_cli.codecs.base import Codec, Outputs
from ie_cli.document import Document
from ie_cli.modeling.batch import Batch
from ie_cli.modeling.heads.base import MatrixHead

Form = Callable[[Codec, torch.nn.Module, Batch], Outputs]
"""Builds the outputs of a head for a batch of windows, from its gold entries alone."""


def matrices(codec: Codec, head: torch.nn.Module, batch: Batch) -> FakeOutputs:
    """Return score matrices that exceed 0 only at gold entries."""
    outputs = cast(MatrixHead, head).outputs(torch.zeros(1, 2, HIDDEN))
    count, length = batch.input_ids.shape
    found = {}
    for matrix, names in codec.matrices.items():
        factors = {name.split(".")[1] for name in outputs if name.startswith(matrix)}
        sample, row, first, last = batch.targets[matrix].entries.T.numpy()
        if factors == {"pair", "start", "end"}:
            pair = np.full((count, length, length), -50, dtype=np.float32)
            start = np.full((count, len(names), length), -9, dtype=np.float32)
            end = start.copy()
            pair[sample, first, last], start[sample, row, first], end[sample, row, last] = 0, 6, 6
            found[matrix] = [{"pair": pair, "start": start, "end": end}]
        else:
            assert factors == {"query", "key"}
            query = np.full((count, len(names), length, length), -1, dtype=np.float32)
            query[sample, row, first, last] = 1
            key = np.broadcast_to(np.eye(length, dtype=np.float32), query.shape)
            found[matrix] = [{"query": query[:, n : n + 2], "key": key[:, n : n + 2]} for n in range(0, len(names), 2)]
    return FakeOutputs(found)


FORMS: dict[str, Form] = {
    "efficient_global_pointer": matrices,
    "global_pointer": matrices,
    "biaffine": classes,
    "gplinker": matrices,
}
"""The form of each head in the table of heads."""


class Perfect:
    """A backend for a head and documents of different lengths, each of which is one window.

    Args:
        name: the name of the head.
        documents: the gold.
    """

    def __init__(self, name: str, documents: Sequence[Document]) -> None:
        self.form = FORMS[name]
        self.head = built(name)
        self.windows = windows_for(name, self.head, documents)
        ids = self.windows.dataset.rows(range(len(self.windows))).input_ids
        self.rows = {len(row): number for number, row in enumerate(ids)}

    def run(self, input_ids: npt.NDArray[np.int64], attention_mask: npt.NDArray[np.bool_]) -> Mapping[str, Outputs]:
        """Return the outputs for a batch; the windows are recognised by their lengths."""
        batch = self.windows.batch([self.rows[length] for length in attention_mask.sum(axis=1).tolist()])
        return {"task": self.form(self.windows.codec, self.head, batch)}
