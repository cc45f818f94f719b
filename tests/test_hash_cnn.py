"""The encoder `hash_cnn` goes through every command, and knows words by their form."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.every_command import through_all_commands
from support.runner import ie

from ie_cli import Extractor

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
