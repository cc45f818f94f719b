"""`training.compile`: few shapes, the same losses, and what is not compiled."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.utils import set_seed
from support.corpora import documents, recipe, write_jsonl

from ie_cli.errors import TrainingError
from ie_cli.modeling import compilation
from ie_cli.modeling.compilation import MULTIPLE, callable_of, compilation_error, compile_encoder, rounded_length
from ie_cli.system.signals import Stop
from ie_cli.training import setup
from ie_cli.training.events import Finished
from ie_cli.training.loop import Run
from ie_cli.training.run import train
from ie_cli.training.setup import prepare

COMPILER = pytest.mark.skipif(shutil.which("g++") is None and shutil.which("clang++") is None, reason="no C++ compiler")
NO_DROPOUT = {"dropout": 0.0, "attention_dropout": 0.0}


class Graphs:
    """A compiler that runs graphs as they are, and keeps the shapes of their ids."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def __call__(self, graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> Any:
        self.shapes += {tuple(x.shape) for x in inputs if x.dtype == torch.int64 and x.ndim == 2 and len(x) > 1}
        return graph.forward


@pytest.fixture(autouse=True)
def _fresh() -> None:
    torch._dynamo.reset()


def losses(data: Path, output: Path, *, compiled: bool, steps: int) -> list[float]:
    """The losses of some steps without dropout."""
    made = recipe(data, encoder=NO_DROPOUT, training={"compile": compiled, "batch_size": 10})
    set_seed(0)
    run = Run.start(made, prepare(made), output, stop=Stop())
    run.model.train()
    found: list[float] = []
    while len(found) < steps:
        for batches in run._batches():
            found += [float(loss) for loss in run._step(batches) if loss is not None]
            run.seen += 1
            run._finish_step()
        run.epoch, run.batch = run.epoch + 1, 0
    return found[:steps]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the compiler itself
@COMPILER
def test_compiled_steps_have_the_same_losses(tmp_path: Path) -> None:
    data = write_jsonl(tmp_path / "train.jsonl", documents())
    plain, compiled = (losses(data, tmp_path / str(on), compiled=on, steps=4) for on in (False, True))
    assert compiled == pytest.approx(plain, rel=1e-4)
    assert len(set(plain)) == 4


def test_lengths_are_rounded_and_each_shape_is_compiled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graphs = Graphs()
    monkeypatch.setattr(setup, "compile_encoder", partial(compile_encoder, backend=graphs))
    data = write_jsonl(tmp_path / "train.jsonl", documents())
    plain = losses(data, tmp_path / "plain", compiled=False, steps=6)
    assert not graphs.shapes
    compiled = losses(data, tmp_path / "compiled", compiled=True, steps=6)
    assert compiled == pytest.approx(plain, rel=1e-4)
    assert {length for _, length in graphs.shapes} == {MULTIPLE}
    assert len(graphs.shapes) == len(set(graphs.shapes))


def test_a_run_is_evaluated_and_stored_uncompiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graphs = Graphs()
    monkeypatch.setattr(setup, "compile_encoder", partial(compile_encoder, backend=graphs))
    data = write_jsonl(tmp_path / "train.jsonl", documents())
    made = recipe(data, training={"compile": True, "epochs": 1})
    events = list(train(made, tmp_path / "run"))
    assert isinstance(events[-1], Finished)
    assert {length for _, length in graphs.shapes} == {MULTIPLE}  # dev has other shapes
    list(train(made.model_copy(update={"name": "again"}), tmp_path / "again"))


def test_only_training_calls_what_is_compiled() -> None:
    encoder = torch.nn.Linear(2, 2)
    assert callable_of(encoder.eval()) is encoder
    compile_encoder(encoder, backend="eager")
    assert callable_of(encoder.train()) is encoder
    assert callable_of(encoder.eval()) == encoder.forward
    assert torch._dynamo.config.recompile_limit >= compilation._SHAPES
    assert list(encoder.state_dict()) == ["weight", "bias"]


def test_lengths_never_exceed_the_positions_of_the_encoder() -> None:
    assert [rounded_length(n, 32, 500) for n in (0, 1, 32, 33, 490, 500, 600)] == [0, 32, 32, 64, 500, 500, 600]


def test_an_encoder_that_cannot_be_compiled_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> Any:
        raise RuntimeError("no compiler at all")

    monkeypatch.setattr(setup, "compile_encoder", partial(compile_encoder, backend=fails))
    data = write_jsonl(tmp_path / "train.jsonl", documents())
    with pytest.raises(TrainingError, match=r"training\.compile: the encoder cannot be compiled: .*no compiler at all"):
        list(train(recipe(data, training={"compile": True}), tmp_path / "run"))
    assert compilation_error(RuntimeError("other")) is None
