"""Models with random weights for pairs of texts, and for pairs next to other tasks, without training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from support.corpora import PEOPLE, PLACES, recipe

from ie_cli.codecs.base import build_codec
from ie_cli.data.label_schema import LabelSchema
from ie_cli.inference.backends.torch import TorchBackend
from ie_cli.inference.extractor import Extractor
from ie_cli.inference.model_directory import TrainedTask
from ie_cli.modeling.encoder import tiny_encoder
from ie_cli.modeling.heads.base import build_head
from ie_cli.modeling.model import ExtractionModel
from ie_cli.recipe.heads import HEADS
from ie_cli.recipe.schema import Recipe

CLASSES = LabelSchema(("different", "related", "same"))
BINARY = LabelSchema(("0", "1"))
GRADES = LabelSchema((), grades=(0.0, 5.0))
TEXT = "".join((*PEOPLE, *PLACES, "在大学读书，第年。0123456789"))


def extractor_of(tasks: Mapping[str, tuple[dict[str, Any], TrainedTask]], *, max_length: int = 24) -> Extractor:
    """Return a model of some tasks, given by the sections of their heads and what they have learned."""
    torch.manual_seed(0)
    fields = recipe(Path("train.jsonl")).model_dump(exclude={"task", "data", "head", "tasks"})
    fields["encoder"] |= {"max_length": max_length, "stride": 4}
    data = {"train": "train.jsonl"}
    sections = {
        name: {"task": HEADS[head["name"]].tasks[0], "data": data, "head": head} for name, (head, _) in tasks.items()
    }
    made = Recipe.model_validate({**fields, "tasks": sections})
    encoder, tokenizer = tiny_encoder(made.encoder, Counter(TEXT * 2))
    heads: dict[str, Any] = {
        name: build_head(
            made.instances()[name].head,
            hidden_size=encoder.config.hidden_size,  # type: ignore[union-attr,arg-type]
            codec=build_codec(made.instances()[name].head, task.schema),
        )
        for name, (_, task) in tasks.items()
    }
    for head in heads.values():  # or those that start at 0 would score everything alike
        for parameter in head.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
    backend = TorchBackend(ExtractionModel(encoder, heads), "float32")
    return Extractor(backend, {name: task for name, (_, task) in tasks.items()}, tokenizer, made, 0)


@dataclass
class Counted:
    """A backend that records the sequences that it encodes."""

    backend: Any
    sequences: list[tuple[int, ...]] = field(default_factory=list)
    batches: int = 0

    def run(self, input_ids: Any, attention_mask: Any) -> Any:
        self.batches += 1
        self.sequences += [
            tuple(np.asarray(row)[mask].tolist()) for row, mask in zip(input_ids, attention_mask, strict=True)
        ]
        return self.backend.run(input_ids, attention_mask)

    def query(self, *arguments: Any) -> Any:
        return self.backend.query(*arguments)
