"""Several runs that are compared; most tests replace the training itself."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from support.corpora import documents, recipe, write_jsonl
from support.stopping import StopAfter
from support.untrained import write_model

from ie_cli.errors import DataError, IEError, RecipeError
from ie_cli.inference.extractor import Extractor
from ie_cli.inference.model_paths import existing_directory, newest_model
from ie_cli.recipe.schema import Recipe
from ie_cli.system.signals import Stop, Stopped
from ie_cli.training import series
from ie_cli.training.events import Event, FinishedBefore, RunStarted, Saved, SeriesFinished, Trained
from ie_cli.training.run import train
from ie_cli.training.run_directory import clear, locked_directory, read_run, require_new_output, write_run
from ie_cli.training.series import train_folds, train_seeds
from ie_cli.training.series_directory import read_series, write_series
from ie_cli.training.series_plan import seeds_plan

SCORES = {42: 0.5, 43: 0.9, 44: 0.7, 45: 0.95}
"""The scores of the runs by seed."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("untrained") / "model")


class FakeTraining:
    """Trains in two steps, without a model of its own.

    Attributes:
        trained: the directories of the runs in which a step was made.
        shares: for how many processes the steps of each run were computed.
    """

    def __init__(self, model: Path) -> None:
        self.model = model
        self.trained: list[str] = []
        self.shares: list[int] = []
        self.failing: Exception | None = None

    def __call__(
        self, made: Recipe, output: Path, *, overwrite: bool, resume: bool, stop: Stop, shares: int = 1
    ) -> Iterator[Event]:
        self.shares.append(shares)
        require_new_output(output, overwrite=overwrite, resume=resume)
        before = read_run(output)
        if resume and before is not None and before["finished"]:
            yield FinishedBefore(output / "model")
            return
        if self.failing is not None:
            raise self.failing
        with locked_directory(output):
            self.trained.append(output.name)
            clear(output)
            facts: dict[str, Any] = {"format_version": 1, "recipe": {}, "data": {}, "schema": {}, "encoder": ""}
            facts |= {"precision": "float32", "finished": False}
            write_run(output, facts)
            yield Saved(1, output)
            try:
                stop.check()
            except Stopped as stopped:
                raise Stopped(stopped.signum, "stopped at step 1 of 2; continue with --resume") from stopped
            shutil.copytree(self.model, output / "model")
            (output / "model" / "mark").write_text(output.name, encoding="utf-8")
            yield Trained(2, 2, stopped_early=False)
            scores = {"dev": {"ner": SCORES[made.training.seed]}}
            write_run(output, facts | {"finished": True, "scores": scores})


@pytest.fixture
def fake(model: Path, monkeypatch: pytest.MonkeyPatch) -> FakeTraining:
    monkeypatch.setattr(series, "gc", SimpleNamespace(collect=lambda: None))  # slow, and there is no model to free
    training = FakeTraining(model)
    monkeypatch.setattr(series, "train", training)
    return training


def run(output: Path, seeds: int = 3, stop: Stop | None = None, **options: bool) -> list[Event]:
    return list(train_seeds(recipe(Path("train.jsonl")), output, seeds=seeds, stop=stop, **options))


def kept(output: Path) -> str:
    return (output / "model" / "mark").read_text(encoding="utf-8")


