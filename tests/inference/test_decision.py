"""The cuts between classes of pairs in `ie.json`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.pairs import LabelSchema, write_pair_model
from support.runner import ie, said

from ie_cli.document import Document
from ie_cli.errors import ModelError
from ie_cli.inference import integrity
from ie_cli.inference.extractor import Extractor
from ie_cli.inference.model_directory import TrainedTask, fingerprint

NLI = LabelSchema(("contradiction", "neutral", "entailment"))
PAIR = Document("red house", text_pair="blue tree")


def load(model: Path) -> Extractor:
    return Extractor.from_pretrained(model, device="cpu", precision="float32")


def facts(model: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((model / "ie.json").read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pair_model(tmp_path_factory.mktemp("pairs") / "model", schema=NLI, decision=(-0.5, 0.25))


@pytest.fixture
def model(stored: Path, tmp_path: Path) -> Path:
    directory = tmp_path / "model"
    directory.mkdir()
    for file in stored.iterdir():
        (directory / file.name).write_bytes(file.read_bytes())
    return directory


def test_a_decision_survives_storing(model: Path) -> None:
    extractor = load(model)
    assert extractor.tasks["match"] == TrainedTask(NLI, decision=(-0.5, 0.25))
    assert extractor.predict(PAIR).label in NLI.labels


def test_only_models_with_a_decision_have_the_field(model: Path, tmp_path: Path) -> None:
    assert facts(model)["tasks"]["match"]["decision"] == [-0.5, 0.25]
    plain = write_pair_model(tmp_path / "plain")
    assert "decision" not in facts(plain)["tasks"]["match"]
    found = load(plain).predict(PAIR)
    assert found.label is None
    assert found.score is not None


@pytest.mark.parametrize(("cuts", "label"), [((2.0, 3.0), 0), ((-2.0, 3.0), 1), ((-3.0, -2.0), 2), ((-2.0, -2.0), 2)])
def test_a_score_above_a_cut_has_the_higher_class(cuts: tuple[float, float], label: int, model: Path) -> None:
    extractor = load(model)
    extractor.tasks = {"match": TrainedTask(NLI, decision=cuts)}
    assert extractor.predict(PAIR).label == NLI.labels[label]


@pytest.mark.parametrize(
    "cuts", [0.5, "0.5", [0.1], [0.1, 0.2, 0.3], [0.2, 0.1], [0.1, None], [0.1, True], ["0.1", "0.2"], {"a": 1}]
)
def test_an_invalid_decision_is_reported(cuts: object, model: Path) -> None:
    changed = facts(model)
    changed["tasks"]["match"]["decision"] = cuts
    (model / "ie.json").write_text(json.dumps(changed), encoding="utf-8")
    with pytest.raises(ModelError, match="decision must"):
        load(model)


def test_replacing_the_tasks_keeps_the_directory_intact(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is killed has either replaced `ie.json` as a whole or left it as it was."""
    before, other = fingerprint(model), {"match": TrainedTask(NLI, decision=(0.0, 0.5))}
    with monkeypatch.context() as patch:
        patch.setattr(integrity, "replace_text", lambda *_: pytest.fail("killed"))
        with pytest.raises(pytest.fail.Exception):
            integrity.replace_tasks(model, other)
    assert fingerprint(model) == before
    integrity.replace_tasks(model, other)
    assert load(model).tasks == other
    integrity.require_undamaged(model, "torch")
    assert fingerprint(model) != before  # a job of predictions is not resumed with other cuts
    damaged = (model / "ie.json").read_text(encoding="utf-8").replace("0.5", "0.6")
    (model / "ie.json").write_text(damaged, encoding="utf-8")
    with pytest.raises(ModelError, match="damaged"):
        load(model)


def test_earlier_versions_refuse_the_model(model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A version without decisions would predict no classes."""
    monkeypatch.setattr("ie_cli.inference.model_directory.FORMAT_VERSION", 4)
    (tmp_path / "x.jsonl").write_text('{"text": "a", "text_pair": "b"}\n', encoding="utf-8")
    message = said(ie("predict", str(tmp_path / "x.jsonl"), "--model", str(model)))
    assert "has format version 5, but this version of `ie` supports versions up to 4" in message
    assert "upgrade it" in message
