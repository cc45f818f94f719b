"""Between two log lines, a run never waits for its device: steps run on a device whose values the host cannot look at."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from support.corpora import documents, recipe, relation_documents, write_jsonl
from support.no_sync import BLIND, Copies, blind_device

from ie_cli.modeling.gpu_attention import use_gpu_attention
from ie_cli.recipe.schema import Recipe
from ie_cli.system.signals import Stop
from ie_cli.training import loop
from ie_cli.training.loop import Run
from ie_cli.training.loss_tracker import LossTracker
from ie_cli.training.setup import prepare

STEPS = 4


def blind_run(made: Recipe, output: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Build a run whose model is on the blind device."""
    monkeypatch.setattr("ie_cli.training.setup.prepare_for_training", lambda encoder: None)  # of a CPU
    setup = prepare(made)
    object.__setattr__(setup, "device", BLIND)
    use_gpu_attention(setup.model.encoder)
    setup.model.to(BLIND)
    accelerator = Accelerator(gradient_accumulation_steps=made.training.accumulation)
    monkeypatch.setattr(Accelerator, "device", BLIND)
    monkeypatch.setattr(loop, "build_optimizer", lambda model, section, factors: torch.optim.AdamW(model.parameters()))
    run = Run(made, setup, output, accelerator=accelerator, stop=Stop())
    run.connect()
    return run


def steps_of(run: Run, copies: Copies) -> Iterator[int]:
    """Run some steps as the loop does."""
    run.model.train()
    copies.blocking.clear()  # those of the weights
    while True:
        for batches in run._batches():
            for batch, loss in zip(batches, run._step(batches), strict=True):
                run.tracker.add(loss, run.step + 1, batch, sentences=1.0)
            run.seen += 1
            if run.accelerator.sync_gradients:
                run._finish_step()
                yield run.step
        run.epoch, run.batch = run.epoch + 1, 0


NER = {"head": {"name": "global_pointer"}}
CASES: dict[str, dict[str, Any]] = {
    "global_pointer": NER,
    "efficient_global_pointer": {},
    "several batches in a step": {**NER, "training": {"accumulation": 2}},
    "parts of batches": NER,
    "all techniques": {**NER, "training": {"ema": 0.99, "adversarial": "fgm", "r_drop": 1.0, "label_smoothing": 0.1}},
    "few negatives": {"training": {"negative_sampling": 0.5, "label_weights": {"person": 2.0}, "clip": None}},
    "crf": {"head": {"name": "crf"}},
    "biaffine": {"head": {"name": "biaffine"}},
    "gplinker": {"task": "relation", "head": {"name": "gplinker"}},
    "casrel": {"task": "relation", "head": {"name": "casrel"}},
    "tplinker": {"task": "relation", "head": {"name": "tplinker"}},
}


@pytest.mark.parametrize("case", CASES)
def test_a_run_waits_for_its_device_only_to_log(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sections = dict(CASES[case])
    task = sections.pop("task", "ner")
    data = documents() if task == "ner" else relation_documents(annotated=True)
    made = recipe(write_jsonl(tmp_path / "train.jsonl", data), **sections)
    made = Recipe.model_validate({**made.model_dump(), "task": task})
    with blind_device(monkeypatch) as copies:
        run = blind_run(made, tmp_path / "run", monkeypatch)
        if case == "parts of batches":
            run.micro_batching.parts = 2
        steps = steps_of(run, copies)
        for _ in range(STEPS):
            next(steps)
        assert run.step == STEPS
        assert not copies.blocking
        assert copies.asynchronous >= STEPS
        with pytest.raises(NotImplementedError, match="no data"):  # this is what a log line waits for
            run.tracker.read()


def test_the_device_is_looked_at_once_for_a_log_line(monkeypatch: pytest.MonkeyPatch) -> None:
    tracker, looks = LossTracker({}), list[int]()
    read = torch.Tensor.tolist
    monkeypatch.setattr(torch.Tensor, "tolist", lambda tensor: looks.append(tensor.numel()) or read(tensor))
    for step in range(5):
        tracker.add_norm(torch.tensor(1.0), step)
    tracker.check()
    assert looks == [5]
