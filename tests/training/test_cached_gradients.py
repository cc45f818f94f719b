"""A loss that compares the pairs of a step is the same whether they fit into memory at once or in parts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from support.corpora import documents, write_jsonl
from support.pair_corpora import pair_recipe, write_pairs
from support.stopping import StopAfter
from torch import Tensor

from ie_cli.modeling.batch import Batch
from ie_cli.modeling.model import ExtractionModel
from ie_cli.recipe.schema import Recipe
from ie_cli.system.signals import Stopped
from ie_cli.training.batching import build_batches
from ie_cli.training.cached_gradients import CachedGradients
from ie_cli.training.events import Finished, Halved, Progress
from ie_cli.training.micro_batching import MicroBatching, split
from ie_cli.training.run import train
from ie_cli.training.setup import TrainingSetup, prepare

COMPARING: list[dict[str, object]] = [
    {"name": "cosent"},
    {"name": "cosent", "pooling": "first_last"},
    {"name": "cross_encoder", "loss": "cosent"},
]
comparing = pytest.mark.parametrize("head", COMPARING, ids=["cosent", "first_last", "cross_encoder"])


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pairs(tmp_path_factory.mktemp("pairs"), classes=3)


def prepared(file: Path, head: dict[str, object]) -> tuple[TrainingSetup, Callable[[int, int], Batch]]:
    """A model with dropout in training mode, and a function for the batch of some pairs."""
    made = pair_recipe(file, head=head)
    setup = prepare(made)
    setup.model.train()
    mixture, _ = build_batches(setup, made.training)
    return setup, lambda first, end: mixture.__getitems__(list(range(first, end)))


def micro_batching(setup: TrainingSetup, parts: int, accumulation: int = 1) -> MicroBatching:
    model = setup.model

    def backward(part: Batch, share: float) -> Tensor:
        loss = torch.stack(list(model(part).values())).sum()
        (loss * share).backward()
        return loss.detach()

    return MicroBatching(
        backward, model.zero_grad, parts, cached=CachedGradients(model, None, accumulation=accumulation)
    )


def gradients(model: ExtractionModel) -> dict[str, Tensor]:
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return found


def at_once(model: ExtractionModel, parts: list[Batch], whole: Batch, factor: float) -> tuple[float, dict[str, Tensor]]:
    """The loss of all parts in one graph, with the random numbers that they draw one after the other."""
    head = model.head(whole.task)
    read = torch.cat([model(part, read_only=True)[part.task] for part in parts])
    [loss] = head.losses(read, whole.text_mask, whole.targets).values()
    (factor * loss).backward()
    return float(loss.detach()), gradients(model)


def require_equal(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    largest = max(float(tensor.abs().max()) for tensor in expected.values())
    assert largest > 1e-4
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-3, atol=1e-5 * largest)


@comparing
@pytest.mark.parametrize("parts", [2, 3, 8])
def test_the_gradient_of_parts_is_that_of_the_whole(head: dict[str, object], parts: int, file: Path) -> None:
    setup, batch_of = prepared(file, head)
    whole = batch_of(0, 8)
    torch.manual_seed(1)
    loss, expected = at_once(setup.model, list(split(whole, parts)), whole, 1.0)
    after = torch.get_rng_state()
    torch.manual_seed(1)
    found = micro_batching(setup, parts).add(whole, last=True)
    assert found is not None
    assert float(found) == pytest.approx(loss, rel=1e-5)
    require_equal(gradients(setup.model), expected)
    assert torch.equal(torch.get_rng_state(), after)  # no part has drawn other numbers in the second pass


@comparing
@pytest.mark.parametrize("parts", [1, 2])
def test_accumulated_batches_have_one_loss(head: dict[str, object], parts: int, file: Path) -> None:
    setup, batch_of = prepared(file, head)
    batches = [batch_of(0, 8), batch_of(8, 13), batch_of(13, 16)]
    torch.manual_seed(1)
    each = [part for batch in batches for part in split(batch, parts)]
    loss, expected = at_once(setup.model, each, batch_of(0, 16), 3.0)  # accelerate divides by the number of batches
    torch.manual_seed(1)
    added = micro_batching(setup, parts, accumulation=3)
    assert added.add(batches[0], last=False) is None
    assert added.add(batches[1], last=False) is None
    found = added.add(batches[2], last=True)
    assert found is not None
    assert float(found) == pytest.approx(loss, rel=1e-5)
    require_equal(gradients(setup.model), expected)
    again = added.add(batches[0], last=True)  # the next step has none of them
    assert again is not None
    alone = float(torch.stack(list(setup.model.eval()(batches[0]).values())).sum().detach())
    assert float(again) == pytest.approx(alone, rel=0.5)


def test_a_sum_of_losses_of_parts_is_another_loss(file: Path) -> None:
    setup, batch_of = prepared(file, {"name": "cosent"})
    setup.model.eval()
    whole = batch_of(0, 8)
    [loss] = setup.model(whole).values()
    parts = [next(iter(setup.model(part).values())) for part in split(whole, 2)]
    assert (loss - torch.stack(parts).mean()).abs().item() > 0.1


def test_heads_whose_losses_are_means_wait_for_nothing(file: Path) -> None:
    setup, batch_of = prepared(file, {"name": "sbert"})
    added = micro_batching(setup, 1, accumulation=2)
    assert added.add(batch_of(0, 4), last=False) is not None


# Whole runs

WITHOUT_DROPOUT = {"name": "tiny", "max_length": 64, "stride": 16, "dropout": 0.0, "attention_dropout": 0.0}


def weights(output: Path) -> dict[str, Tensor]:
    return load_file(output / "model" / "model.safetensors")


def accumulating(file: Path, head: dict[str, object], **encoder: Any) -> Recipe:
    training = {"epochs": 2, "batch_size": 8, "accumulation": 2}
    return pair_recipe(file, head=head, training=training, **({"encoder": encoder} if encoder else {}))


@comparing
def test_a_stopped_run_is_resumed_exactly(head: dict[str, object], file: Path, tmp_path: Path) -> None:
    made = accumulating(file, head)
    events = list(train(made, tmp_path / "whole"))
    assert isinstance(events[-1], Finished)
    assert events[-1].steps == 8  # 64 pairs in batches of 8, two of them a step
    with pytest.raises(Stopped):
        list(train(made, tmp_path / "stopped", stop=StopAfter(5)))
    list(train(made, tmp_path / "stopped", resume=True))
    one, other = weights(tmp_path / "whole"), weights(tmp_path / "stopped")
    assert one.keys() == other.keys()
    assert all(torch.equal(other[name], tensor) for name, tensor in one.items())


@pytest.mark.parametrize("late", [False, True])
def test_training_continues_in_parts(late: bool, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = accumulating(file, {"name": "cosent"}, **WITHOUT_DROPOUT)
    list(train(made, tmp_path / "whole"))
    real = ExtractionModel.forward

    def forward(model: ExtractionModel, batch: Batch, *args: Any, read_only: bool = False) -> dict[str, Tensor]:
        if len(batch) > 3 and read_only != late:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return real(model, batch, *args, read_only=read_only)

    monkeypatch.setattr(ExtractionModel, "forward", forward)
    events = list(train(made, tmp_path / "parts"))
    assert [(event.step, event.parts) for event in events if isinstance(event, Halved)] == [(1, 4)]
    one, other = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    for name, tensor in one.items():
        torch.testing.assert_close(other[name], tensor, rtol=1e-3, atol=1e-4)


@pytest.fixture
def both(file: Path, tmp_path: Path) -> Recipe:
    """Entities and pairs on one encoder, three batches a step."""
    entities = write_jsonl(tmp_path / "train.jsonl", documents())
    made = pair_recipe(file).model_dump()
    data = made.pop("data")
    head, _ = made.pop("head"), made.pop("task")
    made["tasks"] = {
        "ner": {"task": "ner", "data": {"train": str(entities)}},
        "sim": {"task": "match", "data": data, "head": head},
    }
    made["training"] = {**made["training"], "epochs": 2, "accumulation": 3}
    return Recipe.model_validate(made)


def test_pairs_wait_for_those_of_their_task_only(both: Recipe, tmp_path: Path) -> None:
    finished = list(train(both, tmp_path / "run"))[-1]
    assert isinstance(finished, Finished)
    assert finished.steps == 2 * -(-(8 + 3) // 3)
    with pytest.raises(Stopped):
        list(train(both, tmp_path / "stopped", stop=StopAfter(7)))
    events = list(train(both, tmp_path / "stopped", resume=True))
    assert all(event.loss > 0 for event in events if isinstance(event, Progress))
    one, other = weights(tmp_path / "run"), weights(tmp_path / "stopped")
    assert all(torch.equal(other[name], tensor) for name, tensor in one.items())


@pytest.mark.parametrize("method", ["log", "min_norm"])
def test_balancing_has_the_loss_and_the_gradient_of_the_whole_step(
    method: str, both: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever memory there is, the weights of the tasks are the same."""
    fields = both.model_dump()
    fields["training"] |= {"balance": {"name": method}, "sampling": "together", "accumulation": 2, "epochs": 1}
    fields["encoder"] |= {"dropout": 0.0, "attention_dropout": 0.0}
    made = Recipe.model_validate(fields)
    list(train(made, tmp_path / "whole"))
    real = ExtractionModel.forward

    def forward(model: ExtractionModel, batch: Batch, *args: Any, **options: Any) -> dict[str, Tensor]:
        if len(batch) > 3 and torch.is_grad_enabled():
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return real(model, batch, *args, **options)

    monkeypatch.setattr(ExtractionModel, "forward", forward)
    events = list(train(made, tmp_path / "parts"))
    assert any(isinstance(event, Halved) for event in events)
    one, other = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    for name, tensor in one.items():
        torch.testing.assert_close(other[name], tensor, rtol=2e-3, atol=2e-4)
