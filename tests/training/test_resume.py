"""A run that is interrupted and resumed is the run that was not: same weights, same scores, same log."""

from __future__ import annotations

import csv
import itertools
import json
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from support.corpora import documents, recipe, relation_documents, relation_recipe, write_jsonl

from ie_cli.errors import DataError, ModelError, RecipeError, StorageError, TrainingError
from ie_cli.inference.extractor import Extractor
from ie_cli.recipe.heads import heads_of
from ie_cli.recipe.schema import Recipe
from ie_cli.system.checksums import with_checksum
from ie_cli.system.signals import Stop, Stopped
from ie_cli.system.temporary import workspace
from ie_cli.training import joint_scoring, loop
from ie_cli.training.checkpoint import read_checkpoint
from ie_cli.training.events import Evaluated, Event, Finished, FinishedBefore, Saved, Started
from ie_cli.training.run import train

SPEED = {"sentences_per_second"}  # the one column of the log that a clock has a part in


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_jsonl(tmp_path_factory.mktemp("data") / "train.jsonl", documents())


def short(data: Path, *, context: object = None, **training: object) -> Recipe:
    """Nine steps of three epochs, dropout included."""
    return recipe(data, data={"context": context}, training={"epochs": 3, "batch_size": 8, **training})


@pytest.fixture
def stop_at(monkeypatch: pytest.MonkeyPatch) -> dict[int, Stop]:
    """Let a signal come after some steps."""
    at: dict[int, Stop] = {}
    mark = loop.Run._finish_step

    def marked(run: loop.Run) -> None:
        mark(run)
        if (stop := at.pop(run.step, None)) is not None:
            stop.signum = signal.SIGTERM

    monkeypatch.setattr(loop.Run, "_finish_step", marked)
    return at


def weights(output: Path) -> dict[str, torch.Tensor]:
    return load_file(output / "model" / "model.safetensors")


def log(output: Path) -> list[dict[str, str]]:
    with (output / "log.csv").open(encoding="utf-8") as file:
        return [{k: v for k, v in row.items() if k not in SPEED} for row in csv.DictReader(file) if row.get("f1")]


def assert_same(one: Path, other: Path) -> None:
    """Weights bit for bit, scores and log."""
    expected, found = weights(one), weights(other)
    assert expected.keys() == found.keys()
    for name in expected:
        assert torch.equal(expected[name], found[name]), name
    assert (one / "model" / "metrics.json").read_bytes() == (other / "model" / "metrics.json").read_bytes()
    assert log(one) == log(other)


CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "accumulated": {"accumulation": 2, "batch_size": 4},
    "bfloat16": {"precision": "bfloat16"},
    "tokens": {"batch_tokens": 90, "negatives": 0.5},
    "joined texts": {"context": {"texts": 2, "share": 1.0}, "negatives": 0.5},
    "evaluated within epochs": {"eval_every": 2, "schedule": "cosine", "clip": None},
}


@pytest.mark.parametrize("case", CASES)
def test_a_resumed_run_ends_as_one_that_was_not_stopped(
    case: str, data: Path, tmp_path: Path, stop_at: dict[int, Stop]
) -> None:
    made = short(data, **CASES[case])
    events = list(train(made, tmp_path / "whole"))
    finished = events[-1]
    assert isinstance(finished, Finished)
    for step in (1, 3, 4, finished.steps):
        stop_at[step] = stop = Stop()
        with pytest.raises(Stopped) as stopped:
            list(train(made, tmp_path / "cut", resume=True, stop=stop))
        assert stopped.value.exit_code == 143
        assert f"stopped at step {step} of" in str(stopped.value.kept)
    resumed = list(train(made, tmp_path / "cut", resume=True))
    assert isinstance(resumed[0], Started)
    assert resumed[0].resumed_from == finished.steps
    assert isinstance(resumed[-1], Finished)
    assert (resumed[-1].best_step, resumed[-1].steps) == (finished.best_step, finished.steps)
    assert_same(tmp_path / "whole", tmp_path / "cut")


@pytest.mark.parametrize("head", heads_of("relation"))
def test_relations_without_dev_resume_too(head: str, tmp_path: Path, stop_at: dict[int, Stop]) -> None:
    file = write_jsonl(tmp_path / "train.jsonl", relation_documents(annotated=True))
    options = {"entities_first": 0.9} if head == "tplinker" else {}  # its weights of losses depend on the step
    made = relation_recipe(file, head={"name": head, **options}, data={"dev": None}, training={"epochs": 2})
    list(train(made, tmp_path / "whole"))
    stop_at[2] = stop = Stop()
    with pytest.raises(Stopped):
        list(train(made, tmp_path / "cut", stop=stop))
    assert not (tmp_path / "cut" / "model").exists()  # without dev the last weights are the model
    list(train(made, tmp_path / "cut", resume=True))
    assert_same(tmp_path / "whole", tmp_path / "cut")


