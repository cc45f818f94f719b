"""Score an engine at several thresholds in one pass over the data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ie_cli.codecs.base import Floats, Outputs
from ie_cli.data.label_schema import LabelSchema
from ie_cli.document import Document
from ie_cli.inference.extractor import Extractor
from ie_cli.inference.pipeline import (
    Arguments,
    Backend,
    Engine,
    Pending,
    merge_windows,
    run_all,
    split_windows,
    tokenise,
)
from ie_cli.metrics.scores import Scores
from ie_cli.tasks import ScoringOptions, Task


@dataclass(frozen=True, slots=True)
class _Repeated:
    """A backend that returns the outputs of a task once for each threshold.

    Attributes:
        names: the names of the repetitions, and the task that each repeats.
    """

    backend: Backend
    names: Mapping[str, str]

    def run(self, input_ids: npt.NDArray[np.int64], attention_mask: npt.NDArray[np.bool_]) -> Mapping[str, Outputs]:
        """Return the outputs of the model under each name."""
        outputs = self.backend.run(input_ids, attention_mask)
        return {name: outputs[task] for name, task in self.names.items()}

    def query(self, task: str, name: str, vectors: Floats, arguments: Arguments) -> Mapping[str, npt.NDArray[Any]]:
        """Run a query of the repeated task."""
        return self.backend.query(self.names[task], name, vectors, arguments)

    def write(self, directory: Path) -> None:
        """Write the files of the model."""
        self.backend.write(directory)


def scores_by_threshold(
    extractor: Extractor,
    gold: Iterable[Document],
    thresholds: Iterable[float],
    *,
    name: str,
    task: Task,
    schema: LabelSchema,
    options: ScoringOptions,
) -> dict[float, Scores]:
    """Run the model once, and decode and score its outputs at each threshold.

    Args:
        extractor: the model.
        gold: the gold documents.
        thresholds: the thresholds, for all labels.
        name: the name of the task in the recipe.
        task: the task.
        schema: the labels and predicates of the model.
        options: the scoring options.
    """
    parts = {
        str(threshold): replace(extractor.engine(threshold=threshold).only(name).tasks[0], name=str(threshold))
        for threshold in thresholds
    }
    whole = extractor.engine()
    backend = _Repeated(whole.backend, dict.fromkeys(parts, name))
    engine = replace(whole, backend=backend, tasks=tuple(parts.values()))
    scorers = {threshold: task.scorer(schema, options) for threshold in parts}
    stream = iter(gold)
    while documents := list(islice(stream, engine.lookahead)):
        waiting = _run(engine, documents)
        for threshold, scorer in scorers.items():
            for pending in waiting:
                scorer.add(pending.document, merge_windows(engine.only(threshold), pending))
    return {float(threshold): scorer.scores() for threshold, scorer in scorers.items()}


def _run(engine: Engine, documents: list[Document]) -> list[Pending]:
    """Return documents with the candidates of all their windows."""
    waiting = tokenise(engine, documents)
    run_all(engine, split_windows(engine, waiting))
    return waiting
