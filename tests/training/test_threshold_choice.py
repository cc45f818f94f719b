"""The threshold that is chosen on dev at the end of a run: stored, used, said, and the same if the run is resumed."""

from __future__ import annotations

import csv
import json
import random
import re
from pathlib import Path
from typing import Any

import pytest
from support.corpora import documents, recipe, write_jsonl
from support.runner import ie

from ie_cli.commands.console import TrainingView
from ie_cli.document import Document, Entity
from ie_cli.evaluation.evaluate import score
from ie_cli.evaluation.thresholds import threshold_probe
from ie_cli.inference.extractor import Extractor
from ie_cli.metrics.threshold_curve import ThresholdChoice
from ie_cli.recipe.schema import Recipe
from ie_cli.tasks import TASKS, ScoringOptions
from ie_cli.training.evaluator import Evaluator
from ie_cli.training.events import Evaluated, Event, Finished
from ie_cli.training.run import train

STORED = ("ie.json", "metrics.json", "README.md")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("data")
    for name, count in (("train", 40), ("dev", 30), ("test", 25)):
        write_jsonl(directory / f"{name}.jsonl", documents(count))
    return directory


def shy(files: Path, head: dict[str, object] | None = None, **training: object) -> Recipe:
    """One epoch: the model finds little at 0.5, and much of it at lower thresholds."""
    data = {name: str(files / f"{name}.jsonl") for name in ("dev", "test")}
    rest = {"epochs": 1, "learning_rate": 1e-3, "head_learning_rate": 2e-3, **training}
    return recipe(files / "train.jsonl", data=data, training=rest, **({"head": head} if head else {}))


@pytest.fixture(scope="module")
def run(files: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Event]]:
    output = tmp_path_factory.mktemp("run") / "run"
    return output, list(train(shy(files), output))


@pytest.fixture(scope="module")
def choice(run: tuple[Path, list[Event]]) -> ThresholdChoice:
    finished = run[1][-1]
    assert isinstance(finished, Finished)
    assert finished.advice == ()
    [found] = finished.choices.values()
    assert found.changed
    assert found.f1 > found.f1_before + 0.1
    return found


