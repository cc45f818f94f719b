"""Whole corpora of pairs against counts that share no code with the readers, their recipes, and what a check finds in them."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from support.real import DATA, real

from ie_cli.doctor.data_checks import check
from ie_cli.doctor.recipe_proposal import propose_recipe
from ie_cli.document import Document
from ie_cli.formats import FORMATS, read_documents
from ie_cli.recipe.loader import load_recipe

pytestmark = pytest.mark.real

Row = tuple[str, str, str]
FILES = {
    "pairs/afqmc/train.txt": (4000, {"0": 2561, "1": 1439}),
    "pairs/afqmc/dev.txt": (4316, {"0": 2978, "1": 1338}),
    "pairs/stsb_en/stsb-en-train.csv": (5749, None),
    "pairs/stsb_en/stsb-en-dev.csv": (1500, None),
    "pairs/stsb_en/stsb-en-test.csv": (1379, None),
}


def by_hand(path: Path) -> list[Row]:
    if path.suffix == ".csv":
        with path.open(encoding="utf-8", newline="") as file:
            return [(first, second, label) for first, second, label in csv.reader(file)]
    rows = [line.split("\t") for line in path.read_text("utf-8").splitlines()]
    return [(first, second, label) for first, second, label in rows]


def row_of(document: Document) -> tuple[str, str | None, str | float | None]:
    return document.text, document.text_pair, document.score if document.label is None else document.label


@pytest.mark.parametrize("name", FILES)
def test_pairs_are_read_and_written_as_they_were(name: str) -> None:
    path = real(DATA, name)
    count, classes = FILES[name]
    reported: list[str] = []
    documents = list(read_documents(str(path), detected=reported.append))
    expected = [(first, second, label if classes else float(label)) for first, second, label in by_hand(path)]
    assert reported == ["pairs"]
    assert [row_of(document) for document in documents] == expected
    assert len(documents) == count
    if classes is not None:
        assert {label: sum(document.label == label for document in documents) for label in classes} == classes
    write, losses = FORMATS["pairs"].write, FORMATS["pairs"].count_losses
    assert write is not None
    assert not any(any(losses(document).values()) for document in documents)
    if classes is not None:
        assert "".join(map(write, documents)) == path.read_text("utf-8")


def test_a_recipe_for_graded_pairs_and_what_a_check_finds(tmp_path: Path) -> None:
    text = propose_recipe(str(real(DATA, "pairs/stsb_en/stsb-en-train.csv")), encoder="tiny")
    (tmp_path / "recipe.yaml").write_text(text, encoding="utf-8")
    recipe = load_recipe(tmp_path / "recipe.yaml")
    assert (recipe.task, recipe.head.name) == ("match", "cosent")
    assert recipe.data is not None
    assert (recipe.data.grades, recipe.data.format) == (True, "pairs")
    assert [Path(str(part)).name for part in (recipe.data.dev, recipe.data.test)] == [
        "stsb-en-dev.csv",
        "stsb-en-test.csv",
    ]
    found = "\n".join(finding.text for finding in check(recipe))
    assert "train: 43 of 5749 pairs occurred before, and 14 in the other order" in found
    assert "train contains 7 of 1,498 pairs of dev" in found
    assert "test: 249 of 1,379 pairs (18.1%) have a text that train contains" in found


def test_a_check_finds_texts_of_afqmc_in_both_splits(tmp_path: Path) -> None:
    text = propose_recipe(str(real(DATA, "pairs/afqmc/train.txt")), encoder="tiny")
    (tmp_path / "recipe.yaml").write_text(text, encoding="utf-8")
    found = [finding for finding in check(load_recipe(tmp_path / "recipe.yaml")) if "train contains" in finding.text]
    assert [(finding.kind, finding.text.partition(":")[0]) for finding in found] == [("note", "dev")]
    assert "23 of 4,316 pairs (0.5%)" in found[0].text
