"""Sentences joined to documents keep their annotation."""

from __future__ import annotations

from ie_cli.document import Document, Entity, Relation
from tests.support.benchmark_modules import benchmark_modules


def sentence(text: str, *mentions: str) -> Document:
    """Return a sentence with an entity for each mention, the first two related."""
    entities = [Entity(text.index(mention), text.index(mention) + len(mention), "X") for mention in mentions]
    relations = [Relation(entities[0], "r", entities[1])] if len(entities) > 1 else []
    return Document(text, entities, relations)


def test_joined_documents_keep_mentions_and_relations() -> None:
    with benchmark_modules("documents") as modules:
        documents = modules[0]
    sentences = [
        sentence("Ann met Bo .", "Ann", "Bo"),
        sentence("Cy slept .", "Cy"),
        sentence("安去了北京。", "安", "北京"),
    ]
    first, last = documents.documents_of(sentences, 2)
    assert first.text == "Ann met Bo . Cy slept ."
    assert [entity.text for entity in first.entities] == ["Ann", "Bo", "Cy"]
    assert [(r.subject.text, r.object.text) for r in first.relations] == [("Ann", "Bo")]
    assert last == sentences[2]
    whole = documents.joined(sentences)
    assert whole.text.endswith("slept .安去了北京。")
    assert [(r.subject.text, r.object.text) for r in whole.relations] == [("Ann", "Bo"), ("安", "北京")]