def facts(model: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((model / "ie.json").read_text(encoding="utf-8"))["tasks"]["ner"]
    return found


def test_the_chosen_threshold_is_stored_and_used(
    run: tuple[Path, list[Event]], choice: ThresholdChoice, files: Path
) -> None:
    model = run[0] / "model"
    assert facts(model)["threshold"] == choice.threshold
    metrics = json.loads((model / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["dev"]["threshold"] == choice.to_dict()
    assert "threshold" not in metrics["test"]
    card = (model / "README.md").read_text(encoding="utf-8")
    assert (
        f"\nThreshold: {choice.threshold:g}, chosen on dev (F1 {choice.f1:.4f} instead of {choice.f1_before:.4f} at 0.5).\n"
        in card
    )
    for split in ("dev", "test"):
        gold = str(files / f"{split}.jsonl")
        own = ie("eval", str(model), gold, "--json", "--precision", "float32")
        assert json.loads(own.stdout)["f1"] == metrics[split]["f1"], own.stderr
        assert "hint:" not in own.stderr
    assert metrics["dev"]["f1"] == choice.f1


def test_ie_eval_says_which_threshold_has_a_better_score(
    run: tuple[Path, list[Event]], choice: ThresholdChoice, files: Path, tmp_path: Path
) -> None:
    given = ("eval", str(run[0] / "model"), str(files / "dev.jsonl"), "--threshold", "0.5", "--precision", "float32")
    before = (run[0] / "model" / "ie.json").read_bytes()
    result = ie(*given)
    better = f"F1 is {choice.f1:.4f} with the threshold {choice.threshold:g}, and {choice.f1_before:.4f} with the threshold 0.5"
    hint = (
        f"hint: on these data, {better} (--threshold {choice.threshold:g}). Choose it on dev data, not on test data.\n"
    )
    assert hint in result.stderr
    page = tmp_path / "page.html"
    quiet = ie(*given, "--json", "--quiet", "--save", str(page))
    assert re.search(r"threshold\W.{0,40}\b0\.5\b", page.read_text(encoding="utf-8"))
    assert (quiet.stderr, json.loads(quiet.stdout)["f1"]) == ("", choice.f1_before)
    assert (run[0] / "model" / "ie.json").read_bytes() == before


def test_what_a_run_says(
    run: tuple[Path, list[Event]], choice: ThresholdChoice, capsys: pytest.CaptureFixture[str]
) -> None:
    TrainingView(quiet=False).follow(run[1])
    said = capsys.readouterr().err
    assert (
        f"\nthreshold {choice.threshold:g}, chosen on dev: F1 {choice.f1:.4f} instead of {choice.f1_before:.4f} at 0.5\n"
        in said
    )
    for event in run[1]:
        if isinstance(event, Evaluated):
            now = event.choices["ner"]
            assert (f"  F1 {now.f1:.4f} at {now.threshold:g}  " in said) == now.changed
            assert event.primary == now.f1


def test_the_log_has_the_threshold_of_every_evaluation(run: tuple[Path, list[Event]]) -> None:
    with (run[0] / "log.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["f1"]]
    evaluated = [event for event in run[1] if isinstance(event, Evaluated)]
    assert [float(row["threshold"]) for row in rows] == [event.choices["ner"].threshold for event in evaluated]
    assert [float(row["f1_at_threshold"]) for row in rows] == [event.primary for event in evaluated]
    assert [float(row["f1"]) for row in rows] == [event.scores["ner"].primary for event in evaluated]
    best = max(evaluated, key=lambda event: event.primary)
    finished = run[1][-1]
    assert isinstance(finished, Finished)
    assert finished.best_step == best.step
    assert finished.choices["ner"].f1 == pytest.approx(best.primary)


def doubtful(count: int, seed: int) -> list[Document]:
    """Texts whose annotation follows a rule in some of the cases only: no score of a model is near 0 or 1."""
    rng, characters = random.Random(seed), "天地玄黄宇宙洪荒日月盈昃辰宿列张寒来暑往秋收冬藏闰余成岁律吕调阳"
    made = []
    for n in range(count):
        places = [rng.randrange(len(characters)) for _ in range(24)]
        entities = [
            Entity(at, at + 2, ("person", "place")[places[at] % 2])
            for at in range(0, 23, 3)
            if rng.random() < (0.15 if places[at] % 3 else 0.85)
        ]
        made.append(Document("".join(characters[place] for place in places), entities, id=n))
    return made


def given_to_users(model: Path, gold: list[Document], precision: Any) -> tuple[float, float, float]:
    """What a stored model finds at 0.5, the threshold that is chosen for it, and what it finds at that threshold."""
    extractor = Extractor.from_pretrained(model, device="cpu", precision=precision)
    plain: dict[str, Any] = {"task": TASKS["ner"], "schema": extractor.schema, "ceilings": {}}
    probe = threshold_probe(extractor, "ner", extractor.engine(), task=TASKS["ner"], options=ScoringOptions())
    assert probe is not None
    choice = probe.choice(before := score(probe.engine, gold, each=probe.add, **plain))
    assert choice is not None
    after = score(extractor.engine(threshold=choice.threshold), gold, **plain)
    return before.primary, choice.threshold, after.primary


@pytest.mark.parametrize("precision", ["bfloat16", "float32"])
def test_a_checkpoint_is_ranked_by_the_f1_that_users_get(precision: str, tmp_path: Path) -> None:
    """In the precision of the run: weights that are rounded once give other scores than products that are."""
    dev = doubtful(200, seed=2)
    train_file, dev_file = (tmp_path / f"{name}.jsonl" for name in ("train", "dev"))
    write_jsonl(train_file, doubtful(60, seed=1))
    write_jsonl(dev_file, dev)
    rest: dict[str, object] = {"epochs": 6, "learning_rate": 1e-3, "head_learning_rate": 2e-3, "precision": precision}
    made, found = recipe(train_file, data={"dev": str(dev_file)}, training=rest), []
    for event in train(made, tmp_path / "run"):
        if isinstance(event, Evaluated) and event.best:
            choice = event.choices["ner"]
            found.append((event.scores["ner"].primary, choice.threshold, choice.f1))
            assert given_to_users(tmp_path / "run" / "model", dev, precision) == found[-1]
            assert event.primary == choice.f1
        elif isinstance(event, Finished):
            last = event.choices["ner"]
            assert (last.f1_before, last.threshold, last.f1) == found[-1]
    assert len(found) >= 4
    assert len({threshold for _, threshold, _ in found}) >= 3


class KilledError(Exception):
    """Stands for a process that is killed."""


@pytest.mark.parametrize("method", [(Evaluator, "final_scores"), (Extractor, "write_scores")])
def test_a_run_that_is_killed_before_or_after_the_choice_ends_as_one_that_was_not(
    method: tuple[type, str],
    run: tuple[Path, list[Event]],
    tmp_path: Path,
    files: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    output = tmp_path / "run"
    whole = {name: (run[0] / "model" / name).read_bytes() for name in STORED}

    def killed(*_: object) -> None:
        raise KilledError

    events = train(shy(files), output)
    for event in events:
        if isinstance(event, Evaluated) and event.step == event.steps:  # models are stored during training, too
            break
    with monkeypatch.context() as patch:
        patch.setattr(*method, killed)
        with pytest.raises(KilledError):
            list(events)
    if method[1] == "write_scores":
        assert "threshold" in facts(output / "model")
    *_, finished = train(shy(files), output, resume=True)
    assert isinstance(finished, Finished)
    assert {name: (output / "model" / name).read_bytes() for name in STORED} == whole


def test_a_threshold_of_the_recipe_is_kept(files: Path, tmp_path: Path) -> None:
    *_, finished = train(shy(files, {"name": "efficient_global_pointer", "threshold": 0.985}), tmp_path / "run")
    assert isinstance(finished, Finished)
    assert finished.choices == {}
    assert "threshold" not in facts(finished.model)
    [advice] = [text for text in finished.advice if text.startswith("on dev, F1 is ")]
    assert " with the threshold 0.985; without head.threshold in the recipe, the threshold is chosen on dev" in advice
