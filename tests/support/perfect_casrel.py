"""Perfect scores of CasRel: its subjects, and the objects of each subject that decoding asks for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ie_cli.codecs.base import Codec
from ie_cli.modeling.batch import Batch


@dataclass(frozen=True)
class PerfectSubjects:
    """Scores of 5 at gold starts and ends, and of -5 elsewhere.

    Attributes:
        subjects: (sample, first, last).
        objects: (sample, link, subject first, last, object first, last).
        shape: samples, links and tokens.
    """

    subjects: npt.NDArray[np.int64]
    objects: npt.NDArray[np.int64]
    shape: tuple[int, int, int]

    def matrix(self, name: str) -> Iterator[dict[str, npt.NDArray[Any]]]:
        assert name == "subjects"
        samples, _, length = self.shape
        start, end = (np.full((samples, 1, length), -5, dtype=np.float32) for _ in range(2))
        sample, first, last = self.subjects.T
        start[sample, 0, first] = end[sample, 0, last] = 5
        yield {"start": start, "end": end}

    def query(self, name: str, arguments: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        assert name == "objects"
        _, links, length = self.shape
        asked = np.stack([arguments[key] for key in ("sample", "first", "last")], axis=1)
        start, end = (np.full((len(asked), links, length), -5, dtype=np.float32) for _ in range(2))
        for number, subject in enumerate(asked.tolist()):
            for sample, link, *span, first, last in self.objects.tolist():
                if [sample, *span] == subject:
                    start[number, link, first] = end[number, link, last] = 5
        return {"start": start, "end": end}


def subjects_and_objects(codec: Codec, head: torch.nn.Module, batch: Batch) -> PerfectSubjects:
    """Return the form of CasRel's outputs."""
    samples, length = batch.input_ids.shape
    entries = {name: part.numpy() for name, part in batch.entries.items()}
    return PerfectSubjects(entries["subjects"], entries["objects"], (samples, len(codec.matrices["objects"]), length))
