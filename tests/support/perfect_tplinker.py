"""Perfect outputs of the head `tplinker`: the tags of pairs of tokens are those of the gold, and 0 elsewhere."""

from __future__ import annotations

import numpy as np
import torch
from support.fakes import FakeOutputs

from ie_cli.codecs.base import Codec
from ie_cli.modeling.batch import Batch
from ie_cli.modeling.losses.handshaking import Tagged


def handshaking(codec: Codec, head: torch.nn.Module, batch: Batch) -> FakeOutputs:
    """Return factors with a unit of the vectors for each gold tag of a sample: 1 at its entry, and -1 at all others."""
    gold = batch.targets
    assert isinstance(gold, Tagged)
    links, (count, length) = len(codec.matrices["start_links"]), batch.input_ids.shape
    sample, column, i, j = gold.entries.numpy().T
    most = max(1, int(np.unique(np.stack([sample, column]), axis=1, return_counts=True)[1].max(initial=0)))
    columns = 1 + 4 * links
    left = np.full((count, 1, length, columns * most), -30, dtype=np.float32)
    right = left.copy()
    used = np.zeros((count, columns), dtype=np.int64)
    for s, c, a, b in zip(sample, column, i, j, strict=True):
        unit = c * most + used[s, c]
        left[s, 0, a, unit] = right[s, 0, b, unit] = 10
        used[s, c] += 1
    weight = np.kron(np.eye(columns, dtype=np.float32), np.full(most, 5, dtype=np.float32))  # [columns, units]
    bias = np.full(columns, 5 * most - 3, dtype=np.float32)  # a score of -3, and of 7 at gold entries
    tags = weight[1:].reshape(2, 2, links, -1)  # [tag, matrix, link, units]
    found = {"entities": [{"left": left, "right": right, "weight": weight[None, :1], "bias": bias[None, :1]}]}
    for matrix, name in enumerate(("start_links", "end_links")):
        found[name] = [{"weight": tags[:, matrix].swapaxes(0, 1)[None], "bias": bias[: 2 * links].reshape(1, links, 2)}]
    return FakeOutputs(found)
