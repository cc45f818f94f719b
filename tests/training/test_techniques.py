"""Hooks of the loop: a technique changes gradients and the weights that are kept, and its state survives a stop."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from support.corpora import documents, recipe, write_jsonl
from support.stopping import StopAfter
from torch import Tensor, nn

from ie_cli.errors import DataError
from ie_cli.modeling.batch import Batch
from ie_cli.recipe.schema import Recipe
from ie_cli.system.signals import Stopped
from ie_cli.training import loop
from ie_cli.training.balancing.constant import ConstantWeights
from ie_cli.training.run import train
from ie_cli.training.techniques.base import Compute, Techniques


class Average:
    """An exponential moving average of the weights, which is what is evaluated and kept."""

    name = "average"

    def __init__(self, decay: float = 0.9) -> None:
        self.decay = decay
        self.model: nn.Module | None = None
        self.average: dict[str, Tensor] = {}

    def wrap_model(self, model: nn.Module) -> nn.Module:
        self.model = model
        self.average = {name: p.detach().clone() for name, p in model.named_parameters()}
        return model

    def compute_gradients(self, batch: Batch, compute: Compute) -> Tensor:
        return compute(batch)

    def after_step(self, step: int) -> None:
        assert self.model is not None
        for name, parameter in self.model.named_parameters():
            self.average[name].lerp_(parameter.detach(), 1 - self.decay)

    @contextmanager
    def evaluation_weights(self) -> Iterator[None]:
        assert self.model is not None
        own = {name: p.detach().clone() for name, p in self.model.named_parameters()}
        self._put(self.average)
        try:
            yield
        finally:
            self._put(own)

    def _put(self, weights: Mapping[str, Tensor]) -> None:
        assert self.model is not None
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                parameter.copy_(weights[name])

    def state_dict(self) -> dict[str, Tensor]:
        return self.average

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self.average = {name: tensor.clone() for name, tensor in state.items()}


class Adversary(Average):
    """A second pass over the batch with the word embeddings moved along their gradient."""

    name = "adversary"

    def __init__(self) -> None:
        super().__init__(decay=0.0)
        self.passes = 0

    def compute_gradients(self, batch: Batch, compute: Compute) -> Tensor:
        assert self.model is not None
        weight = self.model.encoder.get_input_embeddings().weight  # type: ignore[union-attr,operator]
        loss = compute(batch)
        kept, moved = weight.detach().clone(), weight.grad
        assert moved is not None
        with torch.no_grad():
            weight.add_(0.1 * moved / (moved.norm() + 1e-6))
        try:
            compute(batch)
        finally:
            with torch.no_grad():
                weight.copy_(kept)
        self.passes += 1
        return loss


@pytest.fixture
def made(tmp_path: Path) -> Recipe:
    file = write_jsonl(tmp_path / "train.jsonl", documents())
    return recipe(file, training={"epochs": 4, "accumulation": 2, "batch_size": 4})


def weights(run: Path) -> dict[str, Tensor]:
    return load_file(run / "model" / "model.safetensors")


def same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def distance(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> float:
    """The largest difference of two weights."""
    assert one.keys() == other.keys()
    return max(float((tensor - other[name]).abs().max()) for name, tensor in one.items())


def test_the_weights_of_evaluation_are_those_that_are_kept(made: Recipe, tmp_path: Path) -> None:
    average = Average()
    list(train(made, tmp_path / "averaged", techniques=[average]))
    list(train(made, tmp_path / "plain"))
    kept = weights(tmp_path / "averaged")
    assert not same(kept, weights(tmp_path / "plain"))
    expected = {name.removeprefix("encoder."): tensor for name, tensor in average.average.items()}
    # The best evaluation of this run is its last.
    assert same({name: kept[name] for name in expected}, expected)


@pytest.mark.parametrize("kind", [Average, Adversary])
def test_the_state_survives_a_stop(kind: type[Average], made: Recipe, tmp_path: Path) -> None:
    list(train(made, tmp_path / "whole", techniques=[kind()]))
    with pytest.raises(Stopped):
        list(train(made, tmp_path / "stopped", techniques=[kind()], stop=StopAfter(7)))
    list(train(made, tmp_path / "stopped", techniques=[kind()], resume=True))
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "stopped"))


def test_a_run_is_not_resumed_with_other_techniques(made: Recipe, tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        list(train(made, tmp_path / "run", techniques=[Average()], stop=StopAfter(7)))
    with pytest.raises(DataError, match="was started with different techniques"):
        list(train(made, tmp_path / "run", resume=True))


def test_two_passes_are_both_repeated_if_memory_runs_out(
    made: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without = {"name": "tiny", "max_length": 64, "stride": 16, "dropout": 0.0, "attention_dropout": 0.0}
    made = made.model_copy(update={"encoder": type(made.encoder).model_validate(without)})
    list(train(made, tmp_path / "whole", techniques=[Adversary()]))
    plain = loop.Run._plain_backward
    calls = failures = 0

    def small(run: loop.Run, part: Batch, *, share: float) -> Tensor:
        nonlocal calls, failures
        calls += 1
        if calls % 2 == 0 and len(part.input_ids) > 2:  # in the second pass
            failures += 1
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return plain(run, part, share=share)

    monkeypatch.setattr(loop.Run, "_plain_backward", small)
    list(train(made, tmp_path / "parts", techniques=[Adversary()]))
    one, other = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert failures > 0
    # A part is moved along its own gradient: near, and not the same; a run without the second pass is further away.
    monkeypatch.undo()
    list(train(made, tmp_path / "plain"))
    assert 0 < distance(other, one) < 0.5 * distance(weights(tmp_path / "plain"), one)


def test_techniques_are_nested_in_their_order() -> None:
    order: list[Any] = []

    class Recorded(Average):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

        def compute_gradients(self, batch: Batch, compute: Compute) -> Tensor:
            order.append(self.name)
            return compute(batch)

    both = Techniques([Recorded("inner"), Recorded("outer")])
    both.compute_gradients(None, lambda batch: order.append("plain"))  # type: ignore[arg-type,func-returns-value,return-value]
    assert order == ["outer", "inner", "plain"]
    both.load({"technique.inner.x": torch.ones(1), "technique.outer.x": torch.zeros(1)})
    assert {name: float(tensor) for name, tensor in both.tensors().items()} == {
        "technique.inner.x": 1.0,
        "technique.outer.x": 0.0,
    }


def test_the_plain_sum_is_the_gradient_of_the_sum() -> None:
    x = torch.tensor(3.0, requires_grad=True)
    plain = ConstantWeights()
    loss = plain.backward({"t.a": x * x, "t.b": 2 * x}, share=0.5, backward=lambda total: total.backward())
    assert float(loss) == 15.0
    assert float(x.grad) == 0.5 * 8.0  # type: ignore[arg-type]
    assert plain.state_dict() == {}
    assert plain.columns() == []
