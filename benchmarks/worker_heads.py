"""The worker of `heads_speed.py`: training of a recipe, and extraction with a trained model."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from harness import Reply
from worker_ours import Saving, watch_training

from ie_cli.system.cores import share_cores

Ready = tuple[Reply, Callable[[], Reply]]


def start(options: Mapping[str, Any]) -> Ready:
    """Run the job that `options` name: train or predict."""
    share_cores()
    return {"train": train, "predict": predict}[options["job"]](options)


def train(options: Mapping[str, Any]) -> Ready:
    """Run an epoch of the real loop, from the event `Started` until the model would be saved."""
    from ie_cli.recipe.loader import load_recipe
    from ie_cli.system.memory import keep_freed_memory
    from ie_cli.training import run as training

    keep_freed_memory()  # as `ie train` does
    recipe = load_recipe(options["recipe"], options["settings"])
    watch = watch_training()

    def run() -> Reply:
        with tempfile.TemporaryDirectory() as directory:
            os.environ["IE_CACHE"] = directory  # nothing is reused from an earlier round
            events = training.train(recipe, Path(directory) / "run")
            started = next(events)
            began = time.perf_counter()
            with suppress(Saving):
                for _ in events:
                    pass
        [task] = started.tasks.values()
        return {"seconds": watch.ended - began, "items": len(task.dataset), "steps": started.steps}

    return {}, run


def predict(options: Mapping[str, Any]) -> Ready:
    """Extract from texts that are in memory."""
    from ie_cli.document import Document
    from ie_cli.formats import read_documents
    from ie_cli.inference.extractor import Extractor

    extractor = Extractor.from_pretrained(options["model"], device="cpu", precision="float32")
    texts = [Document(document.text) for document in read_documents(options["data"], format=options["format"])]

    def run() -> Reply:
        began = time.perf_counter()
        found = list(extractor.extract(texts))
        seconds = time.perf_counter() - began
        items = sum(len(document.relations or document.entities) for document in found)
        return {"seconds": seconds, "items": len(texts), "found": items}

    return {}, run
