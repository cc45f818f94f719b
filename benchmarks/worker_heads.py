"""The worker of `heads_speed.py`: training of a recipe, and extraction with a trained model."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from harness import Reply
from worker_ours import Ready, train_epoch

from ie_cli.system.cores import share_cores


def start(options: Mapping[str, Any]) -> Ready:
    """Run the job that `options` name: train or predict."""
    share_cores()
    facts, run = {"train": train, "predict": predict}[options["job"]](options)
    return facts, lambda: run() | gpu_memory()


def gpu_memory() -> Reply:
    """Return the peak of the memory that torch allocated on a GPU, in MB; nothing without one."""
    import torch

    return {"gpu_mb": torch.cuda.max_memory_allocated() / 2**20} if torch.cuda.is_available() else {}


def train(options: Mapping[str, Any]) -> Ready:
    """Run an epoch of the real loop."""
    from ie_cli.recipe.loader import load_recipe

    return train_epoch(load_recipe(options["recipe"], options["settings"]))


def predict(options: Mapping[str, Any]) -> Ready:
    """Extract from texts that are in memory."""
    from ie_cli.document import Document
    from ie_cli.formats import read_documents
    from ie_cli.inference.extractor import Extractor

    extractor = Extractor.from_pretrained(options["model"])
    texts = [Document(document.text) for document in read_documents(options["data"], format=options["format"])]

    def run() -> Reply:
        began = time.perf_counter()
        found = list(extractor.extract(texts))
        seconds = time.perf_counter() - began
        items = sum(len(document.relations or document.entities) for document in found)
        return {"seconds": seconds, "items": len(texts), "found": items}

    return {}, run
