"""Exported graphs that tests share: the exporter takes about ten seconds, and tests export one model several times."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from ie_cli.inference.model_directory import QUERIES
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
