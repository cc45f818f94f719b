"""The vectors of texts, for heads that read each text of a pair alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ie_cli.codecs.base import Floats
from ie_cli.encoding.padding import pad
from ie_cli.inference.pipeline import Engine, Extraction, max_windows

Ids = npt.NDArray[np.int32]


def text_vectors(engine: Engine, part: Extraction, texts: Sequence[str]) -> dict[str, Floats]:
    """Return the vectors of distinct texts as the head outputs them, float32 ``[d]``; each text is encoded once.

    A text that is longer than a window is truncated, and counted.
    """
    capacity = engine.plan.capacity
    tokens = engine.tokenizer.encode(texts)
    engine.counts.texts += len(texts)
    engine.counts.shortened += sum(len(found) > capacity for found in tokens)
    sequences = [engine.tokenizer.surround(found.ids[:capacity]) for found in tokens]
    order = sorted(range(len(texts)), key=lambda number: -len(sequences[number]))  # longest first; the sort is stable
    vectors: dict[str, Floats] = {}
    start = 0
    while start < len(order):
        batch = order[start : start + max_windows(engine, len(sequences[order[start]]))]
        ids, mask = pad([sequences[number] for number in batch], engine.pad_id)
        [block] = engine.backend.run(ids, mask)[part.name].matrix("pairs")
        for number, vector in zip(batch, block["vector"].astype(np.float32), strict=True):
            vectors[texts[number]] = vector
        start += len(batch)
    return vectors
