"""Examples without annotation by file, names that do not occur, and relations that every command counts alike."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ie_cli.commands.console import TrainingView
from ie_cli.data.names import unknown_name
from ie_cli.data.negatives import FileCounts, negatives_by_file
from ie_cli.data.reading import read_task_data
from ie_cli.data.statistics import DatasetStatistics
from ie_cli.doctor.data_checks import check
from ie_cli.doctor.recipe_proposal import propose_recipe
from ie_cli.errors import RecipeError
from ie_cli.formats import read_documents
from ie_cli.metrics.relations import items
from ie_cli.recipe.schema import DataSection, Recipe
from ie_cli.tasks import TASKS
from ie_cli.training.run import train

ANNA = {"start": 0, "end": 4, "label": "PER"}


def write(path: Path, *records: dict[str, Any]) -> str:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return str(path)


def files(tmp_path: Path) -> list[str]:
    """Write a file with entities, and one whose annotation has a name that is not known."""
    good = [{"text": f"Anna met {n}", "entities": [ANNA]} for n in range(6)]
    bad = [{"text": f"Anna saw {n}", "persons": "0-4"} for n in range(4)]
    return [write(tmp_path / "good.jsonl", *good), write(tmp_path / "bad.jsonl", *bad)]


def recipe_of(**fields: Any) -> Recipe:
    data = {"dev": None, **fields.pop("data")}
    training = {"epochs": 1, "trackers": []}
    return Recipe.model_validate(
        {"name": "x", "data": data, "encoder": {"name": "tiny"}, "training": training, **fields}
    )


def test_the_hint_about_an_unknown_name_lists_the_names_in_the_data() -> None:
    section = DataSection(train="x", rename={"PER": "person", "LCO": "place"})
    error = unknown_name(section, {"PER"}, {"person", "LOC"})
    assert error is not None
    assert (error.message, error.hint) == (
        "data.rename: the data contain no label or predicate 'LCO'; did you mean 'LOC'?",
        "use one of: LOC, PER",
    )


def test_a_file_without_any_annotation_beside_annotated_ones_is_a_warning() -> None:
    counts = {"a": FileCounts(10, 2), "b": FileCounts(5, 5)}
    first, second = negatives_by_file(counts, "an entity")
    assert (first.kind, first.text) == ("note", "a: 2 of 10 examples without an entity")
    assert second.kind == "warning"
    assert second.text.startswith("b: 5 of 5 examples without an entity, whereas 8 of 10 in the other files have one: ")
    assert [finding.kind for finding in negatives_by_file({"b": FileCounts(5, 5)}, "an entity")] == ["note"]


def test_check_and_train_say_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = files(tmp_path)
    recipe = recipe_of(data={"train": [good, bad]})
    warnings = [finding.text for finding in check(recipe) if finding.kind == "warning"]
    assert any(text.startswith(f"train: {bad}: 4 of 4 examples without an entity, whereas 6 of 6") for text in warnings)
    TrainingView(quiet=False).follow(train(recipe, tmp_path / "run"))
    said = " ".join(capsys.readouterr().err.split())
    assert f"{bad}: records without a field 'entities', which count as texts without entities: 4 of 4" in said
    assert "bad.jsonl: 4 of 4 examples without an entity, whereas 6 of 6 in the other files have one" in said
    assert "good.jsonl: 0 of 6 examples without an entity" in said


@pytest.mark.parametrize("field", ["rename", "ignore"])
def test_a_name_that_does_not_occur_is_an_error_of_check_and_train(field: str, tmp_path: Path) -> None:
    good, _ = files(tmp_path)
    names = {"PRE": "x"} if field == "rename" else ["PRE"]
    recipe = recipe_of(data={"train": good, field: names})
    message = f"data.{field}: the data contain no label or predicate 'PRE'; did you mean 'PER'?"
    with pytest.raises(RecipeError) as raised:
        read_task_data(recipe.instances()["ner"].data)
    assert raised.value.message == message
    assert message in [finding.text for finding in check(recipe) if finding.kind == "error"]


def test_training_data_have_the_new_names_and_another_fingerprint(tmp_path: Path) -> None:
    good, _ = files(tmp_path)
    plain = read_task_data(DataSection(train=good))
    renamed = read_task_data(DataSection(train=good, rename={"PER": "person"}))
    assert dict(renamed.statistics.labels) == {"person": 6}
    assert renamed.train.fingerprint != plain.train.fingerprint
    assert renamed.reports == [f"{good}: renamed labels and predicates: PER to person 6"]


def test_every_command_counts_the_relations_of_a_record_alike(tmp_path: Path) -> None:
    """Of three relations, one is a repetition, and two have equal texts."""
    spans = [(0, 1), (2, 3), (3, 4)]
    record = {
        "tokens": ["Ann", "met", "Bob", "Bob"],
        "entities": [{"type": "P", "start": start, "end": end} for start, end in spans],
        "relations": [{"type": "met", "head": 0, "tail": tail} for tail in (1, 2, 2)],
    }
    file = write(tmp_path / "x.json", record)
    [document] = read_documents(file)
    statistics = DatasetStatistics.of([document])
    assert statistics.relations == {"met": 2}
    assert len(TASKS["relation"].annotation(document)["relations"]) == 2
    assert len(items(document, "strict")) == 2
    assert "1 example, 3 entities, 2 relations" in propose_recipe(file, encoder="tiny")
    recipe = recipe_of(task="relation", head={"name": "gplinker"}, data={"train": file})
    said = [finding.text for finding in check(recipe)]
    assert any("2 relations: met 2" in text for text in said)
