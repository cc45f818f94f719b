"""Pairs of texts, and a model that scores them without training: its encoder has random weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch

from ie_cli.codecs.base import build_codec
from ie_cli.data.label_schema import LabelSchema
from ie_cli.document import Document
from ie_cli.inference.backends.torch import TorchBackend
from ie_cli.inference.extractor import Extractor
from ie_cli.inference.model_directory import TrainedTask
from ie_cli.modeling.encoder import tiny_encoder
from ie_cli.modeling.heads.base import build_head
from ie_cli.modeling.model import ExtractionModel
from ie_cli.recipe.schema import Recipe
from ie_cli.reports.model_card import model_card

WORDS = ("red", "blue", "green", "house", "tree", "river")
BINARY = LabelSchema(("0", "1"))


def pairs(count: int = 24, labels: Sequence[str] = ("0", "1")) -> list[Document]:
    """Pairs that share more words the higher their class is; the last ones of a class differ less."""
    made = []
    for number in range(count):
        level = number % len(labels)
        words = [WORDS[(number + step) % len(WORDS)] for step in range(4)]
        kept = 4 * level // max(1, len(labels) - 1)
        other = words[:kept] + [WORDS[(number + step + 2) % len(WORDS)] for step in range(kept, 4)]
        text, second = (" ".join(part) for part in (words, other[::-1]))
        made.append(Document(text, id=number, text_pair=second, label=labels[level]))
    return made


def graded(count: int = 24) -> list[Document]:
    """The same pairs with scores from 0 to 5."""
    levels = tuple("012345")
    return [
        Document(pair.text, id=pair.id, text_pair=pair.text_pair, score=float(pair.label or 0))
        for pair in pairs(count, levels)
    ]


def pair_recipe(train: str = "train.jsonl", **data: object) -> Recipe:
    """A recipe of pairs."""
    return Recipe.model_validate(
        {
            "name": "pairs",
            "task": "match",
            "data": {"train": train, **data},
            "encoder": {"name": "tiny", "max_length": 32, "stride": 8},
            "head": {"name": "cosent"},
            "training": {"precision": "float32", "device": "cpu"},
        }
    )


def write_pair_model(
    directory: Path, recipe: Recipe | None = None, schema: LabelSchema = BINARY, decision: tuple[float, ...] = ()
) -> Path:
    """Write a tiny model of pairs with random weights."""
    torch.manual_seed(0)
    made = pair_recipe() if recipe is None else recipe
    encoder, tokenizer = tiny_encoder(made.encoder, Counter("".join(WORDS) + " "))
    codec = build_codec(made.head, schema)
    head = build_head(made.head, hidden_size=encoder.config.hidden_size, codec=codec)  # type: ignore[union-attr,arg-type]
    backend = TorchBackend(ExtractionModel(encoder, {made.task: head}), "float32")
    card = model_card(made, {made.task: schema}, {})
    task = TrainedTask(schema, decision=decision)
    Extractor(backend, {made.task: task}, tokenizer, made, 0, card=card).save_pretrained(directory)
    return directory
