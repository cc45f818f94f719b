"""Relation models trained, stored, loaded and scored: one figure everywhere."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support.corpora import relation_documents, relation_recipe, write_duie, write_jsonl
from support.fakes import score_engine

from ie_cli.errors import DataError, ModelError, RecipeError
from ie_cli.export.onnx import export_onnx
from ie_cli.formats import read_documents
from ie_cli.inference.extractor import Extractor
from ie_cli.metrics.relations import RelationScores
from ie_cli.recipe.heads import RelationSection, heads_of
from ie_cli.recipe.schema import Recipe
from ie_cli.system.checksums import with_checksum
from ie_cli.training.events import Evaluated, Finished, Started
from ie_cli.training.run import train
from ie_cli.training.setup import prepare
from ie_cli.triples import to_spos


def run(made: Recipe, output: Path) -> tuple[Started, list[Evaluated], Finished]:
    events = list(train(made, output))
    evaluated = [event for event in events if isinstance(event, Evaluated)]
    assert isinstance(events[0], Started)
    assert isinstance(events[-1], Finished)
    return events[0], evaluated, events[-1]


@pytest.mark.parametrize("head", heads_of("relation"))
@pytest.mark.parametrize("annotated", [True, False], ids=["types", "roles"])
def test_a_tiny_encoder_learns_twenty_examples_by_heart(head: str, annotated: bool, tmp_path: Path) -> None:
    data = relation_documents(annotated=annotated)
    # Ten evaluations instead of forty: each stores the model.
    made = relation_recipe(
        write_jsonl(tmp_path / "t.jsonl", data), head={"name": head}, encoder={"layers": 1}, training={"eval_every": 12}
    )
    started, evaluated, finished = run(made, tmp_path / "run")
    section = made.instances()["relation"].head
    assert isinstance(section, RelationSection)
    typed = section.has_entity_types(annotated=annotated)
    assert started.tasks["relation"].schema.roles is not typed
    scores = finished.scores["dev"]["relation"]
    assert isinstance(scores, RelationScores)
    assert (scores.match, scores.f1) == ("strict", 1.0)
    assert (scores.entities is not None) == typed
    if scores.entities is not None:
        assert scores.entities.f1 == 1.0
    assert evaluated[-1].loss < 0.1 * evaluated[0].loss
    # The stored model gives the scores that training reported, to the last digit.
    loaded = Extractor.from_pretrained(finished.model, device="cpu", precision="float32")
    assert loaded.schema == started.tasks["relation"].schema
    again = score_engine(loaded.engine(), data)
    assert again.to_dict() | {"unseen": None} == scores.to_dict() | {"unseen": None}
    stored = json.loads((finished.model / "metrics.json").read_text(encoding="utf-8"))["dev"]
    assert stored["f1"] == again.f1
    assert "`学校`" in (finished.model / "README.md").read_text(encoding="utf-8")
    # Relations as a Python user gets them, and a threshold that nothing reaches.
    [first] = loaded.extract([data[0].text])
    assert first.relations == sorted(data[0].relations)
    assert all(0.5 < (relation.score or 0) <= 1 for relation in first.relations)
    assert not next(iter(loaded.extract([data[0].text], threshold=1.0))).relations


@pytest.fixture(scope="module")
def duie(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_duie(tmp_path_factory.mktemp("duie") / "train.json")


def test_data_without_offsets_are_scored_by_text_and_by_the_official_rules(duie: Path, tmp_path: Path) -> None:
    from ie_cli.metrics.duie import OfficialScorer

    started, _, finished = run(relation_recipe(duie, training={"epochs": 60, "eval_every": 60}), tmp_path / "run")
    assert started.tasks["relation"].schema.predicates == ("学校", "老师", "老师.onDate")
    scores = finished.scores["dev"]["relation"]
    assert isinstance(scores, RelationScores)
    assert (scores.match, scores.strict, scores.f1) == ("text", None, 1.0)
    engine = Extractor.from_pretrained(finished.model, device="cpu", precision="float32").engine()
    official = score_engine(engine, read_documents(str(duie)), official=OfficialScorer())
    assert isinstance(official, RelationScores)
    assert official.official is not None
    assert (official.official.f1, official.official.gold) == (1.0, 38)
    with pytest.raises(DataError, match="offsets"):
        score_engine(engine, read_documents(str(duie)), match="strict")


def test_guessed_offsets_are_no_ground_to_choose_a_model_by(duie: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"training\.match: got .*offsets"):
        run(relation_recipe(duie, training={"match": "strict", "epochs": 1}), tmp_path / "run")


def test_entity_rows_and_type_pairs_are_as_the_recipe_says(tmp_path: Path) -> None:
    data = write_jsonl(tmp_path / "t.jsonl", relation_documents(annotated=False))
    head: dict[str, object] = {"entity_rows": "types", "type_pairs": "observed"}
    short = relation_recipe(data, head=head, training={"epochs": 1, "label_weights": {"学校": 2.0, "person": 0.5}})
    started, _, finished = run(short, tmp_path / "run")
    schema = started.tasks["relation"].schema
    assert (schema.labels, schema.constrained) == (("person", "school"), True)
    assert schema.types == {"学校": (("person", "school"),), "老师": (("person", "person"),)}
    assert Extractor.from_pretrained(finished.model).schema == schema


def test_a_damaged_schema_is_reported(tmp_path: Path) -> None:
    data = write_jsonl(tmp_path / "t.jsonl", relation_documents(annotated=True))
    _, _, finished = run(relation_recipe(data, training={"epochs": 1}), tmp_path / "run")
    facts = json.loads((finished.model / "ie.json").read_text(encoding="utf-8"))
    facts["tasks"]["relation"]["predicates"] = ["学校"]
    (finished.model / "ie.json").write_text(json.dumps(facts), encoding="utf-8")
    with pytest.raises(ModelError, match=r"ie\.json: damaged: predicates must map"):
        Extractor.from_pretrained(finished.model)
    facts["tasks"]["relation"]["predicates"] = {"学校": []}
    (finished.model / "ie.json").write_text(json.dumps(facts), encoding="utf-8")
    with pytest.raises(ModelError, match="the weights do not fit"):
        Extractor.from_pretrained(finished.model)


def test_a_run_without_relations_is_refused(tmp_path: Path) -> None:
    data = [replace(document, relations=[]) for document in relation_documents(annotated=True)]
    with pytest.raises(DataError, match="contain no relations"):
        run(relation_recipe(write_jsonl(tmp_path / "t.jsonl", data)), tmp_path / "run")


def test_pairs_of_types_are_learned_exported_and_continued(tmp_path: Path) -> None:
    """One predicate joins a person to a school or to a person, as in CMeIE; the data have no offsets."""
    lines = []
    for document in relation_documents(annotated=False):
        spos = [
            {
                "subject": s.subject,
                "predicate": "相关",
                "object": s.object,
                "subject_type": s.subject_type,
                "object_type": s.object_type,
            }
            for s in to_spos(document.text, document.relations)
        ]
        lines.append(json.dumps({"text": document.text, "spo_list": spos}, ensure_ascii=False) + "\n")
    file = tmp_path / "train.json"
    file.write_text("".join(lines), encoding="utf-8")
    made = relation_recipe(file, training={"epochs": 40, "eval_every": 120, "label_weights": {"相关": 1.5}})
    started, _, finished = run(made, tmp_path / "run")
    schema = started.tasks["relation"].schema
    assert schema.joined == (("相关", "person", "person"), ("相关", "person", "school"))
    scores = finished.scores["dev"]["relation"]
    assert isinstance(scores, RelationScores)
    assert scores.typed is not None
    assert (scores.f1, scores.typed.f1) == (1.0, 1.0)
    loaded = Extractor.from_pretrained(finished.model, device="cpu", precision="float32")
    assert loaded.schema == schema
    assert json.loads((finished.model / "ie.json").read_text(encoding="utf-8"))["format_version"] == 5
    texts = [document.text for document in read_documents(str(file))]
    export_onnx(loaded, tmp_path / "onnx", list(read_documents(str(file))))
    exported = Extractor.from_pretrained(tmp_path / "onnx")
    assert [d.relations for d in exported.extract(texts)] == [d.relations for d in loaded.extract(texts)]
    again = prepare(relation_recipe(file, training={"init_from": str(finished.model)}))
    name = "heads.relation_head.tables.start_links.bias.weight"
    assert torch.equal(again.model.state_dict()[name], loaded.model.state_dict()[name])


def test_a_run_of_an_earlier_version_resumes_without_pairs_of_types(tmp_path: Path) -> None:
    data = relation_documents(annotated=False)
    for document in data:
        document.relations = [replace(relation, predicate="p") for relation in document.relations]
    made = relation_recipe(write_jsonl(tmp_path / "t.jsonl", data), data={"dev": None}, training={"epochs": 1})
    events = train(made, tmp_path / "run")
    started = next(events)
    events.close()  # type: ignore[attr-defined]
    assert isinstance(started, Started)
    assert len(started.tasks["relation"].schema.joined) == 2
    facts = json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))
    del facts["schema"]["joined"]
    (tmp_path / "run" / "run.json").write_text(json.dumps(with_checksum(facts)), encoding="utf-8")
    resumed = next(train(made, tmp_path / "run", resume=True))
    assert isinstance(resumed, Started)
    assert resumed.tasks["relation"].schema.joined == ()
