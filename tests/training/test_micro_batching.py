"""Where memory does not suffice, a batch is computed in parts, with the same gradient."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support.corpora import documents, recipe, relation_documents, relation_recipe, write_jsonl

from ie_cli.errors import TrainingError
from ie_cli.modeling.batch import Batch
from ie_cli.modeling.model import ExtractionModel
from ie_cli.recipe.schema import Recipe
from ie_cli.training import loop
from ie_cli.training.batching import build_batches
from ie_cli.training.events import Finished, Halved
from ie_cli.training.micro_batching import MicroBatching, split
from ie_cli.training.run import train
from ie_cli.training.setup import TrainingSetup, prepare

WITHOUT_DROPOUT = {"name": "tiny", "max_length": 64, "stride": 16, "dropout": 0.0, "attention_dropout": 0.0}


def ner(directory: Path) -> Recipe:
    return recipe(write_jsonl(directory / "train.jsonl", documents()), encoder=WITHOUT_DROPOUT)


def relations(directory: Path) -> Recipe:
    file = write_jsonl(directory / "train.jsonl", relation_documents(annotated=True))
    return relation_recipe(file, encoder=WITHOUT_DROPOUT)


def some(setup: TrainingSetup, made: Recipe, count: int) -> Batch:
    """The first windows of the one task."""
    mixture, _ = build_batches(setup, made.training)
    return mixture.__getitems__(list(range(count)))


@pytest.mark.parametrize("made", [ner, relations])
@pytest.mark.parametrize("parts", [2, 3, 8, 64])
def test_the_parts_of_a_batch_have_its_loss_and_gradient(made: object, parts: int, tmp_path: Path) -> None:
    setup = prepare(made(tmp_path))  # type: ignore[operator]
    model = setup.model.double()
    batch = some(setup, made(tmp_path), 8)  # type: ignore[operator]

    def summed(part: Batch) -> torch.Tensor:
        return torch.stack(list(model(part).values())).sum()

    summed(batch).backward()
    expected = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    loss = float(summed(batch).detach())
    model.zero_grad()
    total = 0.0
    pieces = list(split(batch, parts))
    assert len(pieces) == min(parts, 8)
    for piece in pieces:
        assert piece.input_ids.shape[1] == int(piece.attention_mask.sum(1).max())  # no padding that only others needed
        part = summed(piece) * (len(piece.input_ids) / 8)
        part.backward()
        total += float(part.detach())
    assert total == pytest.approx(loss, rel=1e-9)
    for name, parameter in model.named_parameters():
        if name in expected:
            torch.testing.assert_close(parameter.grad, expected[name], rtol=1e-5, atol=1e-8)
    assert sum((piece.documents for piece in pieces), []) == batch.documents
    assert batch.targets
    for matrix, gold in batch.targets.items():
        assert sum(len(piece.targets[matrix].entries) for piece in pieces) == len(gold.entries) > 0


class Small:
    """Memory for so many windows at a time: what is asked beyond runs out in the forward or in the backward pass."""

    def __init__(self, windows: int, kind: type[BaseException] | str) -> None:
        self.windows, self.kind, self.met = windows, kind, 0

    def check(self, batch: Batch) -> None:
        if len(batch.input_ids) > self.windows:
            self.met += 1
            if self.kind == "cpu":
                raise RuntimeError(
                    "[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: 9 bytes"
                )
            if self.kind == "onednn":
                raise RuntimeError("could not create a primitive")
            raise torch.OutOfMemoryError("CUDA out of memory.")


@pytest.mark.parametrize("kind", ["cpu", "gpu", "onednn"])
@pytest.mark.parametrize("late", [False, True])
def test_training_continues_in_parts_and_reports_it(
    kind: str, late: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = ner(tmp_path)
    made = made.model_copy(
        update={"training": made.training.model_copy(update={"epochs": 2, "accumulation": 2, "batch_size": 8})}
    )
    whole = list(train(made, tmp_path / "whole"))[-1]
    memory = Small(3, kind)
    real = loop.Run._backward

    def backward(run: loop.Run, part: Batch, share: float) -> torch.Tensor:
        if late:  # some of the gradient is there already
            loss = real(run, part, share)
            memory.check(part)
            return loss
        memory.check(part)
        return real(run, part, share)

    monkeypatch.setattr(loop.Run, "_backward", backward)
    events = list(train(made, tmp_path / "parts"))
    halved = [event for event in events if isinstance(event, Halved)]
    assert [(event.step, event.parts) for event in halved] == [(1, 2), (1, 4)]  # a batch of 4 windows, then one of 8
    assert memory.met == 2
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert isinstance(whole, Finished)
    assert finished.steps == whole.steps
    one, other = (torch_weights(tmp_path / name) for name in ("whole", "parts"))
    for name in one:
        torch.testing.assert_close(other[name], one[name], rtol=1e-3, atol=1e-4)


def torch_weights(output: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(output / "model" / "model.safetensors")


def test_too_little_memory_for_one_window_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = Small(0, "gpu")
    monkeypatch.setattr(loop.Run, "_backward", lambda run, part, share: memory.check(part))
    with pytest.raises(TrainingError, match="out of memory, even with one window at a time") as error:
        list(train(ner(tmp_path), tmp_path / "run"))
    assert "gradient_checkpointing" in str(error.value.hint)


def test_other_errors_are_not_taken_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object) -> None:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(ExtractionModel, "forward", broken)
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        list(train(ner(tmp_path), tmp_path / "run"))


def test_the_memory_of_a_failed_part_is_free_before_the_next(tmp_path: Path) -> None:
    import weakref

    setup = prepare(ner(tmp_path))
    batch = some(setup, ner(tmp_path), 4)
    held: list[weakref.ref[torch.Tensor]] = []

    def backward(part: Batch, share: float) -> torch.Tensor:
        assert all(reference() is None for reference in held)
        large = torch.zeros(1000)
        held.append(weakref.ref(large))
        if len(part.input_ids) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return large.sum()

    assert float(MicroBatching(backward, lambda: None).add(batch, last=True)) == 0.0
    assert len(held) == 1 + 1 + 4
