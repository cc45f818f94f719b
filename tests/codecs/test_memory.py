"""Memory of decoding entities: that of one window at a time, even if every span of every label exceeds its threshold."""

from __future__ import annotations

import tracemalloc
from typing import Any, cast

import numpy as np
import pytest
import torch
from support.heads import HIDDEN, built, codec_of_head

from ie_cli.codecs import tag_margins
from ie_cli.codecs.base import Decoding
from ie_cli.data.label_schema import LabelSchema
from ie_cli.inference.backends.torch import TorchOutputs
from ie_cli.modeling.heads.base import Head

SCHEMA = LabelSchema(tuple(f"label {number}" for number in range(100)))
LENGTH = 64


def peak(name: str, head: Head, batch: int) -> int:
    """Return the peak of numpy's memory, in bytes, of decoding a batch."""
    decoder = codec_of_head(name, SCHEMA).decoder(Decoding(threshold=1e-6))
    outputs = TorchOutputs(head, torch.randn(1, LENGTH, HIDDEN).expand(batch, -1, -1))
    mask = np.ones((batch, LENGTH), dtype=np.bool_)
    tracemalloc.start()
    try:
        decoded = decoder.decode(outputs, mask)
        top = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert decoded.truncated == frozenset(range(batch))
    assert len(decoded.parts["spans"].entries) == batch * 512
    return top


@pytest.mark.parametrize("name", ["efficient_global_pointer", "global_pointer", "biaffine", "crf", "softmax"])
def test_the_windows_of_a_batch_share_the_memory_of_decoding(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tag_margins, "BLOCK_SCORES", 2**13)
    head: Any = built(name, SCHEMA)
    one, many = (peak(name, cast(Head, head), batch) for batch in (1, 8))
    assert many < 1.5 * one
