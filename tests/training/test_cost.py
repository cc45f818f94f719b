"""What a run would cost is measured with a few of its steps, and changes nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from support.corpora import documents, recipe, relation_documents, relation_recipe, write_jsonl
from support.pair_corpora import pair_documents, pair_recipe
from support.runner import ie, said

from ie_cli.document import Document, Entity
from ie_cli.errors import ModelError, TrainingError
from ie_cli.inference.backends.torch import TorchBackend
from ie_cli.recipe.loader import dump_recipe
from ie_cli.recipe.schema import Recipe
from ie_cli.system import memory
from ie_cli.training import cost
from ie_cli.training.cost import estimate_cost
from ie_cli.training.events import Started
from ie_cli.training.run import train


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_jsonl(tmp_path_factory.mktemp("data") / "train.jsonl", documents())


def first_event(made: Recipe, output: Path) -> Started:
    events = train(made, output)
    started = next(events)
    events.close()  # type: ignore[attr-defined]
    assert isinstance(started, Started)
    return started


@pytest.mark.parametrize(
    ("options", "context"), [({}, None), ({"accumulation": 2}, None), ({"batch_tokens": 90}, None), ({}, 3)]
)
def test_the_steps_are_those_of_the_run(
    options: dict[str, object], context: int | None, data: Path, tmp_path: Path
) -> None:
    made = recipe(data, data={"context": context}, training={"epochs": 3, **options})
    found = estimate_cost(made, seconds=0.2)
    assert found.exact
    assert found.steps == first_event(made, tmp_path / "run").steps
    assert found.seconds > found.steps * found.step_seconds * 0.7 > 0
    assert found.memory is None or found.memory > 10**8
    assert context is None or found.windows == ()


def test_predictions_are_timed_in_the_precision_of_the_run(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Evaluations have weights of this precision, and training has those of float32."""
    plain, seen = TorchBackend.run, list[torch.dtype]()

    def noted(backend: TorchBackend, *arrays: Any) -> Any:
        seen.append(next(backend.model.encoder.parameters()).dtype)
        return plain(backend, *arrays)

    monkeypatch.setattr(TorchBackend, "run", noted)
    assert estimate_cost(recipe(data, training={"precision": "bfloat16"}), seconds=0.2).precision == "bfloat16"
    assert set(seen) == {torch.bfloat16}


def test_a_sample_estimates_the_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost, "SAMPLE", 30)
    data = write_jsonl(tmp_path / "train.jsonl", documents(400))
    made = recipe(data, data={"dev": None}, training={"epochs": 3})
    found = estimate_cost(made, seconds=0.2)
    assert not found.exact
    assert found.steps == pytest.approx(first_event(made, tmp_path / "run").steps, rel=0.15)


@pytest.mark.parametrize("head", ["cosent", "cross_encoder"])
def test_pairs_are_estimated_too(head: str, tmp_path: Path) -> None:
    """No shorter sequences are proposed: they would truncate texts."""
    pairs = [
        Document(text, text_pair=text, label=str(n % 2)) for n, text in enumerate(["红橙" * 100, "猫狗" * 100] * 2)
    ]
    data = write_jsonl(tmp_path / "train.jsonl", [*pairs, *pair_documents(12)])
    training = {"epochs": 3, "accumulation": 2, "batch_size": 4}
    made = pair_recipe(data, head={"name": head}, training=training, encoder={"max_length": 512, "stride": 1})
    found = estimate_cost(made, seconds=0.5)
    assert found.steps == first_event(made, tmp_path / "run").steps == 6
    assert found.seconds > found.steps * found.step_seconds * 0.7 > 0
    assert found.windows == ()


def test_relations_and_slow_steps_are_estimated_too(tmp_path: Path) -> None:
    """No time at all is too little for a whole batch: its time then follows from that of one window."""
    data = write_jsonl(tmp_path / "train.jsonl", relation_documents(annotated=True))
    found = estimate_cost(relation_recipe(data, training={"epochs": 2}), seconds=0.0)
    assert found.steps == 6
    assert found.seconds > 0
    assert found.memory is None


