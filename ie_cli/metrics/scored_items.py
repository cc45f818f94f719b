"""The items of a prediction with the probability up to which a threshold keeps them.

A prediction at a low threshold then contains the predictions at all higher ones: an item is predicted at a threshold if its
value exceeds it. Custom heads need not have this property; what is derived from it is compared with real scores.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping

from ie_cli.document import Document, Entity, Relation
from ie_cli.metrics.relations import Match, item_of

Scored = dict[Hashable, float]


def scored_entities(entities: Iterable[Entity]) -> Scored:
    """Return entities by span and label."""
    return _highest((entity, _score(entity)) for entity in entities)


def scored_relations(document: Document, match: Match, slots: Mapping[str, str]) -> Scored:
    """Return relations in the form in which a criterion compares them.

    A relation needs its subject and its object. A slot of a complex object needs a relation with the value of this object.

    Args:
        document: a prediction.
        match: the criterion.
        slots: the predicates of slots, and the predicate of the complex object of each.
    """
    text = document.text
    chances = [(r, min(_score(r), _score(r.subject), _score(r.object))) for r in document.relations]
    values = _highest(((r.predicate, text[r.object.start : r.object.end]), chance) for r, chance in chances)

    def possible(relation: Relation) -> float:
        if relation.predicate not in slots:
            return 1.0
        return values.get((slots[relation.predicate], text[relation.subject.start : relation.subject.end]), 0.0)

    return _highest((item_of(relation, match, text), min(chance, possible(relation))) for relation, chance in chances)


def _highest(items: Iterable[tuple[Hashable, float]]) -> Scored:
    found: Scored = {}
    for item, chance in items:
        if chance > found.get(item, -1.0):
            found[item] = chance
    return found


def _score(item: Entity | Relation) -> float:
    """Return the probability of an item; without one, it is predicted at every threshold."""
    return 1.0 if item.score is None else item.score