def test_every_seed_is_a_run_and_the_best_model_is_kept(fake: FakeTraining, tmp_path: Path) -> None:
    output = tmp_path / "runs" / "demo"
    events = run(output)
    starts = [event for event in events if isinstance(event, RunStarted)]
    assert [(e.kind, e.number, e.total, e.label) for e in starts] == [("seed", n, 3, str(41 + n)) for n in (1, 2, 3)]
    assert [start.directory for start in starts] == [output / name for name in fake.trained]
    last = events[-1]
    assert isinstance(last, SeriesFinished)
    assert last.model == output / "model"
    assert last.summary is not None
    assert last.summary.mean() == {"dev": {"ner": pytest.approx(0.7)}}
    assert kept(output) == "seed-43"
    facts = json.loads((output / "seeds.json").read_text(encoding="utf-8"))
    assert (facts["finished"], facts["best"]) == (True, "43")
    assert facts["deviation"] == {"dev": {"ner": pytest.approx(0.2)}}
    # The directory is used like that of a single run.
    assert existing_directory(output) == output / "model" == newest_model(tmp_path / "runs")
    card = (output / "model" / "README.md").read_text(encoding="utf-8")
    assert "\n\n## Scores of 3 seeds\n\n| seed | dev F1 |\n" in card
    assert "| **deviation** | 0.2000 |\n\nThe model of seed 43 is kept: the best on dev.\n\n## Usage\n" in card
    assert "## Scores of" not in (output / "seed-43" / "model" / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("links", [True, False])
def test_the_kept_model_survives_the_removal_of_its_run(
    links: bool, fake: FakeTraining, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object) -> None:
        raise PermissionError(1, "not permitted")

    if not links:
        monkeypatch.setattr("ie_cli.training.series_directory.os.link", refuse)
    run(tmp_path / "demo", seeds=2)
    weights = tmp_path / "demo" / "model" / "model.safetensors"
    assert weights.samefile(tmp_path / "demo" / "seed-43" / "model" / weights.name) is links
    shutil.rmtree(tmp_path / "demo" / "seed-43")
    Extractor.from_pretrained(tmp_path / "demo" / "model", device="cpu", precision="float32")


@pytest.mark.parametrize("looks", range(3))
def test_a_stopped_series_says_how_to_continue_and_repeats_nothing(
    looks: int, fake: FakeTraining, tmp_path: Path
) -> None:
    output = tmp_path / "demo"
    with pytest.raises(Stopped) as caught:
        run(output, stop=StopAfter(looks))
    assert caught.value.kept == f"seed {looks + 1} of 3: stopped at step 1 of 2; continue with --resume"
    before = read_series(output)
    assert before is not None
    assert not before["finished"]
    with pytest.raises(DataError, match="contains unfinished runs of `ie train --seeds 3`") as refused:
        run(output)
    assert refused.value.hint == "continue them with --seeds 3 --resume, or replace them with --overwrite."
    fake.trained.clear()
    run(output, resume=True)
    assert fake.trained == ["seed-42", "seed-43", "seed-44"][looks:]
    assert kept(output) == "seed-43"


def test_a_stop_before_the_first_step_keeps_nothing_and_promises_nothing(fake: FakeTraining, tmp_path: Path) -> None:
    fake.failing = Stopped(2)
    with pytest.raises(Stopped) as caught:
        run(tmp_path / "demo")
    assert caught.value.kept is None
    assert not (tmp_path / "demo").exists()


def test_a_stop_while_a_later_run_is_prepared_says_how_to_continue(fake: FakeTraining, tmp_path: Path) -> None:
    events = train_seeds(recipe(Path("train.jsonl")), tmp_path / "demo", seeds=3)
    for event in events:
        if isinstance(event, RunStarted) and event.number == 2:
            fake.failing = Stopped(2)
            break
    with pytest.raises(Stopped) as caught:
        list(events)
    assert caught.value.kept == "seed 2 of 3: stopped; continue with --seeds 3 --resume"


def test_runs_that_start_later_have_the_batches_of_the_first_one(fake: FakeTraining, tmp_path: Path) -> None:
    output = tmp_path / "demo"
    run(output, seeds=2)
    assert fake.shares == [1, 1]
    write_series(output, seeds_plan(recipe(Path("train.jsonl")), 2), shares=3)  # started with three processes
    fake.shares.clear()
    run(output, resume=True)
    assert fake.shares == [3, 3, 3]
    assert json.loads((output / "seeds.json").read_text(encoding="utf-8"))["processes"] == 3


def test_a_finished_series_is_not_repeated_and_can_get_more_seeds(fake: FakeTraining, tmp_path: Path) -> None:
    output = tmp_path / "demo"
    run(output)
    fake.trained.clear()
    assert run(output, resume=True)[-1] == SeriesFinished(output / "model", None)
    assert fake.trained == []
    assert kept(output) == "seed-43"
    run(output, seeds=4, resume=True)
    assert fake.trained == ["seed-45"]
    assert kept(output) == "seed-45"
    with pytest.raises(RecipeError, match=r"started with --seeds 4 \(seed-42 to seed-45\), now with --seeds 2"):
        run(output, seeds=2, resume=True)


def test_a_run_that_was_removed_is_trained_again(fake: FakeTraining, tmp_path: Path) -> None:
    output = tmp_path / "demo"
    run(output)
    shutil.rmtree(output / "seed-44")
    fake.trained.clear()
    last = run(output, resume=True)[-1]
    assert fake.trained == ["seed-44"]
    assert isinstance(last, SeriesFinished)
    assert last.summary is not None


def test_names_of_the_runs_are_stored_as_soon_as_the_first_one_begins(fake: FakeTraining, tmp_path: Path) -> None:
    output = tmp_path / "demo"
    events = train_seeds(recipe(Path("train.jsonl")), output, seeds=3)
    while not isinstance(next(events), Saved):
        pass
    facts = read_series(output)
    assert facts is not None
    assert facts["runs"] == ["seed-42", "seed-43", "seed-44"]
    with pytest.raises(DataError, match="another run is using this directory"):
        run(output, resume=True)
    events.close()  # type: ignore[attr-defined]
    # A process may be killed between the start of the first run and this file.
    (output / "seeds.json").unlink()
    run(output, resume=True)
    assert kept(output) == "seed-43"


def test_earlier_runs_are_replaced_only_on_request_and_after_the_data_were_read(
    fake: FakeTraining, tmp_path: Path
) -> None:
    output = tmp_path / "demo"
    run(output, seeds=4)
    (output / "notes.txt").touch()
    (output / "seed-44" / "notes.txt").touch()
    with pytest.raises(DataError, match="contains the runs of `ie train --seeds 4`"):
        run(output)
    fake.failing = DataError("no such file")
    with pytest.raises(DataError, match="no such file"):
        run(output, overwrite=True)
    assert kept(output) == "seed-45"
    fake.failing = None
    run(output, seeds=2, overwrite=True)
    assert kept(output) == "seed-43"
    assert sorted(path.name for path in output.iterdir()) == [
        "model", "notes.txt", "seed-42", "seed-43", "seed-44", "seeds.json"
    ]  # fmt: skip
    assert [path.name for path in (output / "seed-44").iterdir()] == ["notes.txt"]


def test_a_single_run_and_a_series_do_not_mix(fake: FakeTraining, tmp_path: Path) -> None:
    single, several = tmp_path / "single", tmp_path / "several"
    made = recipe(Path("train.jsonl"))
    list(fake(made, single, overwrite=False, resume=False, stop=Stop()))
    run(several)
    with pytest.raises(DataError, match="contains a single run, which was started without --seeds 3"):
        run(single, resume=True)
    for options in ({}, {"resume": True}):
        with pytest.raises(DataError, match="contains the runs of `ie train --seeds 3`"):
            list(train(made, several, **options))
    run(single, overwrite=True)
    assert not (single / "run.json").exists()
    assert kept(single) == "seed-43"
    list(fake(made, several, overwrite=True, resume=False, stop=Stop()))
    assert sorted(path.name for path in several.iterdir()) == ["model", "run.json"]


def test_a_damaged_or_newer_file_is_an_error(fake: FakeTraining, tmp_path: Path) -> None:
    output = tmp_path / "demo"
    run(output)
    file = output / "seeds.json"
    text = file.read_text(encoding="utf-8")
    for damaged in ("", "{", "[]", text.replace("seed-42", "seed-41"), text.replace("true", "1")):
        file.write_text(damaged, encoding="utf-8")
        with pytest.raises(DataError, match="seeds.json: damaged"):
            run(output, resume=True)
    file.write_text(text.replace('"format_version": 1', '"format_version": 2'), encoding="utf-8")
    with pytest.raises(DataError, match="written by a newer version"):
        run(output, resume=True)
    run(output, overwrite=True)


@pytest.mark.parametrize("name", ["seeds.json", "folds.json"])
def test_a_file_of_the_user_with_this_name_stays(name: str, fake: FakeTraining, tmp_path: Path) -> None:
    output = tmp_path / "demo"
    output.mkdir()
    (output / name).write_text("[42, 43]", encoding="utf-8")
    for start in (
        lambda: run(output, overwrite=True),
        lambda: list(train(recipe(Path("train.jsonl")), output, overwrite=True)),
    ):
        with pytest.raises(DataError, match=f"{name}: this does not seem to have been written by `ie`"):
            start()
    assert (output / name).read_text(encoding="utf-8") == "[42, 43]"


def test_a_run_in_a_series_is_the_run_that_its_seed_alone_would_be(tmp_path: Path) -> None:
    data = write_jsonl(tmp_path / "train.jsonl", documents())
    made = recipe(data, training={"epochs": 1})
    list(train_seeds(made, tmp_path / "demo", seeds=2))
    list(train(recipe(data, training={"epochs": 1, "seed": 43}), tmp_path / "alone"))
    expected = load_file(tmp_path / "alone" / "model" / "model.safetensors")
    found = load_file(tmp_path / "demo" / "seed-43" / "model" / "model.safetensors")
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    with pytest.raises(RecipeError, match="training.epochs was 1 and is now 2"):
        list(train_seeds(recipe(data, training={"epochs": 2}), tmp_path / "demo", seeds=2, resume=True))


def test_init_from_a_model_in_the_directory_is_refused(tmp_path: Path, model: Path) -> None:
    output = tmp_path / "demo"
    shutil.copytree(model, output / "model")
    made = recipe(Path("train.jsonl"), data={"dev": 0.5}, training={"init_from": str(output / "model")})
    for started in (
        train_seeds(made, output, seeds=2, overwrite=True),
        train_folds(made, output, folds=2, overwrite=True),
    ):
        with pytest.raises(IEError, match="is in this directory, which the run would replace"):
            list(started)
