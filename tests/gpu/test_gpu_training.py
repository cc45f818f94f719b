"""Training on a GPU: the losses of a CPU, no wait for the device in a step, real lack of memory, exact resumption."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.utils import set_seed
from safetensors.torch import load_file
from support.corpora import documents, recipe, relation_documents, write_jsonl
from support.gpu import AUTO
from support.pair_corpora import pair_documents
from support.stopping import StopAfter
from support.two_tasks import two_tasks

from ie_cli.document import Document
from ie_cli.recipe.heads import HEADS
from ie_cli.recipe.schema import Recipe
from ie_cli.system.signals import Stop, Stopped
from ie_cli.training.events import Finished, Halved
from ie_cli.training.loop import Run
from ie_cli.training.run import train
from ie_cli.training.setup import prepare

MADE: dict[str, Callable[[], list[Document]]] = {
    "ner": documents,
    "relation": lambda: relation_documents(annotated=True),
    "match": lambda: pair_documents(32, classes=3),
}
NO_DROPOUT = {"dropout": 0.0, "attention_dropout": 0.0}
CLOSE = 2e-3
"""The relative difference of losses between devices after some steps in float32, whose sums are added in other orders."""


def recipe_of(
    head: str, directory: Path, *, device: str, encoder: dict[str, Any] | None = None, **training: Any
) -> Recipe:
    """A recipe for a head on some device, without dropout."""
    [task] = HEADS[head].tasks
    data = directory / f"{task}.jsonl"
    if not data.exists():
        write_jsonl(data, MADE[task]())
    made = recipe(
        data,
        data={"dev": None},
        encoder={**NO_DROPOUT, **(encoder or {})},
        training={"device": device, "trackers": [], **training},
    ).model_dump()
    return Recipe.model_validate({**made, "task": task, "head": {"name": head}})


def run_of(made: Recipe, output: Path) -> Run:
    """A run before its first step; its weights are drawn on the CPU."""
    set_seed(0)
    run = Run.start(made, prepare(made), output, stop=Stop())
    run.model.train()
    return run


def steps_of(run: Run) -> Iterator[list[torch.Tensor | None]]:
    """Run steps as the loop does, and yield their losses."""
    while True:
        for batches in run._batches():
            losses = run._step(batches)
            for batch, loss in zip(batches, losses, strict=True):
                run.tracker.add(loss, run.step + 1, batch, sentences=1.0)
            run.seen += 1
            if run.accelerator.sync_gradients:
                run._finish_step()
            yield losses
        run.epoch, run.batch = run.epoch + 1, 0


def losses_of(made: Recipe, output: Path, steps: int) -> list[float]:
    """The losses of some steps."""
    found = steps_of(run_of(made, output))
    return [float(loss) for _ in range(steps) for loss in next(found) if loss is not None]


@contextmanager
def waiting_is_an_error() -> Iterator[None]:
    """Let every operation that waits for the device fail."""
    if torch.cuda.is_available():
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        if torch.cuda.is_available():
            torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("head", HEADS)
def test_the_losses_are_those_of_a_cpu(head: str, tmp_path: Path) -> None:
    found, expected = (
        losses_of(recipe_of(head, tmp_path, device=device), tmp_path / device, 6) for device in (AUTO, "cpu")
    )
    assert found == pytest.approx(expected, rel=CLOSE, abs=1e-5)
    assert len(set(found)) > 1


TECHNIQUES: dict[str, dict[str, Any]] = {
    "adversarial": {"adversarial": "fgm"},
    "ema": {"ema": 0.99},
    "label smoothing": {"label_smoothing": 0.1},
    "accumulation": {"accumulation": 2},
    "layer-wise decay": {"layer_decay": 0.9},
}


@pytest.mark.parametrize("technique", TECHNIQUES)
def test_techniques_have_the_losses_of_a_cpu(technique: str, tmp_path: Path) -> None:
    options = TECHNIQUES[technique]
    found, expected = (
        losses_of(recipe_of("efficient_global_pointer", tmp_path, device=device, **options), tmp_path / device, 6)
        for device in (AUTO, "cpu")
    )
    assert found == pytest.approx(expected, rel=CLOSE)


@pytest.mark.parametrize(
    "balance",
    ["log", "generalised_mean", "prior", "grad_norm", "min_norm", "upgrad", "pcgrad", "cagrad", "aligned_mtl", "imtl"],
)
def test_balancing_has_the_losses_of_a_cpu(balance: str, tmp_path: Path) -> None:
    found, expected = (
        losses_of(two_tasks(tmp_path, dropout=0.0, device=device, balance=balance), tmp_path / device, 6)
        for device in (AUTO, "cpu")
    )
    assert found == pytest.approx(expected, rel=10 * CLOSE)


ALL = {"ema": 0.99, "adversarial": "fgm", "r_drop": 1.0, "label_smoothing": 0.1}
STEPS: dict[str, tuple[str, dict[str, Any]]] = {
    **{head: (head, {}) for head in HEADS},
    "all techniques": ("global_pointer", {**ALL, "encoder": {"dropout": 0.1}}),
    "few negatives": ("efficient_global_pointer", {"negative_sampling": 0.5, "label_weights": {"person": 2.0}}),
    "accumulation": ("global_pointer", {"accumulation": 2}),
    "bfloat16": ("efficient_global_pointer", {"precision": "bfloat16"}),
    "bfloat16, gplinker": ("gplinker", {"precision": "bfloat16"}),
    "float16": ("efficient_global_pointer", {"precision": "float16"}),
}


@pytest.mark.parametrize("case", STEPS)
def test_a_step_does_not_wait_for_the_device(case: str, tmp_path: Path) -> None:
    head, options = STEPS[case]
    run = run_of(recipe_of(head, tmp_path, device=AUTO, **options), tmp_path / "run")
    steps = steps_of(run)
    for _ in range(2):  # libraries are loaded and states created
        next(steps)
    if case == "float16":  # the scaling of losses looks once a step whether the gradient is finite
        next(steps)
    else:
        with waiting_is_an_error():
            for _ in range(4):
                next(steps)
    assert run.tracker.read()[0] > 0


@pytest.mark.parametrize("precision", ["bfloat16", "float16", "float32"])
def test_every_precision_learns(precision: str, tmp_path: Path) -> None:
    data = write_jsonl(tmp_path / "train.jsonl", documents())
    made = recipe(data, training={"precision": precision, "device": AUTO, "eval_every": 1000})
    [finished] = [event for event in train(made, tmp_path / "run") if isinstance(event, Finished)]
    [scores] = finished.scores["dev"].values()
    assert scores.f1 > 0.9  # type: ignore[attr-defined]


@pytest.mark.parametrize("head", ["efficient_global_pointer", "gplinker", "crf", "cosent"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_resumed_run_has_the_weights_of_one_that_was_not_stopped(head: str, precision: str, tmp_path: Path) -> None:
    """With dropout, whose random numbers are drawn on the device."""
    made = recipe_of(head, tmp_path, device=AUTO, encoder={"dropout": 0.2}, epochs=4, precision=precision)
    list(train(made, tmp_path / "straight"))
    with pytest.raises(Stopped):
        list(train(made, tmp_path / "run", stop=StopAfter(7)))
    list(train(made, tmp_path / "run", resume=True))
    one, other = (load_file(tmp_path / name / "model" / "model.safetensors") for name in ("straight", "run"))
    for name, tensor in one.items():
        torch.testing.assert_close(other[name], tensor, rtol=1e-3, atol=1e-4, msg=name)


def test_batches_that_do_not_fit_into_memory_are_divided(tmp_path: Path) -> None:
    """The process may use a small share of the GPU's memory; the whole batch needs more."""
    long = [
        Document("".join(document.text for document in documents()) * 2, id=number) for number in range(64)
    ] + documents()
    data = write_jsonl(tmp_path / "long.jsonl", long)
    encoder = {"max_length": 512, "layers": 4}
    options = {"device": AUTO, "batch_size": 64, "epochs": 2, "precision": "float32"}
    made = recipe(data, data={"dev": None}, encoder=encoder, training=options)
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_allocated() + 5e8) / total)
    try:
        events = list(train(made, tmp_path / "run"))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert any(isinstance(event, Halved) for event in events)
    assert isinstance(events[-1], Finished)


def test_compiled_steps_have_the_same_losses(tmp_path: Path) -> None:
    plain, compiled = (
        losses_of(recipe_of("efficient_global_pointer", tmp_path, device=AUTO, compile=on), tmp_path / str(on), 6)
        for on in (False, True)
    )
    assert compiled == pytest.approx(plain, rel=CLOSE)
