"""A backend that gives each text a vector that depends on its tokens alone, and counts what it encodes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from support.fakes import FakeOutputs, characters

from ie_cli.encoding.tokenizer import TextTokenizer
from ie_cli.encoding.windows import WindowPlan
from ie_cli.inference.pipeline import Engine, Extraction

SIZE = 6


class Pooled:
    """The mean of a fixed random vector per token."""

    def __init__(self) -> None:
        self.table = np.random.default_rng(0).normal(size=(1000, SIZE)).astype(np.float32)
        self.encoded: list[tuple[int, ...]] = []
        self.shapes: list[tuple[int, ...]] = []

    def run(self, input_ids: npt.NDArray[np.int64], attention_mask: npt.NDArray[np.bool_]) -> dict[str, FakeOutputs]:
        self.shapes.append(input_ids.shape)
        rows = [tuple(ids[mask].tolist()) for ids, mask in zip(input_ids, attention_mask, strict=True)]
        self.encoded += rows
        vectors = np.stack([self.table[list(row)].mean(axis=0) for row in rows])
        return {"match": FakeOutputs({"pairs": [{"vector": vectors}]})}


def vector_engine(backend: Any, *, max_length: int = 12, **options: Any) -> Engine:
    """An engine over the character tokenizer, whose only task gives texts vectors."""
    tokenizer = TextTokenizer(characters())
    plan = WindowPlan.build(max_length=max_length, stride=0, special_tokens=tokenizer.special_tokens)
    part = Extraction("match", cast(Any, SimpleNamespace(reads="texts")), cast(Any, None))
    return Engine(backend, tokenizer, plan, (part,), **{"batch_size": 3, "lookahead": 5, **options})
