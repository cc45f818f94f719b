"""`training.ema`: averages of the weights, which are evaluated, stored and restored exactly."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from support.corpora import documents, recipe, write_jsonl
from support.stopping import StopAfter
from torch import Tensor, nn

from ie_cli.errors import ModelError
from ie_cli.modeling.devices import converted
from ie_cli.recipe.schema import Recipe, TrainingSection
from ie_cli.system.signals import Stop, Stopped
from ie_cli.training import evaluator
from ie_cli.training.checkpoint import part_of, read_checkpoint
from ie_cli.training.disk_room import missing_space
from ie_cli.training.evaluator import Evaluator
from ie_cli.training.loop import Run
from ie_cli.training.run import train
from ie_cli.training.setup import prepare
from ie_cli.training.techniques import averaged_weights
from ie_cli.training.techniques.averaged_weights import AveragedWeights


class Small(nn.Module):
    """Weights of several kinds: plain, tied, frozen, of low precision, and a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.tied = nn.Linear(3, 2), nn.Linear(3, 2, bias=False)
        self.tied.weight = self.linear.weight
        self.frozen = nn.Parameter(torch.randn(2), requires_grad=False)
        self.low = nn.Parameter(torch.randn(4, dtype=torch.bfloat16))
        self.register_buffer("count", torch.tensor(1))


def change(model: nn.Module) -> None:
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight))


@pytest.mark.parametrize("decay", [0.3, 0.999])
def test_the_averages_follow_the_formula(decay: float) -> None:
    torch.manual_seed(1)
    model, averaged = Small(), AveragedWeights(decay)
    averaged.wrap_model(model)
    names = ["low", "linear.weight", "linear.bias"]
    expected = {name: model.get_parameter(name).detach().double() for name in names}
    for step in range(1, 30):
        change(model)
        averaged.after_step(step)
        d = min(decay, (1 + step) / (10 + step))
        expected = {name: d * mean + (1 - d) * model.get_parameter(name).double() for name, mean in expected.items()}
    state = averaged.state_dict()
    assert list(state) == names  # tied weights once, and neither frozen ones nor buffers
    for name, mean in state.items():
        assert mean.dtype == torch.float32
        torch.testing.assert_close(mean.double(), expected[name], rtol=1e-5, atol=1e-5)
    own = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with averaged.evaluation_weights():
        inside = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert all(torch.equal(inside[name], mean.to(inside[name].dtype)) for name, mean in state.items())
    assert torch.equal(inside["tied.weight"], inside["linear.weight"])
    assert all(torch.equal(inside[name], own[name]) for name in ("frozen", "count"))
    assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in own.items())


def test_the_weights_are_restored_after_an_error() -> None:
    model, averaged = Small(), AveragedWeights(0.9)
    averaged.wrap_model(model)
    change(model)
    own = model.linear.weight.clone()

    def fail() -> None:
        with averaged.evaluation_weights():
            assert not torch.equal(model.linear.weight, own)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert torch.equal(model.linear.weight, own)


def test_averages_of_another_model_are_an_error() -> None:
    averaged = AveragedWeights(0.9)
    averaged.wrap_model(Small())
    with pytest.raises(ModelError, match="averaged weights in the checkpoint do not fit the model: low"):
        averaged.load_state_dict({name: x for name, x in averaged.state_dict().items() if name != "low"})


@pytest.fixture
def made(tmp_path: Path) -> Recipe:
    file = write_jsonl(tmp_path / "train.jsonl", documents())
    training = {"epochs": 2, "batch_size": 4, "ema": 0.9}
    return recipe(file, encoder={"layers": 1}, training=training)


def test_a_resumed_run_with_all_techniques_stores_the_same_weights(made: Recipe, tmp_path: Path) -> None:
    every = {"ema": 0.9, "adversarial": 0.5, "r_drop": 1.0, "label_smoothing": 0.01, "negative_sampling": 2.0}
    made = made.model_copy(update={"training": TrainingSection.model_validate({**made.training.model_dump(), **every})})
    list(train(made, tmp_path / "whole"))
    with pytest.raises(Stopped):
        list(train(made, tmp_path / "stopped", stop=StopAfter(7)))
    checkpoint = read_checkpoint(tmp_path / "stopped" / "checkpoints")
    assert checkpoint is not None
    averages = part_of(checkpoint, "technique.training.ema.")
    assert averages.keys() == part_of(checkpoint, "model.").keys()
    assert all(not torch.equal(average, checkpoint.tensors[f"model.{name}"]) for name, average in averages.items())
    list(train(made, tmp_path / "stopped", resume=True))
    one, other = (load_file(tmp_path / name / "model" / "model.safetensors") for name in ("whole", "stopped"))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_no_signal_interrupts_the_restoration_of_the_weights(
    made: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interruptible = []
    plain = averaged_weights._copy

    def watched(*tensors: Sequence[Tensor]) -> None:
        interruptible.append(run.stop._interruptible)
        plain(*tensors)

    @contextmanager
    def noted(*given: Any) -> Iterator[None]:
        with converted(*given):
            interruptible.append(run.stop._interruptible)
            try:
                yield
            finally:
                interruptible.append(run.stop._interruptible)

    monkeypatch.setattr(averaged_weights, "_copy", watched)
    monkeypatch.setattr(evaluator, "converted", noted)
    monkeypatch.setattr(Evaluator, "dev_scores", lambda _: run.stop._handle(signal.SIGTERM, None))
    run = Run.start(made, prepare(made), tmp_path / "run", stop=Stop())
    with torch.no_grad():
        run.setup.model.encoder.embeddings.word_embeddings.weight.mul_(2)  # type: ignore[union-attr]
    before = {name: x.clone() for name, x in run.setup.model.state_dict().items()}
    with pytest.raises(Stopped):
        list(run._evaluate())
    assert interruptible == [False] * 4
    assert all(torch.equal(x, before[name]) for name, x in run.setup.model.state_dict().items())


def test_the_averages_count_as_space_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Small()
    free = 4 * sum(weight.numel() for weight in model.parameters()) * (2 + 2 * 3)
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": free}))
    assert missing_space(tmp_path, model, checkpoints=1) is None
    assert missing_space(tmp_path, model, checkpoints=1, state=10) == (free + 20, free)
