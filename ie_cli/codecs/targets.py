"""Gold annotation -> cells of the score tables of a head, on the tokens of a text; what cannot be had, with its reason.

An entity is a cell (row, first, last token). A relation is a link (predicate, subject's first and last token, object's first
and last token), from which GPLinker's two link tables take the cells of the starts and of the ends.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from ie_cli.data.label_schema import LabelSchema
from ie_cli.document import Document, Entity, Relation
from ie_cli.encoding.tokenizer import Tokens
from ie_cli.encoding.windows import NO_LABEL, Borders, Index, WindowPlan, align, within
from ie_cli.triples import Mentions, Triple, entities_of, find_places, locate, text_triples

NO_PREDICATE = "predicate unknown to the model"
NO_TYPES = "types that the schema does not allow"
APART = "subject and object in no common window"
ABSENT = "mention not in the text"
NO_LINKS: Index = np.zeros((0, 5), dtype=np.int64)


@dataclass(slots=True)
class Targets:
    """Gold cells of one text, how many gold items there are, and which of them no prediction could ever return.

    A triple without offsets is one item, however many places it has; slots of complex objects are items of their own.

    *Shapes:* spans int64 ``[spans, 3]`` of (row, first, last); links int64 ``[links, 5]`` of (predicate, subject's first,
    subject's last, object's first, object's last); tokens of the whole text.
    """

    spans: Index
    links: Index
    entities: int = 0
    relations: int = 0
    lost_entities: list[tuple[Entity, str]] = field(default_factory=list)
    lost_relations: list[tuple[Triple, str]] = field(default_factory=list)

    def within(self, start: int, capacity: int) -> tuple[Index, Index]:
        """The spans and links that lie whole in one window, counted from its first token.

        An item is gold in every window that holds it, not only in the one that judges it: elsewhere it would be taught as a
        negative.
        """
        links = self.links
        whole = (links[:, [1, 3]].min(axis=1) >= start) & (links[:, [2, 4]].max(axis=1) < start + capacity)
        return within(self.spans, start, capacity), links[whole] - np.array([0, start, start, start, start])


def find_targets(
    document: Document, tokens: Tokens, plan: WindowPlan, schema: LabelSchema, *, mentions: Mentions = "nearest"
) -> Targets:
    """The gold of one example for a model of this schema.

    Args:
        mentions: where the data have no offsets, which occurrences to take, of those that stand on token borders.
    """
    entities = set(document.entities)
    if not schema.predicates:
        aligned = align(document.text, entities, tokens, plan, schema.ids)
        return Targets(aligned.spans, NO_LINKS, len(entities), 0, aligned.unreachable)
    borders = Borders(document.text, tokens)
    relations: Collection[Relation] = set(document.relations)
    absent: list[tuple[Triple, str]] = []
    count = len(relations)
    if document.spos is not None:
        located = locate(document.text, document.spos, mentions, reachable=lambda span: borders.find(*span) is not None)
        relations, count = located.relations, located.triples
        absent = [(triple, _why_absent(document.text, triple, borders)) for triple in located.absent]
    links, lost = _links(relations, borders, plan, schema)
    if schema.roles:
        made = Targets(_role_spans(links), links, 0, count)
    else:
        entities = entities_of(replace(document, relations=list(relations)))
        aligned = align(document.text, entities, tokens, plan, schema.ids)
        made = Targets(aligned.spans, links, len(entities), count, aligned.unreachable)
    made.lost_relations = absent + _lost_triples(document, relations, lost)
    return made


def find_reachable(document: Document, tokens: Tokens, plan: WindowPlan, schema: LabelSchema) -> Targets:
    """The same, to count what is out of reach: a triple without offsets is not, if any of its places can be had."""
    found = find_targets(document, tokens, plan, schema)
    if found.lost_relations and document.spos is not None:
        found = find_targets(document, tokens, plan, schema, mentions="all")
    return found


def _links(
    relations: Collection[Relation], borders: Borders, plan: WindowPlan, schema: LabelSchema
) -> tuple[Index, dict[Relation, str]]:
    """Links of the relations, and why there is none of some."""
    lost: dict[Relation, str] = {}
    placed: list[Relation] = []
    rows: list[tuple[int, int, int, int, int]] = []
    for relation in relations:
        reason = _unknown(relation, schema)
        subject, object_ = (borders.find(side.start, side.end) for side in (relation.subject, relation.object))
        if reason or subject is None or object_ is None:
            side = relation.subject if subject is None else relation.object
            lost[relation] = reason or borders.reason(side.start, side.end)
            continue
        placed.append(relation)
        rows.append((schema.predicate_ids[relation.predicate], *subject, *object_))
    links = np.array(rows, dtype=np.int64).reshape(-1, 5)
    whole = plan.owners(len(borders.tokens), links[:, [1, 3]].min(axis=1), links[:, [2, 4]].max(axis=1)) >= 0
    lost |= {relation: APART for relation, fits in zip(placed, whole, strict=True) if not fits}
    return np.unique(links[whole], axis=0), lost


def _unknown(relation: Relation, schema: LabelSchema) -> str:
    if relation.predicate not in schema.predicate_ids:
        return NO_PREDICATE
    if schema.roles:
        return ""
    types = (relation.subject.label, relation.object.label)
    if not set(types) <= schema.ids.keys():
        return NO_LABEL
    return NO_TYPES if schema.constrained and types not in schema.types.get(relation.predicate, ()) else ""


def _role_spans(links: Index) -> Index:
    """Subjects as spans of row 0, objects as spans of row 1; int64 ``[spans, 3]``."""
    sides = [np.insert(links[:, columns], 0, row, axis=1) for row, columns in enumerate(([1, 2], [3, 4]))]
    return np.unique(np.concatenate(sides), axis=0)


def _why_absent(text: str, triple: Triple, borders: Borders) -> str:
    """Why a triple without offsets has no place on token borders."""
    for mention in (triple[0], triple[2]):
        places = find_places(text, mention)
        if not any(borders.find(*span) for span in places):
            return borders.reason(*places[0]) if places else ABSENT
    return ABSENT


def _lost_triples(
    document: Document, relations: Collection[Relation], lost: Mapping[Relation, str]
) -> list[tuple[Triple, str]]:
    """The lost relations as texts; of a triple without offsets that has several places, only where all are lost."""
    kept: set[Triple] = set()
    if document.spos is not None:
        kept = text_triples(document.text, (relation for relation in relations if relation not in lost))
    found: list[tuple[Triple, str]] = []
    for relation, reason in lost.items():
        [triple] = text_triples(document.text, [relation])
        if triple not in kept:
            found.append((triple, reason))
            if document.spos is not None:
                kept.add(triple)
    return found
