"""Exports of annotation tools against counts that share no code with the readers, and their round trips."""

from __future__ import annotations

import pytest
from support.independent_counts import Counted, labelled, values_of
from support.real import DATA, real
from support.tool_records import written

from ie_cli.document import Document
from ie_cli.formats import FORMATS, BadLine, Reading, read_records

pytestmark = pytest.mark.real

FORMS = {
    "doccano/data_export__pipeline__examples__relation_extraction__example.jsonl": "doccano-relations",
    "doccano/data_import__pipeline__examples__relation_extraction__example.jsonl": "doccano-relations",
    "doccano/data_import__tests__data__relation_extraction__example.jsonl": "doccano-relations",
    "doccano/data_export__pipeline__examples__sequence_labeling__example.jsonl": "doccano",
    "doccano/data_import__tests__data__sequence_labeling__example_overlapping.jsonl": "doccano",
    "doccano_transformer/labeling.jsonl": "doccano",
    "doccano_transformer/labeling_text_label.jsonl": "doccano",
    "doccano_transformer/labeling.spacy.user1": "spacy-json",
    "doccano_transformer/labeling_text_label.spacy.user0": "spacy-json",
    "label_studio/ls_editor_examples/named_entity_annotation_1.json": "label_studio",
    "label_studio/ls_editor_examples/named_entity_tasks.json": "label_studio",
    "prodigy/fashion_brands_eval.jsonl": "prodigy",
    "prodigy/rel_component_annotations.jsonl": "prodigy",
    "spacy/demo.jsonl": "prodigy",
    "spacy/ner-sent-per-line.json": "spacy-json",
    "spacy/ner-token-per-line-conll2003.json": "spacy-json",
    "spacy/ner-token-per-line.json": "spacy-json",
    "spacy/ner_demo_train.json": "spacy-json",
    "spacy/spancat_demo_train.json": "spacy-json",
    "spacy/training-data.json": "spacy-json",
}


@pytest.mark.parametrize("name", FORMS)
def test_an_export_is_read_without_loss_and_comes_back(name: str) -> None:
    path = real(DATA / "formats", name)
    documents = [record for record in read_records(str(path), reading=Reading()) if isinstance(record, Document)]
    expected = values_of(path)
    assert len(documents) == sum(len(value["paragraphs"]) if "paragraphs" in value else 1 for value in expected)
    found = Counted(("entity", entity.label) for document in documents for entity in document.entities)
    found.update(("relation", relation.predicate) for document in documents for relation in document.relations)
    assert found == Counted(pair for value in expected for pair in labelled(value))

    target = FORMS[name]
    lines = enumerate(written(target, *documents).splitlines(), 1)
    back = list(FORMATS[target].read(lines, "x", Reading()))
    assert len(back) == len(documents)
    for before, after in zip(documents, back, strict=True):
        assert isinstance(after, Document), after
        assert after.text == before.text
        assert set(after.entities) == set(before.entities)
        assert set(after.relations) == set(before.relations)
        assert target == "spacy-json" or (after.id, after.meta) == (before.id, before.meta)


def test_a_region_that_does_not_cover_its_text_is_reported() -> None:
    path = real(DATA / "formats", "label_studio/kiji_sample_predictions.json")
    [bad] = read_records(str(path))
    assert isinstance(bad, BadLine)
    assert bad.error.message == f"{path}:2: entity 'Email' covers characters 68-90, but the text has 85"
