"""The metadata of a model card, as the Hub's own library reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard, ModelCardData
from huggingface_hub.repocard_data import model_index_to_eval_results
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from support.corpora import recipe, relation_recipe

from ie_cli.data.label_schema import LabelSchema
from ie_cli.document import Document, Entity
from ie_cli.errors import RecipeError
from ie_cli.metrics.entities import EntityScorer, EntityScores
from ie_cli.recipe.schema import Recipe
from ie_cli.reports.card_metadata import front_matter
from ie_cli.reports.model_card import model_card
from ie_cli.training.run_changes import require_unchanged

TRAIN = Path("train.jsonl")


def scores() -> EntityScores:
    """A precision of 1, a recall of a third."""
    scorer = EntityScorer(["X"])
    scorer.add(Document("abc", [Entity(n, n + 1, "X") for n in range(3)]), Document("abc", [Entity(0, 1, "X")]))
    return scorer.scores()


def read(made: Recipe, found: Any) -> ModelCardData:
    """The metadata of the card of a model, by the Hub's library."""
    schemas = dict.fromkeys(made.instances(), LabelSchema(("X",)))
    data = ModelCard(model_card(made, schemas, found)).data
    assert isinstance(data, ModelCardData)
    return data


def test_what_is_known_is_there_and_nothing_else() -> None:
    data = read(recipe(TRAIN), {}).to_dict()
    assert data == {
        "library_name": "ie-cli",
        "pipeline_tag": "token-classification",
        "tags": ["information-extraction", "named-entity-recognition", "efficient-global-pointer"],
    }


def test_the_recipe_names_language_and_license() -> None:
    made = Recipe.model_validate(
        {**recipe(TRAIN).model_dump(), "card": {"language": ["zh", "no"], "license": "apache-2.0"}}
    )
    data = read(made, {})
    assert (data.language, data.license) == (["zh", "no"], "apache-2.0")


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("tiny", None),
        ("hfl/chinese-roberta-wwm-ext", "hfl/chinese-roberta-wwm-ext"),
        ("bert-base-chinese", "bert-base-chinese"),
        ("./encoders/zh", None),
        ("../zh", None),
        ("/home/me/zh", None),
        ("a/b/c", None),
        ("a/b\n---\nlicense: mit", None),
    ],
)
def test_the_base_model_is_an_encoder_of_the_hub(name: str, base: str | None) -> None:
    data = read(recipe(TRAIN, encoder={"name": name}), {})
    assert data.base_model == base
    assert data.license is None


def test_an_encoder_beside_the_recipe_is_no_base_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "org" / "name").mkdir(parents=True)
    assert read(recipe(TRAIN, encoder={"name": "org/name"}), {}).base_model is None


def test_results_are_unrounded_and_of_each_split() -> None:
    data = read(recipe(TRAIN), {"dev": {"ner": scores()}, "test": {"ner": scores()}})
    assert data.eval_results is not None
    found = {(result.dataset_split, result.metric_type): result for result in data.eval_results}
    assert len(found) == len(data.eval_results) == 6
    assert found["dev", "precision"].metric_value == 1.0
    assert found["dev", "recall"].metric_value == 1 / 3
    assert found["test", "f1"].metric_value == pytest.approx(0.5, abs=1e-15)
    first = found["dev", "f1"]
    assert (first.dataset_type, first.dataset_name, first.metric_name) == ("test", "test", "F1")
    assert (first.task_type, first.task_name) == ("token-classification", "Named-entity recognition")
    name, again = model_index_to_eval_results(data.to_dict()["model-index"])
    assert name == "test"
    assert len(again) == 6


def test_datasets_of_the_hub_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    data: dict[str, object] = {
        "train": ["hub:org/data?config=zh", "more.jsonl"],
        "dev": "hub:org/data?split=validation&config=zh",
        "test": ["hub:conll2003?split=test", "hub:./mine", "hub:mine"],
    }
    found = read(recipe(TRAIN, data=data), {"dev": {"ner": scores()}, "test": {"ner": scores()}})
    assert found.datasets == ["org/data", "conll2003"]
    assert found.eval_results is not None
    places = {(r.dataset_type, r.dataset_config, r.dataset_split) for r in found.eval_results}
    assert places == {("org/data", "zh", "validation"), ("conll2003", None, "test")}


def test_results_of_several_tasks_are_distinguished() -> None:
    data = {"train": "hub:org/data", "dev": "hub:org/data?split=dev"}
    links = {"task": "relation", "data": data, "head": {"name": "gplinker"}}
    tasks = {"people": {"task": "ner", "data": data}, "links": links}
    made = Recipe.model_validate({"name": "both", "encoder": {"name": "tiny"}, "tasks": tasks})
    found = read(made, {"dev": {"people": scores(), "links": scores()}})
    assert found.eval_results is not None
    assert {r.metric_name for r in found.eval_results if r.metric_type == "f1"} == {"F1 (people)", "F1 (links)"}
    assert {"relation-extraction", "named-entity-recognition"} <= set(found.tags or ())


IDENTIFIERS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]*", fullmatch=True)


@settings(max_examples=40)
@given(IDENTIFIERS, IDENTIFIERS, st.text(min_size=1))
def test_no_text_breaks_out_of_the_metadata(language: str, license: str, name: str) -> None:
    fields = recipe(TRAIN, encoder={"name": name}).model_dump()
    made = Recipe.model_validate({**fields, "card": {"language": language, "license": license}})
    text = front_matter(made, {"dev": {"ner": scores()}})
    lines = text.splitlines()
    assert (lines[0], lines[-1], text.split("\n").count("---")) == ("---", "---", 2)
    data = read(made, {"dev": {"ner": scores()}})
    assert (data.language, data.license, data.library_name) == (language, license, "ie-cli")


@pytest.mark.parametrize("text", ["", "mit\n---\n", "\x85", "two words", "中文", "-x"])
@pytest.mark.parametrize("field", ["language", "license"])
def test_only_identifiers_are_languages_and_licenses(field: str, text: str) -> None:
    with pytest.raises(ValidationError, match=field):
        Recipe.model_validate({**recipe(TRAIN).model_dump(), "card": {field: text}})


def test_a_resumed_run_may_have_another_card() -> None:
    before = relation_recipe(TRAIN).model_dump(mode="json")
    now = before | {"card": {"language": ["zh"], "license": "mit"}}
    facts = {"data": {"train": "x", "dev": "y"}}
    require_unchanged(Path("run"), {**facts, "recipe": before}, {**facts, "recipe": now})
    with pytest.raises(RecipeError, match=r"encoder\.max_length was \d+ and is now 7"):
        require_unchanged(
            Path("run"),
            {**facts, "recipe": before},
            {**facts, "recipe": now | {"encoder": before["encoder"] | {"max_length": 7}}},
        )
