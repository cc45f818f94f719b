"""Whether a model finds only spans of whole words is learned from the data, stored, and kept by resumed runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.corpora import recipe, write_jsonl

from ie_cli.data import statistics
from ie_cli.data.findings import Finding
from ie_cli.data.label_schema import LabelSchema
from ie_cli.data.statistics import DatasetStatistics
from ie_cli.doctor.data_checks import check
from ie_cli.document import Document, Entity
from ie_cli.inference.model_directory import TrainedTask, tasks_fields
from ie_cli.recipe.heads import HEADS
from ie_cli.recipe.schema import Recipe
from ie_cli.reports.model_card import model_card
from ie_cli.tasks.whole_words import decide_whole_words, describe_whole_words
from ie_cli.training.run_directory import run_facts, whole_words_of_run
from ie_cli.training.setup import prepare

INSIDE = "boundary inside a word"


def recipe_of(path: Path, *, cut: int, whole_words: str | bool = "auto") -> Recipe:
    """A recipe for ten texts with an entity each, of which some start inside a word."""
    data = [Document(f"Anna came to Wien {n}", [Entity(int(n < cut), 4, "person")], id=n) for n in range(10)]
    made = recipe(write_jsonl(path / "train.jsonl", data), data={"dev": None}, head={"whole_words": whole_words})
    return Recipe.model_validate(made.model_dump())


@pytest.mark.parametrize(
    ("cut", "whole_words", "decided", "lost"),
    [(0, "auto", True, {}), (1, "auto", False, {}), (1, True, True, {INSIDE: 1}), (0, False, False, {})],
)
def test_a_run_decides_by_its_data_or_its_recipe(
    cut: int, whole_words: str | bool, decided: bool, lost: dict[str, int], tmp_path: Path
) -> None:
    made = recipe_of(tmp_path, cut=cut, whole_words=whole_words)
    setup = prepare(made)
    task = setup.tasks["ner"]
    assert task.whole_words is setup.trained_tasks()["ner"].whole_words is decided
    assert task.dataset.counts.unreachable.get("entities", {}) == lost


def test_a_few_mistakes_do_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "MAX_SPLIT_WORDS", 0.1)
    task = prepare(recipe_of(tmp_path, cut=1)).tasks["ner"]
    assert task.whole_words
    assert task.dataset.counts.unreachable == {"entities": {INSIDE: 1}}
    assert not prepare(recipe_of(tmp_path, cut=2)).tasks["ner"].whole_words


def test_a_run_of_an_earlier_version_resumes_as_it_began(tmp_path: Path) -> None:
    made = recipe_of(tmp_path, cut=0)
    setup = prepare(made)
    data = {name: task.data for name, task in setup.tasks.items()}
    facts = run_facts(made, data, {"ner": {}}, encoder="", precision="float32", whole_words=["ner"])
    assert whole_words_of_run(json.loads(json.dumps(facts))) == ("ner",)
    before = run_facts(made, data, {"ner": {}}, encoder="", precision="float32")
    assert "whole_words" not in before
    assert not prepare(made, whole_words=whole_words_of_run(before)).tasks["ner"].whole_words


def test_only_such_models_have_the_field() -> None:
    schema = LabelSchema(("X",))
    fields = tasks_fields({"a": TrainedTask(schema, whole_words=True), "b": TrainedTask(schema)})
    assert fields["a"]["whole_words"] is True
    assert "whole_words" not in fields["b"]


def findings(made: Recipe) -> list[tuple[str, str]]:
    return [(finding.kind, finding.text) for finding in check(made) if "word" in finding.text]


def test_check_says_what_is_decided_and_lists_what_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert findings(recipe_of(tmp_path, cut=0)) == []
    share = "train: 1 of 10 spans (10.00%) start or end inside a word, and"
    odd = "train: 1 of 10 entities starts or ends inside a word"
    allowed = findings(recipe_of(tmp_path, cut=1))
    assert ("note", f"{share} predictions may (head.whole_words: auto)") in allowed
    assert all(text.startswith((share, odd)) for _, text in allowed)
    lost = [
        ("warning", f"{share} can be neither learned nor predicted (head.whole_words: true; false allows them)"),
        ("warning", "train: 1 of 10 entities (10.00%) can never be predicted: 1 boundary inside a word"),
    ]
    found = findings(recipe_of(tmp_path, cut=1, whole_words=True))
    assert lost[0] in found
    assert [text for _, text in found if text.startswith(lost[1][1])] == [
        f"{lost[1][1]}\n  boundary inside a word: head.whole_words: false allows boundaries inside words\n"
        f"    {tmp_path}/train.jsonl:1: person 'nna' in 'Anna came'"
    ]
    monkeypatch.setattr(statistics, "MAX_SPLIT_WORDS", 0.1)
    found = findings(recipe_of(tmp_path, cut=1))
    effect = "can be neither learned nor predicted (head.whole_words: auto; false allows them)"
    assert ("note", f"{share} {effect}") in found
    assert any(text.startswith(lost[1][1]) for _, text in found)


def test_the_card_says_that_entities_are_whole_words(tmp_path: Path) -> None:
    made = recipe(tmp_path / "train.jsonl")
    schemas = {"ner": LabelSchema(("X",))}
    assert "The entities start and end at the boundaries of words." in model_card(
        made, schemas, {}, whole_words=["ner"]
    )
    assert "words" not in model_card(made, schemas, {})
    several = model_card(made, {**schemas, "other": LabelSchema(("Y",))}, {}, whole_words=["other"])
    assert "The entities of `other` start and end at the boundaries of words." in several


@pytest.mark.parametrize(("decided", "effect"), [(True, "no prediction will"), (False, "predictions may")])
def test_data_without_such_spans_are_described_with_what_follows(decided: bool, effect: str) -> None:
    counts = DatasetStatistics.of([Document("Anna", [Entity(0, 4, "person")])])
    head = HEADS["crf"].section.model_validate({"name": "crf"})
    found = describe_whole_words(head, counts, decided=decided)
    text = f"no entity starts or ends inside a word, and {effect} (head.whole_words: auto)"
    assert found == Finding("note", text)
    pairs = HEADS["cosent"].section.model_validate({"name": "cosent"})
    assert describe_whole_words(pairs, counts) is None
    assert not decide_whole_words(pairs, counts)
    assert describe_whole_words(head, DatasetStatistics()) is None
