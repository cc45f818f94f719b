"""Exported graphs that tests share, because the exporter takes about ten seconds, and what is compared of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import numpy as np
import torch

from ie_cli.codecs.base import Codec, Outputs
from ie_cli.inference.model_directory import QUERIES
from ie_cli.modeling.heads.base import Head
from ie_cli.modeling.model import ExtractionModel

Writer = Callable[[ExtractionModel, Path], None]


def write_once(write: Writer, graphs: dict[str, dict[str, bytes]]) -> Writer:
    """Return a writer that keeps the graphs of each model in `graphs`, and writes those that it has."""

    def written(model: ExtractionModel, file: Path) -> None:
        key = hashlib.sha256(b"".join(value.numpy().tobytes() for value in model.state_dict().values())).hexdigest()
        if key not in graphs:
            write(model, file)
            both = (file, file.with_name(QUERIES))
            graphs[key] = {path.name: path.read_bytes() for path in both if path.is_file()}
        for name, content in graphs[key].items():
            file.with_name(name).write_bytes(content)

    return written


def inputs(vocabulary: int = 100) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Return batches of ids with their masks, in many shapes."""
    random = np.random.default_rng(0)
    for batch, length in ((1, 2), (1, 64), (3, 17), (7, 33)):
        ids = random.integers(0, vocabulary, (batch, length))
        yield ids, np.arange(length) < random.integers(2, length + 1, batch)[:, None]


def all_arrays(outputs: Outputs, codec: Codec, head: Head, *, items: int) -> dict[str, np.ndarray]:
    """Return all arrays of a head's outputs, with blocks concatenated, and those of its queries for some arguments."""
    found: dict[str, np.ndarray] = {}
    queries = head.queries
    for matrix in codec.matrices.keys() - queries.keys():
        blocks = list(outputs.matrix(matrix))
        found |= {f"{matrix}.{name}": np.concatenate([block[name] for block in blocks], axis=1) for name in blocks[0]}
    random = np.random.default_rng(0)
    for query, arguments in queries.items():
        given = {argument: random.integers(0, items, 5) for argument in arguments}
        found |= {f"{query}.{name}": values for name, values in outputs.query(query, given).items()}
    return found


def assert_alike(
    before: Outputs,
    after: Outputs,
    codec: Codec,
    head: torch.nn.Module,
    shape: tuple[int, ...],
    *,
    relative: float = 1e-7,
) -> None:
    one, other = (all_arrays(part, codec, cast(Head, head), items=min(shape)) for part in (before, after))
    assert one.keys() == other.keys()
    assert {name.split(".")[0] for name in one} == codec.matrices.keys()
    for name, values in one.items():
        assert values.shape == other[name].shape
        np.testing.assert_allclose(values, other[name], rtol=relative, atol=2e-5)
