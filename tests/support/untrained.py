"""A model folder without training, for tests of what is done with folders."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from support.corpora import recipe

from ie_cli.data.label_schema import LabelSchema
from ie_cli.inference.backends.torch import TorchBackend
from ie_cli.inference.extractor import Extractor
from ie_cli.modeling.encoder import tiny_encoder
from ie_cli.modeling.model import SpanModel, build_head


def write_model(folder: Path, *, data: str = "train.jsonl", labels: tuple[str, ...] = ("person", "place")) -> Path:
    """Write a tiny model with random weights whose recipe names some data."""
    made = recipe(Path(data))
    encoder, tokenizer = tiny_encoder(made.encoder, Counter("王伟在青川大学读书" * 2))
    schema = LabelSchema(labels)
    head = build_head(made.head, hidden_size=encoder.config.hidden_size, schema=schema)  # type: ignore[union-attr,arg-type]
    Extractor(TorchBackend(SpanModel(encoder, head), "float32"), schema, tokenizer, made, 0).save_pretrained(folder)
    return folder
