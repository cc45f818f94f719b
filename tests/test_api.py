"""The public API of the package: all exports exist, and torch is imported only on demand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support.corpora import documents, recipe, write_jsonl

import ie_cli
from ie_cli.errors import ModelError
from ie_cli.recipe.loader import dump_recipe
from ie_cli.training.events import Finished


def test_everything_exported_is_there() -> None:
    assert set(ie_cli.__all__) >= {"Document", "Entity", "Relation", "Extractor", "train", "evaluate", "read_documents"}
    for name in ie_cli.__all__:
        assert getattr(ie_cli, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = ie_cli.nothing


def test_the_package_and_its_documents_need_no_torch() -> None:
    code = "import ie_cli, sys; ie_cli.read_documents; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.slow
def test_an_afternoon_in_python(tmp_path: Path) -> None:
    file = write_jsonl(tmp_path / "train.jsonl", documents())
    (tmp_path / "recipe.yaml").write_text(dump_recipe(recipe(file, training={"epochs": 30})), encoding="utf-8")
    events = list(ie_cli.train(ie_cli.load_recipe(tmp_path / "recipe.yaml"), str(tmp_path / "run")))
    finished = events[-1]
    assert isinstance(finished, Finished)
    extractor = ie_cli.Extractor.from_pretrained(finished.model, device="cpu", precision="float32")
    gold = list(ie_cli.read_documents(file))
    result = ie_cli.evaluate(extractor, gold)
    assert result.scores.to_dict()["f1"] == finished.scores["dev"]["ner"].to_dict()["f1"]
    found = list(extractor.extract([document.text for document in gold]))
    assert {entity for document in found for entity in document.entities}
    with pytest.raises(ModelError, match="the model has the tasks ner; got links"):
        ie_cli.evaluate(extractor, gold, task="links")
