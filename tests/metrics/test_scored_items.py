"""Up to which threshold an item is predicted."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ie_cli.document import Document, Entity, Relation
from ie_cli.metrics.relations import Item, Match, items
from ie_cli.metrics.scored_items import scored_entities, scored_relations

TEXT = "Ann met Bob and Ann"
ANN, BOB, AGAIN = Entity(0, 3, "P", 0.9), Entity(8, 11, "P", 0.4), Entity(16, 19, "P", 0.8)


def test_an_entity_needs_its_own_score() -> None:
    assert scored_entities([ANN, BOB]) == {ANN: 0.9, BOB: 0.4}
    assert scored_entities([replace(ANN, score=None)]) == {ANN: 1.0}


def test_a_relation_needs_its_arguments() -> None:
    document = Document(TEXT, [], [Relation(ANN, "met", BOB, 0.7), Relation(ANN, "met", AGAIN, 0.3)])
    assert scored_relations(document, "strict", {}) == {
        Item((0, 3), "met", (8, 11), ("P", "P")): 0.4,
        Item((0, 3), "met", (16, 19), ("P", "P")): 0.3,
    }


def test_of_equal_texts_the_highest_counts() -> None:
    document = Document(TEXT, [], [Relation(ANN, "met", BOB, 0.1), Relation(AGAIN, "met", BOB, 0.3)])
    assert scored_relations(document, "text", {}) == {Item("Ann", "met", "Bob"): 0.3}
    assert len(scored_relations(document, "boundaries", {})) == 2


def test_a_slot_needs_a_relation_with_its_value() -> None:
    main, slot = Relation(ANN, "won", BOB, 0.3), Relation(BOB, "won.when", AGAIN, 0.35)
    slots = {"won.when": "won"}
    found = scored_relations(Document(TEXT, [], [main, slot]), "text", slots)
    assert found == {Item("Ann", "won", "Bob"): 0.3, Item("Bob", "won.when", "Ann"): 0.3}
    assert scored_relations(Document(TEXT, [], [slot]), "text", slots) == {Item("Bob", "won.when", "Ann"): 0.0}
    assert scored_relations(Document(TEXT, [], [slot]), "text", {}) == {Item("Bob", "won.when", "Ann"): 0.35}


@pytest.mark.parametrize("match", ["strict", "boundaries", "text"])
def test_the_items_are_those_that_are_scored(match: Match) -> None:
    document = Document(TEXT, [], [Relation(ANN, "met", BOB, 0.7), Relation(AGAIN, "met", BOB, 0.3)])
    assert scored_relations(document, match, {}).keys() == items(document, match)
