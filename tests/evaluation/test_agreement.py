"""What two annotations agree on, and the list of what they do not."""

from __future__ import annotations

from collections import Counter

from ie_cli.document import Argument, Document, Entity, Event, Relation, Spo
from ie_cli.evaluation.agreement import Agreement, Disagreement

TEXT = "Ann Lee met Bob in Rome"
ANN, BOB, ROME = Entity(0, 7, "person"), Entity(12, 15, "person"), Entity(19, 23, "city")


def compared(a: Document, b: Document) -> Agreement:
    agreement = Agreement()
    agreement.add(a, b)
    return agreement


def kinds(agreement: Agreement) -> Counter[tuple[str, str]]:
    assert agreement.counts == Counter((case.item, case.kind) for case in agreement.disagreements)
    return agreement.counts


def test_each_kind_of_disagreement_of_entities() -> None:
    place = Entity(19, 23, "place")
    found = compared(
        Document(TEXT, [ANN, ROME, BOB], where="a:1"),
        Document(TEXT, [Entity(0, 3, "person"), place, Entity(8, 11, "verb")], where="b:9"),
    )
    assert kinds(found) == {
        ("entity", "boundary"): 1,
        ("entity", "label"): 1,
        ("entity", "only_a"): 1,
        ("entity", "only_b"): 1,
    }
    by_kind: dict[str, Disagreement] = {case.kind: case for case in found.disagreements}
    assert by_kind["label"].to_dict() == {
        "item": "entity",
        "kind": "label",
        "where_a": "a:1",
        "where_b": "b:9",
        "text": TEXT,
        "a": {"start": 19, "end": 23, "label": "city", "text": "Rome"},
        "b": {"start": 19, "end": 23, "label": "place", "text": "Rome"},
    }
    assert by_kind["only_a"].line() == f"a:1 and b:9: only in A: {TEXT}; A 'Bob' person; B nothing"
    scores = found.scores()
    assert (scores.entities.micro.correct, scores.entities.boundaries.correct) == (0, 1)
    assert (scores.documents, scores.equal) == (1, 0)


def test_equal_annotations_agree() -> None:
    document = Document(TEXT, [ANN, BOB], [Relation(ANN, "met", BOB)], events=[Event("meeting", (8, 11))])
    found = compared(document, document)
    assert not found.counts
    fields = found.scores().to_dict()
    assert (fields["equal"], fields["entities"]["f1"], fields["entities"]["kappa_tokens"]) == (1, 1, 1)
    assert (fields["relations"]["strict"]["f1"], fields["events"]["f1"]) == (1, 1)


def test_relations_events_and_classes() -> None:
    met, knows = Relation(ANN, "met", BOB), Relation(ANN, "knows", BOB)
    trip = Event("trip", None, (Argument("to", ROME),))
    found = compared(Document(TEXT, relations=[met]), Document(TEXT, relations=[knows], events=[trip]))
    assert kinds(found) == {("relation", "predicate"): 1, ("event", "only_b"): 1}
    relation = found.disagreements[0].to_dict()
    assert relation["a"] == {
        "subject": "Ann Lee",
        "predicate": "met",
        "object": "Bob",
        "spans": [(0, 7), (12, 15)],
        "labels": ("person", "person"),
    }
    agreement = Agreement()
    for one, other in (("1", "1"), ("0", "0"), ("1", "0"), ("0", "0")):
        agreement.add(Document(TEXT, text_pair="x", label=one), Document(TEXT, text_pair="x", label=other))
    assert kinds(agreement) == {("pair", "class"): 1}
    assert agreement.scores().to_dict()["pairs"]["kappa"] == 0.5


def test_triples_without_offsets_are_compared_by_text() -> None:
    one = Document(TEXT, spos=[Spo("Ann Lee", "met", "Bob")])
    other = Document(TEXT, relations=[Relation(ANN, "met", BOB)])
    found = compared(one, other)
    assert not found.counts
    assert found.scores().to_dict()["relations"]["match"] == "text"


def test_no_more_are_kept_than_asked_for() -> None:
    agreement = Agreement(keep=2)
    for _ in range(5):
        agreement.add(Document(TEXT, [ANN]), Document(TEXT))
    assert len(agreement.disagreements) == 2
    assert agreement.counts["entity", "only_a"] == 5


def test_tables_have_the_scores() -> None:
    found = compared(Document(TEXT, [ANN, ROME], [Relation(ANN, "in", ROME)]), Document(TEXT, [ANN]))
    entities, relations = found.scores().tables()
    rows = dict(entities.rows)
    assert rows["person"][:4] == (1.0, 1, 1, 1)
    assert rows["city"][:4] == (0.0, 1, 0, 0)
    assert rows["city"][4:] == (0.0, 0.0)
    assert dict(relations.rows)["in"] == (0.0, 1, 0, 0)
