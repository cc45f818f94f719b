"""A model directory without training, for tests of what is done with directories."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from support.corpora import recipe

from ie_cli.codecs.base import build_codec
from ie_cli.data.label_schema import LabelSchema
from ie_cli.inference.backends.torch import TorchBackend
from ie_cli.inference.extractor import Extractor
from ie_cli.inference.model_directory import TrainedTask
from ie_cli.modeling.encoder import tiny_encoder
from ie_cli.modeling.heads.base import build_head
from ie_cli.modeling.model import ExtractionModel
from ie_cli.reports.model_card import model_card

LABELS = ("person", "place")


def write_model(directory: Path, *, data: str = "train.jsonl", labels: tuple[str, ...] = LABELS) -> Path:
    """Write a tiny model with random weights whose recipe names some data."""
    extractor(data=data, labels=labels).save_pretrained(directory)
    return directory


def extractor(
    *, data: str = "train.jsonl", labels: tuple[str, ...] = LABELS, head: dict[str, object] | None = None
) -> Extractor:
    """Return a tiny model with random weights."""
    made = recipe(Path(data), **({"head": head} if head else {}))
    encoder, tokenizer = tiny_encoder(made.encoder, Counter("王伟在青川大学读书" * 2))
    schema = LabelSchema(labels)
    codec = build_codec(made.head, schema)
    built = build_head(made.head, hidden_size=encoder.config.hidden_size, codec=codec)  # type: ignore[union-attr,arg-type]
    for name, parameter in built.named_parameters():
        if name.endswith("bias.bias"):  # a low initial score would find nothing
            parameter.data.zero_()
    backend = TorchBackend(ExtractionModel(encoder, {made.task: built}), "float32")
    card = model_card(made, {made.task: schema}, {})
    return Extractor(backend, {made.task: TrainedTask(schema)}, tokenizer, made, 0, card=card)
