"""The worker of GLiNER: its batched prediction, on a model built from a config with the shared encoder."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from corpus import Material, count_entities, labels_of, read_sentences, read_texts, write_lines
from gliner import GLiNER, GLiNERConfig
from harness import Reply

Options = Mapping[str, Any]


def characters(text: str) -> Iterator[tuple[str, int, int]]:
    """A word splitter that makes every character except whitespace a word."""
    return ((character, n, n + 1) for n, character in enumerate(text) if not character.isspace())


def start(options: Options) -> tuple[Reply, Callable[[], Reply]]:
    """Predict the entities of a file of texts, with its default batch size."""
    material = Material(Path(options["directory"]))
    labels = labels_of(read_sentences(material.entities))
    torch.manual_seed(0)
    began = time.perf_counter()
    model = GLiNER.from_config(GLiNERConfig(model_name=str(material.encoder)))
    model.to(getattr(torch, options["precision"])).eval()
    if options["words"] == "characters":
        model.data_processor.words_splitter = characters
    loading = time.perf_counter() - began
    padded = 0

    def count(module: Any, arguments: tuple[Any, ...]) -> None:
        nonlocal padded
        padded += arguments[0].numel()

    model.model.token_rep_layer.bert_layer.model.register_forward_pre_hook(count)
    output = material.directory / f"gliner-{options['precision']}-{options['words']}.jsonl"

    def run() -> Reply:
        nonlocal padded
        padded = 0
        began = time.perf_counter()
        texts = read_texts(material.texts)
        found = model.inference(texts, labels)
        write_lines(output, ({"text": a, "entities": b} for a, b in zip(texts, found, strict=True)))
        elapsed = time.perf_counter() - began
        return {"seconds": elapsed, "items": len(texts), "padded_tokens": padded, "spans": count_entities(output)}

    return {"precision": options["precision"], "load_seconds": loading}, run
