"""Score an engine at several thresholds in one pass over the data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ie_cli.codecs.base import Outputs
from ie_cli.data.label_schema import LabelSchema
from ie_cli.document import Document
from ie_cli.inference.extractor import Extractor
from ie_cli.inference.pipeline import (
    Backend,
    Engine,
    Pending,
    max_windows,
    merge_windows,
    run_windows,
    split_windows,
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
    tokens = engine.tokenizer.encode([document.text for document in documents])
    waiting = [Pending(document, part) for document, part in zip(documents, tokens, strict=True)]
    windows = [window for pending in waiting for window in split_windows(engine, pending)]
    windows.sort(key=lambda window: -len(window.ids))
    while windows:
        count = max_windows(engine, len(windows[0].ids))
        run_windows(engine, windows[:count])
        del windows[:count]
    return waiting
