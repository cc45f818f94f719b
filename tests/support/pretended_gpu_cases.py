"""Train and predict on a GPU that does not exist, and print a line of JSON for each case: its name, and its error or null.

LD_PRELOAD=pretended_gpu.so python -m support.pretended_gpu_cases
"""

from __future__ import annotations

import json
import sys
import tempfile
import traceback
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from support.corpora import documents, recipe, relation_documents, write_jsonl
from support.heads import PAIR_HEADS, WINDOW_HEADS, schema_of_head
from support.pair_corpora import pair_documents
from support.pair_engines import TEXT, extractor_of
from support.pretended_gpu import moved, on_the_cpu, pretend, replace
from support.two_tasks import NAMES, two_tasks
from torch import Tensor

from ie_cli.document import Document
from ie_cli.recipe.heads import HEADS
from ie_cli.recipe.schema import Recipe

STEPS = 3
TECHNIQUES: dict[str, dict[str, Any]] = {
    "all techniques": {"ema": 0.99, "adversarial": "fgm", "r_drop": 1.0, "label_smoothing": 0.1},
    "negative sampling": {"negative_sampling": 0.5, "label_weights": {"person": 2.0}},
    "accumulation": {"accumulation": 2},
    "bfloat16": {"precision": "bfloat16"},
    "float16": {"precision": "float16"},
}
COMPARING = ("log", "generalised_mean", "grad_norm", "min_norm", "upgrad", "pcgrad", "cagrad", "aligned_mtl", "imtl")
BALANCING: dict[str, dict[str, Any]] = {
    **{name: {"name": name} for name in COMPARING},
    "main_auxiliary": {"name": "main_auxiliary", "main": NAMES},
    "representation": {"name": "min_norm", "by": "loss", "at": "representation"},
}
CASES = (
    *(f"training: {name}" for name in (*HEADS, *TECHNIQUES, *BALANCING)),
    *(f"prediction: {head}" for head in (*WINDOW_HEADS, *PAIR_HEADS)),
)


def training_recipe(directory: Path, head: str = "efficient_global_pointer", **training: Any) -> Recipe:
    """A recipe with dropout, for a head."""
    [task] = HEADS[head].tasks
    made = {
        "ner": documents,
        "relation": lambda: relation_documents(annotated=True),
        "match": lambda: pair_documents(32, classes=3),
    }[task]()
    data = write_jsonl(directory / "train.jsonl", made)
    whole = recipe(
        data, data={"dev": None}, encoder={"dropout": 0.1}, training={"device": "auto", "trackers": [], **training}
    )
    return Recipe.model_validate({**whole.model_dump(), "task": task, "head": {"name": head}})


def trained(mode: Any, made: Recipe, output: Path, *, waits: list[int]) -> None:
    """Compute some steps; `waits` has an element for each wait, of which only balancing may have one in a step."""
    from ie_cli.system.signals import Stop
    from ie_cli.training.loop import Run
    from ie_cli.training.setup import prepare

    with mode:
        setup = prepare(made)
        moved(setup.model)
        run = Run.start(made, setup, output, stop=Stop())
    run.model.train()
    waits.clear()
    for batches in islice(run._batches(), STEPS):
        with mode:
            losses = run._step(batches)
        for batch, loss in zip(batches, losses, strict=True):
            run.tracker.add(loss, run.step + 1, batch, sentences=1.0)
            assert loss is None or loss.device.type == "cuda"
        run.seen += 1
        if run.accelerator.sync_gradients:
            run._finish_step()
    allowed = STEPS if made.training.balance.name != "sum" else 0
    assert len(waits) <= allowed, f"{len(waits)} waits in {STEPS} steps"


def predicted(mode: Any, head: str) -> None:
    """Predict texts in several batches."""
    from ie_cli.data.label_schema import LabelSchema
    from ie_cli.inference.model_directory import TrainedTask
    from ie_cli.inference.pipeline import extract
    from ie_cli.modeling.gpu_attention import prepare_for_device

    schema = schema_of_head(head)
    schema = LabelSchema(schema.labels) if HEADS[head].tasks == ("ner",) else schema
    extractor = extractor_of({"first": ({"name": head}, TrainedTask(schema))}, max_length=48)
    with mode:
        moved(extractor.backend.model)
    prepare_for_device(extractor.backend.model.encoder, torch.device("cuda"))
    pair = head in PAIR_HEADS
    given = [
        Document(TEXT[: 5 + number % 30], text_pair=TEXT[3 : 9 + number % 7] if pair else None) for number in range(40)
    ]
    engine = extractor.engine(batch_size=16, threshold=0.3, split="never")
    assert engine.ahead == 1
    with mode:
        assert len(list(extract(engine, given))) == len(given)


def with_invented_numbers(waits: list[int]) -> None:
    """Let everything that brings numbers from the GPU invent them: each place where the host may wait for it."""
    from ie_cli.modeling import device_queue
    from ie_cli.modeling.batch import Batch
    from ie_cli.training.balancing import by_torchjd, representation, step_weights
    from ie_cli.training.batching import TaskWindows

    random = np.random.default_rng(0)

    def bring(self: Any, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
        made = {}
        for name, tensor in tensors.items():
            assert tensor.device.type == "cuda", (name, tensor.device)
            numbers = random.normal(-2.0, 2.0, tuple(tensor.shape))
            kind = str(tensor.dtype).removeprefix("torch.")
            made[name] = numbers > 1.0 if kind == "bool" else numbers.clip(0).astype(kind) if "int" in kind else numbers
        return made

    def read_numbers(scalars: Any) -> Any:
        waits.append(len(scalars))
        assert all(scalar.device.type == "cuda" for scalar in scalars)
        return 1.0 + random.random(len(scalars))

    for queue in (device_queue.SideStream, device_queue.InOrder):
        replace(queue, bring=bring)
    for module in (step_weights, representation):
        replace(module, read_numbers=read_numbers)
    replace(by_torchjd.ByTorchJD, weights=lambda self, losses, gram, present: present * 1.0)
    replace(TaskWindows, batch=on_the_cpu(TaskWindows.batch))
    part_of = on_the_cpu(Batch.part)

    def part(self: Batch, *args: Any) -> Batch:
        if self.text_mask.device.type == "cpu":
            return part_of(self, *args)  # type: ignore[no-any-return]
        waits.append(1)
        return self

    replace(Batch, part=part)


def main() -> None:
    """Run all cases."""
    waits: list[int] = []
    mode = pretend(waits)
    with_invented_numbers(waits)

    for name in CASES:
        with tempfile.TemporaryDirectory() as directory:
            line = json.dumps({"case": name, "error": _error_of(mode, name, Path(directory), waits)})
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


def _run(mode: Any, name: str, directory: Path, waits: list[int]) -> None:
    kind, _, what = name.partition(": ")
    if kind == "prediction":
        predicted(mode, what)
        return
    if what == "representation":
        made = training_recipe(directory, "gplinker", balance=BALANCING[what])
    elif what in BALANCING:
        made = two_tasks(directory, dropout=0.0, device="auto", balance=BALANCING[what])
    elif what in TECHNIQUES:
        made = training_recipe(directory, **TECHNIQUES[what])
    else:
        made = training_recipe(directory, what)
    trained(mode, made, directory / "run", waits=waits)


def _error_of(mode: Any, name: str, directory: Path, waits: list[int]) -> str | None:
    try:
        _run(mode, name, directory, waits)
    except Exception:
        return traceback.format_exc()
    return None


if __name__ == "__main__":
    main()
