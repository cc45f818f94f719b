"""Folds are checked before the first run, and their predictions are scored together."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.corpora import documents, recipe, write_jsonl
from support.runner import ie, said

from ie_cli.data.dataset import fold_place
from ie_cli.document import Document, Entity
from ie_cli.errors import DataError, RecipeError
from ie_cli.recipe.loader import dump_recipe, load_recipe
from ie_cli.training.folds import require_folds
from ie_cli.training.series import train_folds
from ie_cli.training.series_plan import folds_plan


def texts_in_fold(place: int, count: int, folds: int) -> list[str]:
    """Some texts of one fold."""
    texts = (f"Anna {number}" for number in range(10_000))
    found = [text for text in texts if fold_place(text, folds) == place]
    return found[:count]


def named(texts: list[str], label: str = "person") -> list[Document]:
    return [Document(text, [Entity(0, 4, label)]) for text in texts]


def test_a_fold_without_annotation_is_found_before_the_first_run(tmp_path: Path) -> None:
    given = [*named(texts_in_fold(1, 3, 3)), *named(texts_in_fold(2, 3, 3))]
    given += [Document(text) for text in texts_in_fold(3, 3, 3)]
    made = recipe(write_jsonl(tmp_path / "train.jsonl", given), data={"dev": None})
    with pytest.raises(DataError, match=r"train.jsonl: fold 3 of 3 contains no entities") as caught:
        list(train_folds(made, tmp_path / "run", folds=3))
    assert caught.value.hint == "use fewer folds, or check data.train and data.format."
    assert not (tmp_path / "run").exists()


def test_a_threshold_for_a_label_of_one_fold_is_found_before_the_first_run(tmp_path: Path) -> None:
    given = [*named(texts_in_fold(1, 3, 2)), *named(texts_in_fold(2, 3, 2)), *named(texts_in_fold(2, 1, 2), "rare")]
    file = write_jsonl(tmp_path / "train.jsonl", given)
    made = recipe(file, data={"dev": None}, head={"thresholds": {"rare": 0.3}})
    with pytest.raises(RecipeError, match=r"without fold 2 of 2: head.thresholds: .* no label 'rare'"):
        list(train_folds(made, tmp_path / "run", folds=2))
    require_folds(folds_plan(recipe(file, data={"dev": None}), 2))


def test_cross_validation_from_the_command_line(tmp_path: Path) -> None:
    file = write_jsonl(tmp_path / "train.jsonl", documents(40))
    made = tmp_path / "recipe.yaml"
    short = recipe(file, data={"dev": 0.2}, training={"epochs": 1})
    made.write_text(dump_recipe(short), encoding="utf-8")
    output = tmp_path / "run"
    result = ie("train", str(made), "--folds", "2", "-o", str(output))
    assert result.exit_code == 0
    lines = result.stderr.splitlines()
    assert lines[0] == f"fold 1 of 2, in {output / 'fold-1'}"
    assert any(line.startswith("fold 2 of 2  epoch 1.0  step ") for line in lines)
    assert any(line.startswith("fold 2 of 2  dev ") for line in lines)
    assert "held-out predictions of all folds" in result.stderr
    assert f"ie eval {output / 'model'} DATA" in result.stderr
    facts = json.loads((output / "folds.json").read_text(encoding="utf-8"))
    parts = [
        json.loads((output / name / "model" / "metrics.json").read_text(encoding="utf-8"))["dev"]
        for name in facts["runs"]
    ]
    assert [facts["scores"][label]["dev"]["ner"] for label in ("1", "2")] == [part["f1"] for part in parts]
    pooled = facts["pooled"]["ner"]
    for field in ("gold", "predicted", "correct"):  # every example is predicted once
        assert pooled[field] == sum(part[field] for part in parts)
    assert pooled["gold"] == sum(len(document.entities) for document in documents(40))
    card = (output / "model" / "README.md").read_text(encoding="utf-8")
    assert f"| **pooled** | {pooled['f1']:.4f} |" in card
    # The model in the directory is used like that of any run: its recipe names the fold.
    stored = load_recipe(output / "model" / "recipe.yaml", stored=True)
    assert stored.instances()["ner"].data.fold == f"{facts['best']}/2"
    found = ie("predict", str(file), "-m", str(output), "-o", str(tmp_path / "out.jsonl"))
    assert found.exit_code == 0
    again = ie("train", str(made), "--folds", "2", "-o", str(output), "--resume")
    assert again.exit_code == 0
    assert "fold 2 of 2 finished before all runs are already complete: there is nothing to resume" in said(again)
    other = ie("train", str(made), "--folds", "3", "-o", str(output), "--resume")
    assert other.exit_code == 1
    assert "was started with --folds 2 (fold-1 to fold-2), now with --folds 3 (fold-1 to fold-3)" in said(other)


def test_seeds_and_folds_exclude_each_other() -> None:
    result = ie("train", "quickstart", "--seeds", "2", "--folds", "2")
    assert result.exit_code == 2
    assert "--seeds and --folds exclude each other" in said(result)
