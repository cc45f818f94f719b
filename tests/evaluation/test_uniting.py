"""Several annotations of a text become one; what contradicts each other is found."""

from __future__ import annotations

from collections import Counter

import pytest

from ie_cli.document import Document, Entity, Event, Relation, Spo
from ie_cli.errors import DataError
from ie_cli.evaluation.agreement import Disagreement
from ie_cli.evaluation.uniting import Uniting, names_of_document

TEXT = "Ann Lee met Bob in Rome"
ANN, BOB, ROME = Entity(0, 7, "person"), Entity(12, 15, "person"), Entity(19, 23, "city")


def united(
    *versions: Document, keep_first: bool = False, used: tuple[set[str], ...] = ()
) -> tuple[Document, Uniting, list[Disagreement]]:
    """Unite one version of each file; `used` are labels of entities that the files use elsewhere."""
    found: list[Disagreement] = []
    uniting = Uniting(keep_first=keep_first, conflicts=found.append)
    for number, version in enumerate(versions):
        elsewhere = {("entity", label) for label in (used[number] if used else ())}
        uniting.names.append(names_of_document(version) | elsewhere)
    return uniting.unite(list(enumerate(versions))), uniting, found


def test_files_with_different_labels_complement_each_other() -> None:
    result, uniting, conflicts = united(Document(TEXT, [ANN, BOB]), Document(TEXT, [ROME]), Document(TEXT))
    assert result.entities == [ANN, BOB, ROME]
    assert (conflicts, uniting.added, uniting.texts) == ([], 1, [1, 0])


def test_equal_annotations_are_one() -> None:
    version = Document(TEXT, [ANN, ROME], [Relation(ANN, "in", ROME)], meta={"a": 1}, id=3)
    result, uniting, conflicts = united(version, Document(TEXT, [ROME, ANN], [Relation(ANN, "in", ROME)]))
    assert result == version
    assert (conflicts, uniting.texts, uniting.fields) == ([], [1, 1], 0)


@pytest.mark.parametrize(
    ("one", "other", "kind"),
    [
        ([ANN], [Entity(0, 3, "person")], "boundary"),
        ([ANN], [Entity(0, 7, "city")], "label"),
        ([ANN, BOB], [ANN], "only_a"),
        ([ANN], [ANN, BOB], "only_b"),
    ],
)
def test_a_difference_in_a_label_that_both_use_is_a_conflict(one: list[Entity], other: list[Entity], kind: str) -> None:
    versions = Document(TEXT, one, where="a:1"), Document(TEXT, other, where="b:1")
    used: tuple[set[str], ...] = ({"person", "city"}, {"person", "city"})
    both, uniting, conflicts = united(*versions, used=used)
    assert uniting.counts == Counter({("entity", kind): 1})
    assert conflicts[0].where == ("a:1", "b:1")
    assert set(both.entities) == {*one, *other}
    first, _, _ = united(*versions, keep_first=True, used=used)
    assert first.entities == one


def test_the_first_keeps_what_others_add_without_a_conflict() -> None:
    wrong = Entity(0, 3, "person")
    relations = [Relation(wrong, "in", ROME), Relation(BOB, "in", ROME)]
    result, uniting, _ = united(
        Document(TEXT, [ANN, BOB]), Document(TEXT, [wrong, BOB, ROME], relations), keep_first=True
    )
    assert result.entities == [ANN, BOB, ROME]
    assert result.relations == relations[1:]  # the argument of the other one is left out
    assert uniting.counts == Counter({("entity", "boundary"): 1})


def test_nested_entities_with_other_labels_are_judged_separately() -> None:
    school, inside = Entity(0, 15, "school"), Entity(12, 15, "person")
    used: tuple[set[str], ...] = (set(), {"school"})
    result, uniting, _ = united(Document(TEXT, [school]), Document(TEXT, [inside]), keep_first=True, used=used)
    assert result.entities == [school, inside]  # the first file annotates no persons
    assert (uniting.counts, uniting.added) == (Counter({("entity", "only_a"): 1}), 1)


def test_relations_events_and_classes_have_conflicts() -> None:
    met, knows = Relation(ANN, "met", BOB), Relation(ANN, "knows", BOB)
    _, uniting, _ = united(Document(TEXT, relations=[met, knows]), Document(TEXT, relations=[met]))
    assert not uniting.counts  # the other file never annotates `knows`
    versions = (
        Document(TEXT, relations=[met], events=[Event("trip", (8, 11))]),
        Document(TEXT, events=[Event("trip", (8, 10))]),
    )
    _, uniting, _ = united(*versions)
    assert uniting.counts == Counter({("event", "only_a"): 1, ("event", "only_b"): 1})
    one, other = (Document("a", text_pair="b", label=label) for label in "01")
    result, uniting, _ = united(one, other)
    assert uniting.counts == Counter({("pair", "class"): 1})
    assert result.label == "0"
    result, uniting, _ = united(Document("a", text_pair="b", score=1.0), Document("a", text_pair="b", score=2.0))
    assert (uniting.counts, result.score) == (Counter({("pair", "class"): 1}), 1.0)


def test_triples_without_offsets_are_united_by_text() -> None:
    one, two = Spo("Ann Lee", "met", "Bob"), Spo("Bob", "lives_in", "Rome")
    result, uniting, _ = united(Document(TEXT, spos=[one]), Document(TEXT, spos=[one, two]))
    assert (result.spos, uniting.added) == ([one, two], 1)
    with pytest.raises(DataError, match="the relations of one have offsets"):
        united(Document(TEXT, spos=[one]), Document(TEXT, relations=[Relation(ANN, "met", BOB)]))


def test_fields_and_ids_of_the_first_are_kept() -> None:
    result, uniting, _ = united(
        Document(TEXT, meta={"a": 1}, id=1), Document(TEXT, meta={"a": 2, "b": 3}, id=2), Document(TEXT, meta={"a": 1})
    )
    assert (result.meta, result.id, uniting.fields) == ({"a": 1, "b": 3}, 1, 2)
