"""The encoder `hash_cnn` goes through every command, and knows words by their form."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from support.every_command import through_all_commands
from support.runner import ie
from support.two_tasks import LINKS, NAMES, two_tasks

from ie_cli import Extractor
from ie_cli.formats.jsonl import to_fields
from ie_cli.recipe.schema import Recipe
from ie_cli.serving.app import Service, build_app, model_facts
from ie_cli.serving.limits import Limits
from ie_cli.serving.worker import Worker
from ie_cli.training.run import train

RECIPE = """
name: hashed
data: {train: train.jsonl, dev: 0.1, format: jsonl}
encoder: {name: hash_cnn, max_length: 32, stride: 8, layers: 2}
training:
  epochs: 12
  batch_size: 8
  head_learning_rate: 1.0e-2
  precision: float32
  eval_every: 10000
"""
PEOPLE, PLACES = ("Ann", "Mara Bell", "Otto", "王伟"), ("Rome", "Halden", "Port Vale", "青川")


def write(path: Path) -> Path:
    lines = []
    for number in range(32):
        person, place = PEOPLE[number % 4], PLACES[number // 4 % 4]
        text = f"{person} went to {place} in {1980 + number}."
        entities = [
            {"start": text.index(name), "end": text.index(name) + len(name), "label": label}
            for name, label in ((person, "person"), (place, "place"))
        ]
        lines.append(json.dumps({"text": text, "entities": entities}, ensure_ascii=False) + "\n")
    path.write_text("".join(lines), encoding="utf-8")
    return path


@pytest.mark.slow
def test_the_encoder_learns_resumes_exports_and_predicts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    gold, recipe = write(tmp_path / "train.jsonl"), tmp_path / "recipe.yaml"
    recipe.write_text(RECIPE, encoding="utf-8")
    scores = through_all_commands(recipe, tmp_path, gold)
    assert scores["f1"] > 0.9
    model = tmp_path / "run" / "model"
    assert not (model / "tokenizer_config.json").exists()  # `transformers` cannot make its ids
    found = Extractor.from_pretrained(model).predict("王伟 went to Rome in 2031.")
    assert [(entity.text, entity.label) for entity in found.entities] == [("王伟", "person"), ("Rome", "place")]
    _continues(tmp_path, model)
    _refuses_another_encoder(model, str(gold))


def _continues(directory: Path, model: Path) -> None:
    """A run starts from the model."""
    (directory / "more.yaml").write_text(
        "name: more\ndata: {train: train.jsonl, format: jsonl}\n"
        f"training: {{init_from: {model}, epochs: 1, learning_rate: 1e-5}}\n",
        encoding="utf-8",
    )
    trained = ie("train", "more.yaml", "--output", str(directory / "more"), "--quiet")
    assert trained.exit_code == 0, trained.stderr
    scored = ie("eval", str(directory / "more" / "model"), "train.jsonl", "--json", "--quiet")
    assert json.loads(scored.stdout)["f1"] > 0.9


def _refuses_another_encoder(model: Path, gold: str) -> None:
    """Files of different encoders are an error, not other predictions."""
    config = model / "config.json"
    stored = json.loads(config.read_text(encoding="utf-8"))
    config.write_text(json.dumps(stored | {"model_type": "bert"}), encoding="utf-8")
    refused = ie("predict", gold, "--model", str(model), "--quiet")
    assert refused.exit_code == 1
    assert "config.json" in refused.stderr
    config.write_text(json.dumps(stored | {"window": 0}), encoding="utf-8")
    assert (
        "damaged: the sizes must be positive integers" in ie("predict", gold, "--model", str(model), "--quiet").stderr
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of entities and relations on one encoder."""
    directory = tmp_path_factory.mktemp("two")
    fields = two_tasks(directory, epochs=20).model_dump(exclude_unset=True)
    fields["encoder"] = {"name": "hash_cnn", "max_length": 64, "stride": 16, "layers": 2}
    list(train(Recipe.model_validate(fields), directory / "run"))
    return directory / "run" / "model"


def test_several_tasks_share_the_encoder_and_each_finds_its_items(trained: Path) -> None:
    scores = json.loads((trained / "metrics.json").read_text(encoding="utf-8"))["dev"]
    assert {name: scores[name]["f1"] > 0.8 for name in (NAMES, LINKS)} == {NAMES: True, LINKS: True}


def test_the_service_answers_what_predict_finds(trained: Path) -> None:
    two = Extractor.from_pretrained(trained, device="cpu", precision="float32")
    texts = ["王伟在青川", "Ann met 王伟."]
    worker = Worker(two.engine(), slots=2, seconds=20)
    facts = model_facts(two.recipe, two.tasks)
    app = build_app(Service(worker, facts, Limits(), None, None, lambda number, error: None))
    with TestClient(app) as client:
        answer = client.post("/predict", json={"texts": texts})
    worker.close()
    assert answer.status_code == 200, answer.text
    assert answer.json()["results"] == [to_fields(document) for document in two.predict(texts)]
