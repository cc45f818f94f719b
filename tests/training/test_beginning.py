"""The requirements of a run are checked before its first step, and a run is resumed with the settings it was started with."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from support.corpora import documents, recipe, write_jsonl
from support.runner import ie, said

from ie_cli.document import Document
from ie_cli.errors import DataError, RecipeError, StorageError, TrainingError
from ie_cli.modeling import devices
from ie_cli.recipe.loader import dump_recipe
from ie_cli.recipe.schema import Recipe
from ie_cli.system.signals import Stop, Stopped
from ie_cli.training import disk_room, evaluator, loop
from ie_cli.training.events import Evaluated, Event, Finished, FinishedBefore, Progress, Started, Trained
from ie_cli.training.run import train


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_jsonl(tmp_path_factory.mktemp("data") / "train.jsonl", documents())


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """Documents without annotation."""
    return write_jsonl(tmp_path / "bare.jsonl", [Document(document.text) for document in documents()])


def short(data: Path, fields: dict[str, object] | None = None, **training: object) -> Recipe:
    return recipe(data, data=fields or {}, training={"epochs": 2, "batch_size": 8, **training})


def until(events: Iterator[Event], kind: type[Event]) -> list[Event]:
    """The events up to the first of a kind; the run is then killed."""
    seen = []
    for event in events:
        seen.append(event)
        if isinstance(event, kind):
            break
    events.close()  # type: ignore[attr-defined]
    return seen


def stopped(made: Recipe, output: Path) -> None:
    """Begin a run and stop it after its first step."""
    with pytest.MonkeyPatch.context() as patch:
        mark, stop = loop.Run._finish_step, Stop()

        def marked(run: loop.Run) -> None:
            mark(run)
            stop.signum = signal.SIGTERM

        patch.setattr(loop.Run, "_finish_step", marked)
        with pytest.raises(Stopped):
            list(train(made, output, stop=stop))


# Data


def test_missing_test_data_are_reported_before_the_first_step(data: Path, tmp_path: Path) -> None:
    for made in (short(data, {"test": "nowhere.jsonl"}), short(data, {"test": str(tmp_path / "empty.jsonl")})):
        (tmp_path / "empty.jsonl").touch()
        with pytest.raises(DataError, match=r"(nowhere|empty)\.jsonl"):
            next(train(made, tmp_path / "run"))
        assert not (tmp_path / "run").exists()


def test_test_data_may_go_after_the_start(data: Path, tmp_path: Path) -> None:
    test = Path(shutil.copy(data, tmp_path / "test.jsonl"))
    events = train(short(data, {"test": str(test)}), tmp_path / "run")
    next(events)
    test.unlink()
    finished = list(events)[-1]
    assert isinstance(finished, Finished)
    assert finished.scores.keys() == {"dev", "test"}


def test_dev_without_annotation_does_not_end_a_run(data: Path, bare: Path, tmp_path: Path) -> None:
    events = list(train(short(data, {"dev": str(bare)}, epochs=4, patience=1), tmp_path / "run"))
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert not finished.stopped_early
    assert finished.steps == finished.best_step == 12
    assert sum(isinstance(event, Evaluated) for event in events) == 4


@pytest.mark.parametrize("split", ["dev", "test"])
def test_data_without_annotation_are_reported_before_the_first_step(
    split: str, data: Path, bare: Path, tmp_path: Path
) -> None:
    (tmp_path / "recipe.yaml").write_text(dump_recipe(short(data, {split: str(bare)}, epochs=1)), encoding="utf-8")
    result = ie("train", str(tmp_path / "recipe.yaml"), "--output", str(tmp_path / "run"))
    assert result.exit_code == 0, result.stderr
    warning = f"warning: data.{split} contains no entities: its scores are meaningless"
    assert warning in said(result)
    assert said(result).index(warning) < said(result).index("epoch 1.0")


# The end


def test_a_run_whose_scoring_failed_is_resumed_to_do_only_that(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = short(data, {"test": str(data)})
    [*_, whole] = train(made, tmp_path / "whole")

    def failing(*args: object) -> object:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(evaluator.Evaluator, "final_scores", failing)
        with pytest.raises(TrainingError, match="out of memory after step 6"):
            list(train(made, tmp_path / "run"))
    assert not (tmp_path / "run" / "checkpoints").exists()
    log = (tmp_path / "run" / "log.csv").read_bytes()
    weights = (tmp_path / "run" / "model" / "model.safetensors").read_bytes()
    events = list(train(made, tmp_path / "run", resume=True))
    first, last = events[0], events[-1]
    assert isinstance(first, Started)
    assert first.trained_before
    assert isinstance(last, Finished)
    assert isinstance(whole, Finished)
    assert not any(isinstance(event, (Evaluated, Progress, Trained)) for event in events)
    assert (last.best_step, last.steps, last.stopped_early) == (whole.best_step, whole.steps, whole.stopped_early)
    assert (tmp_path / "run" / "log.csv").read_bytes() == log
    assert (tmp_path / "run" / "model" / "model.safetensors").read_bytes() == weights
    for name in ("metrics.json", "README.md"):
        assert (tmp_path / "run" / "model" / name).read_bytes() == (tmp_path / "whole" / "model" / name).read_bytes()
    assert list(train(made, tmp_path / "run", resume=True)) == [FinishedBefore(tmp_path / "run" / "model")]


def test_a_run_stopped_during_scoring_reports_what_is_left(data: Path, tmp_path: Path) -> None:
    stop = Stop()
    events = train(short(data), tmp_path / "run", stop=stop)
    while not isinstance(next(events), Trained):
        pass
    stop.signum = signal.SIGTERM
    with pytest.raises(Stopped) as error:
        next(events)
    assert error.value.kept == "the model is trained; continue with --resume to score it"
    (tmp_path / "recipe.yaml").write_text(dump_recipe(short(data)), encoding="utf-8")
    result = ie("train", str(tmp_path / "recipe.yaml"), "--output", str(tmp_path / "run"), "--resume")
    assert result.exit_code == 0, result.stderr
    assert "all 6 steps were already done: only the scores are missing" in said(result)


# Disk


class Usage(NamedTuple):
    free: int


def test_a_disk_without_space_for_the_model_is_reported_and_keeps_the_earlier_one(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    list(train(short(data, epochs=1), tmp_path / "run"))
    weights = tmp_path / "run" / "model" / "model.safetensors"
    before = weights.read_bytes()
    monkeypatch.setattr(disk_room.shutil, "disk_usage", lambda path: Usage(1000))
    monkeypatch.setattr(disk_room, "_size", lambda directory: 0)
    with pytest.raises(StorageError, match=r"run: the model needs 0\.00 GB of disk space, but only 0\.00 GB are free"):
        list(train(short(data, epochs=1), tmp_path / "run", overwrite=True))
    assert weights.read_bytes() == before


def test_a_disk_that_may_become_full_is_reported(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = until(train(short(data), tmp_path / "run"), Started)[0]
    assert isinstance(first, Started)
    assert first.disk_space is None
    size = 4 * first.parameters
    monkeypatch.setattr(disk_room.shutil, "disk_usage", lambda path: Usage(10 * size))
    last = until(train(short(data), tmp_path / "other"), Started)[0]
    assert isinstance(last, Started)
    assert last.disk_space == (11 * size, 10 * size)  # two models, and three checkpoints of three times their size
    (tmp_path / "recipe.yaml").write_text(dump_recipe(short(data, epochs=1)), encoding="utf-8")
    result = ie("train", str(tmp_path / "recipe.yaml"), "--output", str(tmp_path / "third"))
    assert "warning: the run may need 0.0" in said(result)


# Precision


@pytest.fixture
def other_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on the processor has no bfloat16."""
    monkeypatch.setattr(devices, "cpu_has_bfloat16", lambda: False)


