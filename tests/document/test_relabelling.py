"""Labels and predicates that are renamed, merged, ignored, or mean that there is no relation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ie_cli.document import Document, Entity, Relation, Spo
from ie_cli.document.relabelling import NO_RELATION, RelabelledNames, Relabelling
from ie_cli.formats import Reading, read_documents

TEXT = "甲乙丙"
A, B, C = (Entity(n, n + 1, label) for n, label in enumerate(["PERSON", "person", "MISC"]))


def relabelled(document: Document, **options: Any) -> tuple[Document, list[str]]:
    names = RelabelledNames(Relabelling(**options))
    return names.apply(document), list(names.describe())


def test_several_names_are_merged_into_one() -> None:
    document = Document(TEXT, [A, B], [Relation(A, "knows", B)])
    found, said = relabelled(document, rename={"PERSON": "PER", "person": "PER", "knows": "met"})
    a, b = Entity(0, 1, "PER"), Entity(1, 2, "PER")
    assert (found.entities, found.relations) == ([a, b], [Relation(a, "met", b)])
    assert said == ["renamed labels and predicates: PERSON to PER 1, person to PER 1, knows to met 1"]


def test_names_are_replaced_once_and_may_be_exchanged() -> None:
    found, _ = relabelled(Document(TEXT, [A, B]), rename={"PERSON": "person", "person": "PERSON"})
    assert [entity.label for entity in found.entities] == ["person", "PERSON"]


def test_an_ignored_label_takes_its_relations_along() -> None:
    document = Document(TEXT, [A, C], [Relation(A, "knows", C), Relation(A, "likes", A), Relation(A, "hates", A)])
    found, said = relabelled(document, ignore={"MISC", "hates"})
    assert (found.entities, found.relations) == ([A], [Relation(A, "likes", A)])
    assert said == ["ignored labels and predicates: MISC 1, knows 1, hates 1"]


def test_classes_of_pairs_are_renamed_and_left_out() -> None:
    options: dict[str, Any] = {"rename": {"2": "1"}, "ignore": {"x"}}
    for label, new in (("2", "1"), ("x", None), ("0", "0"), (None, None)):
        found, said = relabelled(Document(TEXT, text_pair="丁", label=label), **options)
        assert found == Document(TEXT, text_pair="丁", label=new)
        assert said == {
            "2": ["renamed labels and predicates: 2 to 1 1"],
            "x": ["ignored labels and predicates: x 1"],
        }.get(label or "", [])


@pytest.mark.parametrize("name", NO_RELATION)
def test_predicates_that_mean_no_relation_are_skipped(name: str) -> None:
    document = Document(TEXT, [A, B], [Relation(A, name, B), Relation(A, "knows", B)])
    found, said = relabelled(document, no_relation=NO_RELATION)
    assert (found.entities, found.relations) == ([A, B], [Relation(A, "knows", B)])
    assert said == [f"skipped predicates that mean no relation: {name} 1"]
    entities_alone = Document(TEXT, [A, Entity(0, 1, name)])
    assert RelabelledNames(Relabelling(no_relation=NO_RELATION)).apply(entities_alone) is entities_alone
    kept = Relabelling(no_relation=NO_RELATION).keeping([name])
    assert RelabelledNames(kept).apply(document) == document


def test_a_predicate_means_no_relation_by_its_new_name() -> None:
    document = Document(TEXT, [A, B], [Relation(A, "NA", B), Relation(A, "nothing", B)])
    found, said = relabelled(document, rename={"NA": "beside", "nothing": "Other"}, no_relation=NO_RELATION)
    assert found.relations == [Relation(A, "beside", B)]
    assert said[1:] == ["skipped predicates that mean no relation: nothing 1"]
    relabelling = Relabelling(ignore={"NA"}, no_relation=NO_RELATION)
    assert RelabelledNames(relabelling).apply(document).relations == [Relation(A, "nothing", B)]
    assert relabelling.found == {"NA"}


def test_items_that_become_equal_are_merged() -> None:
    again = Entity(0, 1, "person")
    document = Document(TEXT, [A, again], [Relation(A, "knows", C), Relation(again, "met", C)])
    found, said = relabelled(document, rename={"PERSON": "PER", "person": "PER", "knows": "met"})
    merged = Entity(0, 1, "PER")
    assert (found.entities, found.relations) == ([merged], [Relation(merged, "met", C)])
    assert said == ["renamed labels and predicates: PERSON to PER 1, person to PER 1, knows to met 1"]


def test_triples_without_offsets_keep_their_slots_together() -> None:
    spo = Spo("甲", "p", "乙", (("a", "丙"),), "X", "Y", (("a", "Z"),))
    relations = [Relation(A, "p", B), Relation(B, "p.a", C)]
    found, said = relabelled(Document(TEXT, relations=relations, spos=[spo]), rename={"p": "q", "X": "W"})
    assert found.spos == [Spo("甲", "q", "乙", (("a", "丙"),))]
    assert found.spos is not None
    assert (found.spos[0].subject_type, found.spos[0].object_type) == ("W", "Y")
    assert [relation.predicate for relation in found.relations] == ["q", "q.a"]
    assert said == ["renamed labels and predicates: p to q 1"]
    for options in ({"ignore": {"p"}}, {"no_relation": {"p"}}, {"ignore": {"X"}}):
        gone, _ = relabelled(Document(TEXT, relations=[], spos=[spo]), **options)
        assert gone.spos == []
    gone, _ = relabelled(Document(TEXT, relations=relations, spos=[spo]), ignore={"p"})
    assert gone.relations == []


def test_a_predicate_with_a_dot_in_data_with_offsets_is_a_name_of_its_own() -> None:
    document = Document(TEXT, relations=[Relation(A, "org.founder", B)])
    assert relabelled(document, rename={"org": "x"}, ignore={"org"})[0] == document


def test_reading_applies_and_reports_the_names(tmp_path: Path) -> None:
    entity = {"start": 0, "end": 1, "label": "PERSON"}
    relation = {"subject": entity, "predicate": "NA", "object": entity}
    file = tmp_path / "x.jsonl"
    file.write_text(json.dumps({"text": TEXT, "entities": [entity], "relations": [relation]}), encoding="utf-8")
    said: list[str] = []
    relabelling = Relabelling({"PERSON": "PER", "absent": "x"}, no_relation=NO_RELATION)
    [document] = read_documents(file, reading=Reading(relabelling=relabelling, report=said.append))
    assert (document.entities, document.relations) == ([Entity(0, 1, "PER")], [])
    assert relabelling.found == {"PERSON"}
    assert said == [
        f"{file}: renamed labels and predicates: PERSON to PER 1",
        f"{file}: skipped predicates that mean no relation: NA 1",
    ]
    assert [each.predicate for each in next(iter(read_documents(file))).relations] == ["NA"]