def test_smaller_windows_are_reported_if_they_lose_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost, "_MOST_STEPS", 1)
    monkeypatch.setattr(cost, "_MUCH", 100.0)  # whatever the clock says
    texts = [f"王伟{number}" + "字" * 400 + "李娜在青川" for number in range(6)]
    short = [Document(text, [Entity(0, 2, "person"), Entity(len(text) - 2, len(text), "place")]) for text in texts]
    sizes: dict[str, object] = {"max_length": 256, "stride": 128}
    batches: dict[str, object] = {"batch_size": 2}
    made = recipe(write_jsonl(tmp_path / "short.jsonl", short), data={"dev": None}, encoder=sizes, training=batches)
    found = estimate_cost(made, seconds=60.0).windows
    assert {window.max_length for window in found} == {128, 192}
    assert all(window.max_length < 256 and window.stride < window.max_length / 2 for window in found)
    assert all(window.unreachable == 0 and window.total == 12 for window in found)
    assert [window.seconds for window in found] == sorted(window.seconds for window in found)
    long = [Document(text, [Entity(0, 240, "person")]) for text in texts]
    made = recipe(write_jsonl(tmp_path / "long.jsonl", long), data={"dev": None}, encoder=sizes, training=batches)
    assert estimate_cost(made, seconds=60.0).windows == ()
    # What whole words exclude is lost in every window, and does not make up for what only the smaller ones lose.
    both = [Entity(1, 3, "place"), Entity(2, 242, "person")]
    words = [Document(f"ab{'字' * 400}{number}", both) for number in range(6)]
    head: dict[str, object] = {"whole_words": True}
    path = write_jsonl(tmp_path / "words.jsonl", words)
    made = recipe(path, data={"dev": None}, encoder=sizes, training=batches, head=head)
    assert estimate_cost(made, seconds=60.0).windows == ()


@pytest.fixture
def checked(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    Path("recipe.yaml").write_text(dump_recipe(recipe(data, data={"dev": 0.3})), encoding="utf-8")
    return "recipe.yaml"


def test_the_check_reports_the_cost_and_writes_nothing(checked: str) -> None:
    result = ie("check", checked)
    assert result.exit_code == 0, result.stderr
    assert "80 steps in 40 epochs, about " in said(result)
    assert [path.name for path in Path().iterdir()] == ["recipe.yaml"]
    assert "cost" not in ie("check", checked, "--no-time").stderr
    assert "cost" not in ie("check", checked, checked).stderr


def test_a_cost_that_cannot_be_measured_is_no_error(checked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for error, text in (
        (TrainingError("out of memory"), "out of memory"),
        (TypeError("no head"), "TypeError: no head"),
    ):

        def failing(*args: object, error: Exception = error) -> None:
            raise error

        monkeypatch.setattr(cost, "estimate_cost", failing)
        result = ie("check", checked)
        assert result.exit_code == 0
        assert f"the cost of a run was not measured: {text}" in said(result)


def test_nothing_is_downloaded(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost, "prepare", lambda *args, **options: pytest.fail("the encoder would be downloaded"))
    made = recipe(data, encoder={"name": "nobody/has-this-encoder"})
    with pytest.raises(ModelError, match="the weights of nobody/has-this-encoder have not been downloaded yet"):
        estimate_cost(made)


def test_the_peak_memory_of_the_process_is_plausible() -> None:
    peak = memory.peak_memory()
    assert peak is None or 10**7 < peak < 10**12


def test_the_weights_of_a_run_that_starts_from_a_model_are_there(data: Path, tmp_path: Path) -> None:
    made = recipe(data, encoder={"name": "nobody/has-this-encoder"}, training={"init_from": str(tmp_path / "gone")})
    with pytest.raises(ModelError, match="gone"):  # the model is looked for, not the encoder
        estimate_cost(made)