def test_stopped_in_an_evaluation_it_is_made_up_for(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = short(data)
    list(train(made, tmp_path / "whole"))
    stop, real, calls = Stop(), joint_scoring.score, []

    def interrupted(*args: object, **named: object) -> object:
        calls.append(1)
        if len(calls) == 2:
            stop._handle(signal.SIGINT, None)  # as the signal comes
        return real(*args, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(joint_scoring, "score", interrupted)
    seen: list[Event] = []
    with pytest.raises(Stopped) as stopped:
        seen.extend(iter_into(seen, train(made, tmp_path / "cut", stop=stop)))
    assert stopped.value.exit_code == 130
    assert [event.step for event in seen if isinstance(event, Evaluated)] == [3]
    assert [event.step for event in seen if isinstance(event, Saved)] == [6]
    resumed = list(train(made, tmp_path / "cut", resume=True))
    assert [event.step for event in resumed if isinstance(event, Evaluated)] == [6, 9]
    assert_same(tmp_path / "whole", tmp_path / "cut")


def iter_into(seen: list[Event], events: Iterator[Event]) -> list[Event]:
    """Keep events that come before an exception."""
    for event in events:
        seen.append(event)
    return []


def test_checkpoints_rotate_and_go_with_the_end_of_the_run(data: Path, tmp_path: Path) -> None:
    made = short(data, checkpoint_every=2, checkpoints=2)
    directories: list[list[str]] = []
    for event in train(made, tmp_path / "run"):
        if isinstance(event, Saved):
            directories.append(sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir()))
    assert directories == [
        ["step-000000002"],
        ["step-000000002", "step-000000004"],
        ["step-000000004", "step-000000006"],
        ["step-000000006", "step-000000008"],
    ]
    assert not (tmp_path / "run" / "checkpoints").exists()
    again = list(train(made, tmp_path / "run", resume=True))
    assert again == [FinishedBefore(tmp_path / "run" / "model")]


def test_a_checkpoint_is_due_by_time_if_no_steps_are_given(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    saved = [event.step for event in train(short(data), tmp_path / "run") if isinstance(event, Saved)]
    assert saved == list(range(1, 10))


@pytest.fixture
def cut(data: Path, tmp_path: Path, stop_at: dict[int, Stop]) -> Path:
    """The directory of a run with checkpoints of steps 3 and 4."""
    stop_at[4] = stop = Stop()
    with pytest.raises(Stopped):
        list(train(short(data, checkpoint_every=3), tmp_path / "cut", stop=stop))
    return tmp_path / "cut"


def test_an_unfinished_run_is_neither_replaced_nor_resumed_unasked(data: Path, cut: Path) -> None:
    with pytest.raises(DataError, match="contains an unfinished run") as error:
        list(train(short(data, checkpoint_every=3), cut))
    assert "--resume" in str(error.value.hint)


def test_a_changed_recipe_is_refused_by_what_changed(data: Path, cut: Path) -> None:
    with pytest.raises(RecipeError) as error:
        list(train(short(data, epochs=5, learning_rate=1e-4), cut, resume=True))
    assert (
        "training.epochs was 3 and is now 5; training.learning_rate was 0.002 and is now 0.0001" in error.value.message
    )
    assert read_checkpoint(cut / "checkpoints") is not None


def test_changed_data_are_refused_and_moved_data_are_not(data: Path, cut: Path, tmp_path: Path) -> None:
    other = write_jsonl(tmp_path / "other.jsonl", documents()[:-1])
    with pytest.raises(DataError, match=r"was started with different data: data\.train .*other\.jsonl.* has changed"):
        list(train(short(other), cut, resume=True))
    moved = write_jsonl(tmp_path / "moved.jsonl", documents())
    assert isinstance(list(train(short(moved), cut, resume=True))[-1], Finished)


def test_a_damaged_checkpoint_gives_way_to_the_one_before(data: Path, cut: Path) -> None:
    newest = cut / "checkpoints" / "step-000000004" / "state.safetensors"
    newest.write_bytes(newest.read_bytes()[:1000])
    first = next(train(short(data), cut, resume=True))
    assert isinstance(first, Started)
    assert first.resumed_from == 3


@pytest.mark.parametrize("name", ["state.safetensors", "state.json"])
def test_a_checkpoint_with_another_number_in_it_gives_way_too(name: str, data: Path, cut: Path) -> None:
    file = cut / "checkpoints" / "step-000000004" / name
    raw = file.read_bytes()
    at = raw.index(b'"waited": 0') + 10 if name == "state.json" else len(raw) - 400
    file.write_bytes(raw[:at] + b"1" + raw[at + 1 :])
    first = next(train(short(data), cut, resume=True))
    assert isinstance(first, Started)
    assert (first.resumed_from, first.damaged) == (3, (file.parent,))


def test_a_best_model_that_is_damaged_is_reported_at_once(data: Path, cut: Path) -> None:
    file = cut / "model" / "model.safetensors"
    raw = file.read_bytes()
    file.write_bytes(raw[:-400] + b"1" + raw[-399:])
    with pytest.raises(ModelError, match=r"model\.safetensors: damaged: its checksum is"):
        list(train(short(data, checkpoint_every=3), cut, resume=True))


def test_facts_of_a_run_that_were_changed_are_reported(data: Path, cut: Path) -> None:
    text = (cut / "run.json").read_text(encoding="utf-8")
    (cut / "run.json").write_text(text.replace('"finished": false', '"finished": true'), encoding="utf-8")
    with pytest.raises(DataError, match=r"run\.json: damaged: .*checksum"):
        list(train(short(data, checkpoint_every=3), cut, resume=True))


def test_the_log_continues_without_duplicate_steps(data: Path, cut: Path) -> None:
    with (cut / "log.csv").open("a", encoding="utf-8") as file:
        file.write("8,2.6,0.1,9,0.1,,,\n9,3.0,0.")  # of a process that was killed after its last checkpoint
    list(train(short(data, checkpoint_every=3), cut, resume=True))
    assert [row["step"] for row in log(cut)] == ["3", "6", "9"]
    assert (cut / "log.csv").read_text(encoding="utf-8").count("step") == 1


def test_two_runs_do_not_share_a_directory(data: Path, tmp_path: Path) -> None:
    events = train(short(data), tmp_path / "run")
    next(events)
    for options in ({}, {"overwrite": True}, {"resume": True}):
        with pytest.raises(DataError, match="another run is using this directory"):
            list(train(short(data), tmp_path / "run", **options))
    events.close()  # type: ignore[attr-defined]
    assert isinstance(list(train(short(data), tmp_path / "run", overwrite=True))[-1], Finished)


def test_a_run_without_its_facts_is_not_taken_over(data: Path, tmp_path: Path) -> None:
    list(train(short(data, epochs=1), tmp_path / "run"))
    (tmp_path / "run" / "run.json").unlink()
    with pytest.raises(DataError, match=r"no run\.json"):
        list(train(short(data, epochs=1), tmp_path / "run", resume=True))
    assert (tmp_path / "run" / "model").is_dir()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format_version": 1}', '{"format_version": "1", "finished": 3}'])
def test_damaged_facts_are_reported(text: str, data: Path, cut: Path) -> None:
    (cut / "run.json").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=r"run\.json: damaged") as error:
        list(train(short(data), cut, resume=True))
    assert "--overwrite" in str(error.value.hint)


def test_weights_that_are_not_finite_are_not_kept(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = loop.Run._backward

    def poisoned(run: loop.Run, part: object, share: float) -> torch.Tensor:
        loss = real(run, part, share)  # type: ignore[arg-type]
        if run.step == 4:
            next(iter(run.model.parameters())).grad.fill_(torch.nan)  # type: ignore[union-attr]
        return loss

    monkeypatch.setattr(loop.Run, "_backward", poisoned)
    with pytest.raises(
        TrainingError, match=r"step 5: the loss is finite, but the norm of the gradient is nan; its batch"
    ):
        list(train(short(data, checkpoint_every=1, checkpoints=9, clip=None), tmp_path / "run"))
    checkpoint = read_checkpoint(tmp_path / "run" / "checkpoints")
    assert checkpoint is not None
    assert checkpoint.numbers["step"] == 4
    assert all(bool(tensor.isfinite().all()) for name, tensor in checkpoint.tensors.items() if name.startswith("model"))


def test_a_full_disk_leaves_the_last_good_state(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import safetensors.torch

    real, calls = safetensors.torch.save_file, []

    def full(tensors: object, path: Path, *args: object, **named: object) -> None:
        calls.append(path)
        if len(calls) == 4:
            Path(path).write_bytes(b"half")
            raise OSError(28, "No space left on device")
        real(tensors, path, *args, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(safetensors.torch, "save_file", full)
    made = short(data, checkpoint_every=1)
    with pytest.raises(StorageError, match=r"step-\d+: No space left on device|model: No space left") as error:
        list(train(made, tmp_path / "run"))
    assert "free some space" in str(error.value.hint)
    assert [path.name for path in (tmp_path / "run").glob(".*")] == []
    Extractor.from_pretrained(tmp_path / "run" / "model")
    list(train(made, tmp_path / "run", resume=True))
    list(train(made, tmp_path / "whole"))
    assert json.loads((tmp_path / "run" / "run.json").read_text())["finished"] is True
    assert_same(tmp_path / "whole", tmp_path / "run")


def test_a_stop_between_the_batches_of_a_step_repeats_them(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = short(data, accumulation=3, batch_size=4, eval_every=2)
    list(train(made, tmp_path / "whole"))
    real = loop.Run._backward
    for batches in (2, 5, 8):
        stop, calls = Stop(), itertools.count(1)

        def counted(
            run: loop.Run,
            part: object,
            share: float,
            *,
            stop: Stop = stop,
            calls: Iterator[int] = calls,
            last: int = batches,
        ) -> torch.Tensor:
            if next(calls) == last:
                stop.signum = signal.SIGTERM
            return real(run, part, share)  # type: ignore[arg-type]

        with monkeypatch.context() as patch:
            patch.setattr(loop.Run, "_backward", counted)
            with pytest.raises(Stopped):
                list(train(made, tmp_path / "cut", resume=True, stop=stop))
    list(train(made, tmp_path / "cut", resume=True))
    assert_same(tmp_path / "whole", tmp_path / "cut")


def test_a_run_that_ended_while_another_one_prepared_is_not_replaced(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ie_cli.training import run as module

    setup = module.prepare

    def slow(recipe: Recipe, **options: Any) -> object:
        with monkeypatch.context() as patch:
            patch.setattr(module, "prepare", setup)
            list(train(short(data), tmp_path / "run"))
        return setup(recipe, **options)

    for resume in (True, False):
        with monkeypatch.context() as patch:
            patch.setattr(module, "prepare", slow)
            if resume:
                assert list(train(short(data), tmp_path / "run", resume=True)) == [
                    FinishedBefore(tmp_path / "run" / "model")
                ]
            else:
                with pytest.raises(DataError, match="already exists"):
                    list(train(short(data), tmp_path / "run"))
        assert (tmp_path / "run" / "model" / "metrics.json").exists()
        shutil.rmtree(tmp_path / "run")


@pytest.mark.parametrize("name", ["log.csv", "tensorboard", "model", "checkpoints"])
def test_files_of_others_are_not_removed(name: str, data: Path, tmp_path: Path) -> None:
    own = tmp_path / "run" / name
    own.mkdir(parents=True)
    (own / "mine.txt").touch()
    for options in ({"resume": True}, {"overwrite": True}):
        with pytest.raises((DataError, ModelError)):
            list(train(short(data), tmp_path / "run", **options))
        assert (own / "mine.txt").exists()


def test_weights_that_leave_the_numbers_in_a_step_are_not_kept(data: Path, tmp_path: Path) -> None:
    made = short(data, head_learning_rate=1e38, warmup=0.0, checkpoint_every=1, eval_every=1)
    with pytest.raises(TrainingError, match="step 1: the weights .* are no longer finite"):
        list(train(made, tmp_path / "run"))
    assert not (tmp_path / "run" / "model").exists()
    assert read_checkpoint(tmp_path / "run" / "checkpoints") is None


def test_the_row_of_an_interrupted_evaluation_appears_once(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_at: dict[int, Stop]
) -> None:
    stop_at[3] = stop = Stop()  # an evaluation is due then
    with pytest.raises(Stopped):
        list(train(short(data), tmp_path / "run", stop=stop))
    killed = train(short(data), tmp_path / "run", resume=True)
    while not isinstance(next(killed), Evaluated):
        pass
    next(killed)  # the row is written, no checkpoint is
    killed.close()  # type: ignore[attr-defined]
    list(train(short(data), tmp_path / "run", resume=True))
    assert [row["step"] for row in log(tmp_path / "run")] == ["3", "6", "9"]


def left_by_a_killed_process(directory: Path, name: str) -> Path:
    """A workspace whose process is gone."""
    with workspace(directory, name) as room:
        (room / "new").mkdir()
        (room / "new" / "half").touch()
        shutil.copytree(room, directory / "copy")
    return (directory / "copy").rename(room)


def test_what_a_killed_process_left_is_tidied(data: Path, cut: Path) -> None:
    for name in ("model", "checkpoints", "run.json"):
        left_by_a_killed_process(cut, name)
    left_by_a_killed_process(cut / "checkpoints", "step-000000009")
    left_by_a_killed_process(cut / "model", "metrics.json")
    list(train(short(data, checkpoint_every=3), cut, resume=True))
    assert sorted(path.name for path in cut.iterdir()) == ["log.csv", "model", "run.json"]
    assert not list((cut / "model").glob(".*"))
    (cut / "checkpoints" / "step-000000009").mkdir(parents=True)  # killed before they were removed
    left_by_a_killed_process(cut, "checkpoints")
    assert list(train(short(data), cut, resume=True)) == [FinishedBefore(cut / "model")]
    assert sorted(path.name for path in cut.iterdir()) == ["log.csv", "model", "run.json"]


OTHERS = (".model-backup", ".model-old-x/model", ".checkpoints-gone-x", ".log.csv-2024", ".tensorboard-mine", ".step-1")


@pytest.mark.parametrize("options", [{}, {"overwrite": True}, {"resume": True}], ids=str)
def test_what_others_called_as_ours_stays(options: dict[str, bool], data: Path, tmp_path: Path) -> None:
    made = short(data, epochs=1, trackers=["csv", "tensorboard"])
    run = tmp_path / "run"
    if options:
        list(train(made, run))
    if "resume" in options:
        facts = json.loads((run / "run.json").read_text(encoding="utf-8"))
        (run / "run.json").write_text(json.dumps(with_checksum(facts | {"finished": False})), encoding="utf-8")
    others = [run / name / "mine.txt" for name in (*OTHERS, "checkpoints/.step-000000001-mine", "checkpoints/notes")]
    for file in others:
        file.parent.mkdir(parents=True)
        file.write_text("mine", encoding="utf-8")
    if options:
        list(train(made, run, **options))
    else:
        with pytest.raises(DataError, match="already exists"):
            list(train(made, run))
    assert [file.read_text(encoding="utf-8") for file in others] == ["mine"] * len(others)
    if options:
        assert not list((run / "checkpoints").glob("step-*"))


def test_an_old_model_does_not_come_back(data: Path, cut: Path, tmp_path: Path) -> None:
    room = left_by_a_killed_process(cut, "model")
    (room / "old").mkdir()
    (cut / "model").rename(room / "old" / "model")
    events = train(short(data), cut, overwrite=True)
    next(events)
    assert not (cut / "model").exists()
    events.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("missing", ["rates", "random", "losses"])
def test_a_checkpoint_without_a_number_is_damaged(missing: str, data: Path, cut: Path) -> None:
    file = cut / "checkpoints" / "step-000000004" / "state.json"
    numbers = json.loads(file.read_text(encoding="utf-8"))
    del numbers[missing]
    file.write_text(json.dumps(numbers), encoding="utf-8")
    events = train(short(data), cut, resume=True)
    first = next(events)
    assert isinstance(first, Started)
    assert (first.resumed_from, first.damaged) == (3, (file.parent,))
    next(events)
    assert not file.parent.exists()  # or it would outlive better ones
    events.close()  # type: ignore[attr-defined]


def test_a_best_model_that_is_gone_is_reported_at_once(data: Path, cut: Path) -> None:
    shutil.rmtree(cut / "model")
    with pytest.raises(ModelError, match="missing; it was the best model of the run, from step 3"):
        list(train(short(data, checkpoint_every=3), cut, resume=True))


def test_too_little_memory_for_an_evaluation_is_reported(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object, **named: object) -> object:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(joint_scoring, "score", full)
    with pytest.raises(TrainingError, match="out of memory after step 3") as error:
        list(train(short(data), tmp_path / "run"))
    assert "eval_batch_size" in str(error.value.hint)


def test_a_log_that_is_not_installed_costs_no_earlier_model(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    list(train(short(data, epochs=1), tmp_path / "run"))
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(RecipeError, match="tensorboard is not installed"):
        list(train(short(data, epochs=1, trackers=["tensorboard"]), tmp_path / "run", overwrite=True))
    Extractor.from_pretrained(tmp_path / "run" / "model")