@pytest.fixture
def begun(data: Path, tmp_path: Path) -> Path:
    """A run that was started in bfloat16, the result of `auto`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(devices, "cpu_has_bfloat16", lambda: True)
        stopped(short(data, precision="auto"), tmp_path / "run")
    return tmp_path / "run"


@pytest.mark.usefixtures("other_processor")
def test_auto_that_comes_to_another_precision_is_refused(data: Path, begun: Path) -> None:
    facts = (begun / "run.json").read_bytes()
    with pytest.raises(DataError) as error:
        list(train(short(data, precision="auto"), begun, resume=True))
    expected = f"{begun} was started in bfloat16, but training.precision: auto results in float32 on this machine"
    assert error.value.message == expected
    assert "--set training.precision=bfloat16" in str(error.value.hint)
    assert "--set training.precision=float32" in str(error.value.hint)
    assert (begun / "run.json").read_bytes() == facts
    assert (begun / "checkpoints").is_dir()


@pytest.mark.usefixtures("other_processor")
@pytest.mark.parametrize(("precision", "earlier"), [("bfloat16", None), ("float32", "bfloat16")])
def test_a_precision_that_the_recipe_demands_settles_it(
    precision: str, earlier: str | None, data: Path, begun: Path
) -> None:
    first, *_, last = train(short(data, precision=precision), begun, resume=True)
    assert isinstance(first, Started)
    assert (first.precision, first.earlier_precision, first.resumed_from) == (precision, earlier, 1)
    assert isinstance(last, Finished)


@pytest.mark.usefixtures("other_processor")
def test_a_change_of_precision_is_reported(data: Path, begun: Path, tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(dump_recipe(short(data, precision="auto")), encoding="utf-8")
    options = ("train", str(tmp_path / "recipe.yaml"), "--output", str(begun), "--resume")
    assert ie(*options).exit_code == 1
    result = ie(*options, "--set", "training.precision=float32")
    assert result.exit_code == 0, result.stderr
    assert "warning: the run was started in bfloat16 and continues in float32" in said(result)


def test_a_named_precision_that_is_changed_is_another_recipe(data: Path, tmp_path: Path) -> None:
    stopped(short(data, precision="bfloat16"), tmp_path / "run")
    with pytest.raises(RecipeError, match=r'training\.precision was "bfloat16" and is now "float32"'):
        list(train(short(data, precision="float32"), tmp_path / "run", resume=True))


@pytest.mark.usefixtures("other_processor")
def test_a_run_of_an_earlier_version_does_not_know_its_precision(data: Path, begun: Path) -> None:
    facts = json.loads((begun / "run.json").read_text(encoding="utf-8"))
    del facts["precision"], facts["checksum"]
    (begun / "run.json").write_text(json.dumps(facts), encoding="utf-8")
    assert isinstance(list(train(short(data, precision="auto"), begun, resume=True))[-1], Finished)
