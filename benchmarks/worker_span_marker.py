"""The worker of SpanMarker: its batched prediction, on a new model with the shared encoder."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from corpus import Material, count_entities, labels_of, read_sentences, read_texts, write_lines
from harness import Reply
from span_marker import SpanMarkerModel

Options = Mapping[str, Any]


def start(options: Options) -> tuple[Reply, Callable[[], Reply]]:
    """Predict the entities of the first texts of a file, with its default batch size."""
    material = Material(Path(options["directory"]))
    labels = ["O", *labels_of(read_sentences(material.entities))]
    torch.manual_seed(0)
    began = time.perf_counter()
    model = SpanMarkerModel.from_pretrained(str(material.encoder), labels=labels).eval()
    loading = time.perf_counter() - began
    padded = 0

    def count(module: Any, arguments: tuple[Any, ...]) -> None:
        nonlocal padded
        padded += arguments[0].numel()

    model.encoder.register_forward_pre_hook(count)
    output = material.directory / "span_marker.jsonl"

    def run() -> Reply:
        nonlocal padded
        padded = 0
        began = time.perf_counter()
        texts = read_texts(material.texts, options["sentences"])
        # A list of texts without spaces is taken for the words of one sentence; a space at the end changes nothing else.
        found = model.predict([texts[0] + " ", *texts[1:]])
        write_lines(output, ({"text": a, "entities": b} for a, b in zip(texts, found, strict=True)))
        elapsed = time.perf_counter() - began
        return {"seconds": elapsed, "items": len(texts), "padded_tokens": padded, "spans": count_entities(output)}

    return {"precision": "float32", "load_seconds": loading}, run
