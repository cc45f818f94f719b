from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from support.corpora import documents, recipe, relation_documents, relation_recipe, write_jsonl
from support.fakes import characters, score_engine, windows_of

from ie_cli.codecs.factors import LabelFactors
from ie_cli.codecs.spans import decode_spans
from ie_cli.data.dataset import Split
from ie_cli.data.label_schema import LabelSchema
from ie_cli.document import Document, Entity
from ie_cli.encoding.alignment import to_entities
from ie_cli.encoding.tokenizer import TextTokenizer
from ie_cli.encoding.windows import WindowPlan
from ie_cli.errors import DataError, RecipeError, TrainingError
from ie_cli.inference.extractor import Extractor
from ie_cli.metrics.entities import EntityScores
from ie_cli.modeling.heads.base import MatrixHead
from ie_cli.recipe.heads import HEADS, heads_of
from ie_cli.training import joint_scoring
from ie_cli.training.events import Evaluated, Finished, Started
from ie_cli.training.run import train

SPEEDS = {"sentences_per_second"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_jsonl(tmp_path_factory.mktemp("data") / "train.jsonl", documents())


def run(recipe_: object, output: Path, **options: bool) -> list[object]:
    return list(train(recipe_, output, **options))  # type: ignore[arg-type]


def test_ideal_scores_decode_to_the_gold() -> None:
    tokenizer = TextTokenizer(characters())
    labels = ("person", "place", "school")
    data = [document for document in documents() if document.entities]
    batch = windows_of(data, LabelSchema(labels), tokenizer, WindowPlan(30, 10)).batch(range(len(data)))
    size = batch.input_ids.shape[1]
    target = np.full((len(data), len(labels), size, size), -1, dtype=np.float32)
    target[tuple(batch.targets["entities"].entries.T.numpy())] = 1
    identity = np.broadcast_to(np.eye(size, dtype=np.float32), target.shape)
    found = decode_spans([LabelFactors(0, target, identity)], batch.text_mask.numpy(), np.zeros(3, np.float32))
    for number, document in enumerate(data):
        mine = found.entries[found.entries[:, 0] == number, 1:] - [0, 1, 1]
        [tokens] = tokenizer.encode([document.text])
        assert to_entities(tokens, mine, np.ones(len(mine)), labels) == sorted(document.entities)


@pytest.mark.parametrize("head", heads_of("ner"))
def test_a_tiny_encoder_learns_twenty_examples_by_heart(head: str, data: Path, tmp_path: Path) -> None:
    # Ten evaluations instead of forty: each stores the model.
    events = run(recipe(data, head={"name": head}, training={"eval_every": 12}), tmp_path / "run")
    assert isinstance(events[0], Started)
    finished = events[-1]
    assert isinstance(finished, Finished)
    scores = finished.scores["dev"]["ner"]
    assert scores.micro.precision == 1.0
    assert scores.micro.recall == scores.ceiling.recall
    if HEADS[head].section.nests:
        assert scores.primary == 1.0
    losses = [event.loss for event in events if isinstance(event, Evaluated)]
    assert losses[-1] < 0.1 * losses[0]
    # The stored model gives the scores that training reported, to the last digit.
    loaded = Extractor.from_pretrained(finished.model, device="cpu", precision="float32")
    again = score_engine(loaded.engine(), documents())
    assert again.to_dict() | {"unseen": None} == scores.to_dict() | {"unseen": None}
    assert json.loads((finished.model / "metrics.json").read_text())["dev"]["f1"] == again.f1


@pytest.mark.parametrize("task", ["ner", "relation"])
def test_the_same_seed_gives_the_same_model(
    task: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "ie_cli.training.loss_tracker.REPORT_SECONDS", math.inf
    )  # when progress is reported depends on the clock
    training: dict[str, object] = {"epochs": 6, "batch_size": 4, "accumulation": 2, "eval_every": 9}
    if task == "relation":
        linked = write_jsonl(tmp_path / "linked.jsonl", relation_documents(annotated=True))
        short = relation_recipe(linked, training=training)
    else:
        short = recipe(data, training=training)
    found = []
    for name in ("a", "b"):
        events = run(short, tmp_path / name)
        with (tmp_path / name / "log.csv").open(encoding="utf-8") as file:
            log = [{key: value for key, value in row.items() if key not in SPEEDS} for row in csv.DictReader(file)]
        assert [row["epoch"] for row in log] == ["3.0", "6.0"]
        assert float(log[-1]["f1"]) > 0
        scores = [event.scores for event in events if isinstance(event, (Evaluated, Finished))]
        model = tmp_path / name / "model"
        files = [(model / part).read_bytes() for part in ("model.safetensors", "metrics.json", "ie.json")]
        found.append((log, scores, files))
    assert found[0] == found[1]


def test_best_model_is_kept_and_patience_ends_the_run(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = joint_scoring.score
    f1 = iter([0.5, 0.7, 0.7, 0.6, 0.9])

    class Scripted:
        def __init__(self, scores: object, value: float) -> None:
            self.scores, self.primary = scores, value

        def __getattr__(self, name: str) -> object:
            return getattr(self.scores, name)

    def scripted(*args: object, **options: object) -> object:
        return Scripted(real(*args, **options), next(f1))  # type: ignore[arg-type]

    monkeypatch.setattr(joint_scoring, "score", scripted)
    events = run(recipe(data, training={"epochs": 10, "patience": 2}), tmp_path / "run")
    evaluated = [event for event in events if isinstance(event, Evaluated)]
    assert [event.best for event in evaluated] == [True, True, False, False]
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert finished.stopped_early
    assert finished.best_step == evaluated[1].step


def test_without_dev_the_last_weights_are_kept(data: Path, tmp_path: Path) -> None:
    events = run(recipe(data, data={"dev": None}, training={"epochs": 2}), tmp_path / "run")
    assert isinstance(events[0], Started)
    assert not events[0].has_dev
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert finished.scores == {}
    assert (finished.model / "model.safetensors").exists()


def test_a_share_of_train_becomes_dev(data: Path, tmp_path: Path) -> None:
    events = run(recipe(data, data={"dev": 0.3}, training={"epochs": 1}), tmp_path / "run")
    started, finished = events[0], events[-1]
    assert isinstance(started, Started)
    assert isinstance(finished, Finished)
    scores = finished.scores["dev"]["ner"]
    assert isinstance(scores, EntityScores)
    gold = scores.micro.gold
    assert started.tasks["ner"].dataset.counts.items["entities"] + gold == sum(len(e.entities) for e in documents())
    assert gold > 0


def test_logs_hold_every_evaluation(data: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    run(recipe(data, training={"epochs": 2, "trackers": ["csv", "tensorboard"]}), tmp_path / "run")
    with (tmp_path / "run" / "log.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["f1"]]
    assert [float(row["epoch"]) for row in rows] == [1.0, 2.0]
    assert list((tmp_path / "run" / "tensorboard").iterdir())


def test_steps_evaluations_and_schedule(data: Path, tmp_path: Path) -> None:
    events = run(recipe(data, training={"epochs": 2, "accumulation": 2, "eval_every": 1}), tmp_path / "run")
    evaluated = [event for event in events if isinstance(event, Evaluated)]
    # 20 windows in 3 batches of 8, two batches a step: two steps an epoch.
    assert [event.step for event in evaluated] == [1, 2, 3, 4]
    assert evaluated[-1].learning_rate < evaluated[0].learning_rate


def test_an_existing_run_is_not_overwritten_unasked(data: Path, tmp_path: Path) -> None:
    output = tmp_path / "run"
    (output / "model").mkdir(parents=True)
    (output / "model" / "ie.json").touch()  # of a version without run.json
    (output / "model" / "old").touch()
    (output / "data.jsonl").touch()
    with pytest.raises(DataError, match="already exists"):
        run(recipe(data), output)
    with pytest.raises(DataError, match="no such file"):
        run(recipe(tmp_path / "nowhere.jsonl"), output, overwrite=True)
    assert (output / "model" / "old").exists()  # an error in the input does not destroy a model
    run(recipe(data, training={"epochs": 1}), output, overwrite=True)
    assert not (output / "model" / "old").exists()
    assert (output / "data.jsonl").exists()  # no run wrote it


def test_a_file_is_not_a_directory_for_a_run(data: Path, tmp_path: Path) -> None:
    (tmp_path / "run").touch()
    with pytest.raises(DataError, match="is a file"):
        run(recipe(data), tmp_path / "run", overwrite=True)


def test_a_loss_that_is_not_finite_stops_with_the_batch_named(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_number(*args: object) -> dict[str, torch.Tensor]:
        return {"entities": torch.tensor(math.nan, requires_grad=True)}

    monkeypatch.setattr(MatrixHead, "losses", no_number)
    with pytest.raises(TrainingError, match=r"step 1: the loss is nan; its batch contains .*train.jsonl:\d+, .*:\d+"):
        run(recipe(data), tmp_path / "run")


def test_a_run_that_does_not_learn_is_reported_with_its_likely_cause(tmp_path: Path) -> None:
    train_data = write_jsonl(tmp_path / "train.jsonl", documents() * 20)
    other = [Document("王伟在青川", [Entity(0, 2, "other")])]
    dev = write_jsonl(tmp_path / "dev.jsonl", other)
    events = run(recipe(train_data, data={"dev": str(dev)}, training={"epochs": 1, "batch_size": 64}), tmp_path / "run")
    [advice] = [event.advice for event in events if isinstance(event, Evaluated)]
    assert (
        advice == "F1 is still 0 after 1080 annotated entities. Dev and train have no label in common: check data.dev."
    )


@pytest.mark.parametrize(
    ("section", "values", "message"),
    [
        ("training", {"label_weights": {"persn": 2.0}}, "no label 'persn'; did you mean 'person'?"),
        ("head", {"thresholds": {"x": 0.3}}, "head.thresholds: the data contain no label 'x'"),
    ],
)
def test_weights_and_thresholds_must_name_labels(
    section: str, values: dict[str, object], message: str, data: Path, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError) as caught:
        run(recipe(data, **{section: values}), tmp_path / "run")
    assert message in str(caught.value)


@pytest.mark.parametrize("options", [{"negatives": 0.3, "batch_size": 2}, {"batch_tokens": 40}, {"batch_tokens": 90}])
def test_the_last_weights_are_kept_without_dev_however_long_an_epoch_is(
    options: dict[str, object], data: Path, tmp_path: Path
) -> None:
    made = recipe(data, data={"dev": None}, training={"epochs": 4, "accumulation": 2, **options})
    finished = run(made, tmp_path / "run")[-1]
    assert isinstance(finished, Finished)
    assert finished.best_step == finished.steps
    assert not finished.stopped_early
    assert (finished.model / "model.safetensors").exists()


def test_the_last_step_is_evaluated(data: Path, tmp_path: Path) -> None:
    events = run(recipe(data, training={"epochs": 2, "eval_every": 4}), tmp_path / "run")
    assert [event.step for event in events if isinstance(event, Evaluated)] == [4, 6]


def test_options_of_training_run(data: Path, tmp_path: Path) -> None:
    options = {
        "epochs": 2,
        "batch_tokens": 200,
        "layer_decay": 0.9,
        "schedule": "cosine",
        "negatives": 0.5,
        "label_weights": {"person": 2.0},
        "clip": None,
        "precision": "bfloat16",
    }
    encoder = {"gradient_checkpointing": True, "dropout": 0.0, "attention_dropout": 0.1, "layers": 1}
    events = run(recipe(data, training=options, encoder=encoder, head={"rope": False}), tmp_path / "run")
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert Extractor.from_pretrained(finished.model).recipe.training.label_weights == {"person": 2.0}


def test_data_without_entities_or_examples_are_refused(tmp_path: Path) -> None:
    empty = write_jsonl(tmp_path / "none.jsonl", [Document("没有")])
    with pytest.raises(DataError, match="contain no entities"):
        run(recipe(empty), tmp_path / "a")
    assert Split((str(empty),), recipe(empty).instances()["ner"].data).fingerprint is not None
