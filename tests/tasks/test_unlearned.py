"""Annotated entities that a head does not learn are counted by `ie check`, at the start of `ie train` and below the scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.corpora import relation_recipe, write_jsonl
from support.runner import ie

from ie_cli.data.label_schema import LabelSchema
from ie_cli.data.statistics import DatasetStatistics
from ie_cli.doctor.data_checks import check
from ie_cli.document import Document, Entity, Relation
from ie_cli.recipe.heads import HEADS, heads_of
from ie_cli.recipe.loader import dump_recipe
from ie_cli.recipe.schema import Recipe
from ie_cli.tasks import TASKS, ScoringOptions
from ie_cli.triples import ROLES

TEXT = "Anna lives in Wien on Monday"
ANNA, WIEN, MONDAY = Entity(0, 4, "person"), Entity(14, 18, "place"), Entity(22, 28, "date")
LIVES = Relation(ANNA, "lives in", WIEN)
DOCUMENTS = [Document(TEXT + "." * n, [ANNA, WIEN, MONDAY], [LIVES]) for n in range(2)]
LOSES = "2 of 6 annotated entities are in no relation and are not learned, nor are entity types"


def recipe_for(path: Path, documents: list[Document], head: dict[str, Any]) -> Recipe:
    return relation_recipe(write_jsonl(path / "train.jsonl", documents), data={"dev": None}, head=head)


@pytest.mark.parametrize(
    ("head", "remedy"),
    [
        ({"name": "casrel"}, "the head gplinker learns both"),
        ({"name": "tplinker"}, "the head gplinker learns both"),
        ({"name": "gplinker", "entity_rows": "roles"}, "head.entity_rows: auto learns both"),
        ({"name": "gplinker"}, None),
    ],
)
def test_check_counts_them(head: dict[str, Any], remedy: str | None, tmp_path: Path) -> None:
    found = [(f.kind, f.text) for f in check(recipe_for(tmp_path, DOCUMENTS, head)) if "not learned" in f.text]
    assert found == ([] if remedy is None else [("warning", f"train: {LOSES}; {remedy}")])


def test_types_alone_are_a_note(tmp_path: Path) -> None:
    documents = [Document(TEXT, [ANNA, WIEN], [LIVES])]
    [found] = [f for f in check(recipe_for(tmp_path, documents, {"name": "casrel"})) if "not learned" in f.text]
    assert (found.kind, found.text) == (
        "note",
        "train: the types of 2 annotated entities are not learned; the head gplinker learns both",
    )
    unannotated = [Document(TEXT, [], [LIVES])]
    assert not any("not learned" in f.text for f in check(recipe_for(tmp_path, unannotated, {"name": "casrel"})))


def test_heads_of_entities_learn_all_of_them() -> None:
    for name in heads_of("ner"):
        assert HEADS[name].section.model_validate({"name": name}).has_entity_types(annotated=True)


def test_train_says_so_at_the_start_and_eval_below_the_scores(tmp_path: Path) -> None:
    made = recipe_for(tmp_path, DOCUMENTS, {"name": "casrel"})
    training = made.training.model_copy(update={"epochs": 1})
    (tmp_path / "recipe.yaml").write_text(dump_recipe(made.model_copy(update={"training": training})), encoding="utf-8")
    trained = ie("train", str(tmp_path / "recipe.yaml"), "-o", str(tmp_path / "run"))
    assert trained.exit_code == 0, trained.stderr
    assert f"warning: {LOSES}; the head gplinker learns both" in " ".join(trained.stderr.split())
    scored = ie("eval", str(tmp_path / "run" / "model"), str(tmp_path / "train.jsonl"))
    assert scored.exit_code == 0, scored.stderr
    note = "2 of 6 annotated entities are in no relation; the model does not extract them, nor entity types"
    assert note in " ".join(scored.stderr.split())


def notes_of(labels: tuple[str, ...], *documents: Document) -> list[str]:
    scorer = TASKS["relation"].scorer(LabelSchema(labels, ("lives in",)), ScoringOptions())
    for document in documents:
        scorer.add(document, document)
    return [note for table in scorer.scores().tables() for note in table.notes if "extract" in note]


def test_the_note_is_only_about_models_without_entity_types() -> None:
    assert notes_of(("date", "person", "place"), *DOCUMENTS) == []
    assert notes_of(ROLES, Document(TEXT, [], [LIVES])) == []
    assert notes_of(ROLES, Document(TEXT, [ANNA, WIEN], [LIVES])) == [
        "the types of 2 annotated entities are not compared: the model does not extract them"
    ]


spans = st.tuples(st.integers(0, 5), st.integers(1, 3))
entities = st.builds(lambda span, label: Entity(span[0], sum(span), label), spans, st.sampled_from("AB"))


@given(st.lists(entities, max_size=5), st.lists(st.builds(Relation, entities, st.just("p"), entities), max_size=3))
def test_an_entity_is_in_a_relation_if_its_span_is(found: list[Entity], relations: list[Relation]) -> None:
    statistics = DatasetStatistics.of([Document("甲" * 9, found, relations)])
    sides = {side for one in relations for side in (one.subject, one.object)}
    related = {(side.start, side.end) for side in sides}
    alone = [entity for entity in set(found) if (entity.start, entity.end) not in related]
    assert statistics.unrelated == len(alone)
    assert statistics.entities == (len({*found, *sides}) if found else 0)
