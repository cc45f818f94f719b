"""Directions and types of relations: what is usual for a predicate, and what is not."""

from __future__ import annotations

from ie_cli.data.findings import Finding
from ie_cli.doctor.relation_directions import RelationDirections
from ie_cli.document import Document, Entity, Relation

TEXT = "Ann works at Acme"
ANN, ACME = Entity(0, 3, "person"), Entity(13, 17, "company")


def findings(*relations: list[Relation]) -> list[Finding]:
    directions = RelationDirections()
    for number, several in enumerate(relations, 1):
        directions.add(Document(TEXT, relations=several, where=f"f:{number}"))
    return list(directions.findings("train"))


def test_exchanged_arguments_are_shown_with_their_place() -> None:
    usual = [Relation(ANN, "works_for", ACME)]
    [finding] = findings(*[usual] * 30, [Relation(ACME, "works_for", ANN)])
    assert finding.kind == "warning"
    assert finding.message.startswith(
        "train: 1 relation whose predicate joins the same types at least 10 times as often in the"
    )
    assert finding.details == ["'works_for' company → person: 1, 30 in the other direction, first f:31: 'Acme' → 'Ann'"]
    assert not findings(*[usual] * 9, [Relation(ACME, "works_for", ANN)])
    assert not findings(*[usual] * 30, [Relation(ACME, "employs", ANN)])


def test_rare_types_are_a_note() -> None:
    usual = [Relation(ANN, "works_for", ACME)]
    place = Entity(13, 17, "place")
    [finding] = findings(*[usual] * 60, [Relation(ANN, "works_for", place)])
    assert finding.kind == "note"
    assert "1 relation with types that are rare for the predicate (less than 2%)" in finding.message
    assert finding.details == ["'works_for' person → place: 1, 60 with the usual types, first f:61: 'Ann' → 'Acme'"]
    assert not findings(*[usual] * 30, [Relation(ANN, "works_for", place)])


def test_partly_symmetric_predicates_are_a_note() -> None:
    bo = Entity(13, 17, "person")
    one, both = [Relation(ANN, "knows", bo)], [Relation(ANN, "knows", bo), Relation(bo, "knows", ANN)]
    [finding] = findings(one, one, one, both)
    assert finding.kind == "note"
    assert finding.details == ["'knows': 2 of 5 relations, first f:4: 'Ann' → 'Acme'"]
    assert not findings(both, both)
    assert not findings(one, one)
