"""What a run says of its pairs before it starts."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.corpora import write_jsonl
from support.pair_corpora import pair_documents, pair_recipe, write_pairs

from ie_cli.document import Document
from ie_cli.recipe.schema import Recipe
from ie_cli.training.batching import build_batches
from ie_cli.training.pair_notes import pair_notes
from ie_cli.training.setup import prepare


def notes(file: Path, *, accumulation: int = 1, max_length: int = 64, head: str = "cosent") -> list[str]:
    encoder = {"name": "tiny", "max_length": max_length, "stride": 1}
    made = pair_recipe(file, head={"name": head}, encoder=encoder, training={"batch_size": 4})
    setup = prepare(made)
    _, order = build_batches(setup, made.training)
    return list(pair_notes(setup, order.samplers, accumulation=accumulation))


def test_usual_pairs_need_no_note(tmp_path: Path) -> None:
    assert notes(write_pairs(tmp_path)) == []


@pytest.mark.parametrize("head", ["cosent", "cross_encoder"])
def test_texts_that_lose_their_ends_are_counted(head: str, tmp_path: Path) -> None:
    pairs = [*pair_documents(8), Document("红" * 20, text_pair="橙" * 30, label="1")]
    found = notes(write_jsonl(tmp_path / "pairs.jsonl", pairs), max_length=16, head=head)
    assert found == [
        "2 of 18 texts in train exceed encoder.max_length and lose their ends: raise encoder.max_length if the ends matter"
    ]


def test_batches_of_one_class_are_counted_where_they_teach_nothing(tmp_path: Path) -> None:
    pairs = pair_documents(40)
    skewed = [*(pair for pair in pairs if pair.label == "0"), next(pair for pair in pairs if pair.label == "1")]
    file = write_jsonl(tmp_path / "pairs.jsonl", skewed)
    [found] = notes(file)
    assert found.startswith(
        "5 of 6 batches of an epoch have pairs of one class or grade only, from which cosent learns nothing"
    )
    assert notes(file, head="sbert") == []
    assert notes(file, accumulation=2) == []  # the pairs of a step are compared, not those of a batch


def test_a_record_has_the_score_of_one_task(tmp_path: Path) -> None:
    fields = pair_recipe(write_pairs(tmp_path)).model_dump()
    task = {name: fields.pop(name) for name in ("task", "data", "head")}
    made = Recipe.model_validate({**fields, "tasks": {"first": task, "second": task}})
    setup = prepare(made)
    _, order = build_batches(setup, made.training)
    [found] = pair_notes(setup, order.samplers)
    assert "`ie predict` writes those of second" in found
