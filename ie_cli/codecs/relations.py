"""Decoded triples -> relations: the rules of a schema, types, complex objects; no torch."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt

from ie_cli.codecs.links import LinkRules
from ie_cli.codecs.spans import Index
from ie_cli.data.label_schema import LabelSchema
from ie_cli.document import Entity, Relation
from ie_cli.encoding.tokenizer import Tokens
from ie_cli.encoding.windows import without_overlaps


def link_rules(schema: LabelSchema) -> LinkRules:
    """Which entity rows a schema lets stand at which side of which predicate."""
    rows = len(schema.labels)
    if schema.roles:
        return LinkRules(np.array([True, False]), np.array([False, True]))
    if not schema.constrained:
        return LinkRules(np.ones(rows, dtype=bool), np.ones(rows, dtype=bool))
    allowed = np.zeros((len(schema.predicates), rows, rows), dtype=bool)
    for number, predicate in enumerate(schema.predicates):
        for subject, object_ in schema.types.get(predicate, ()):
            if subject in schema.ids and object_ in schema.ids:
                allowed[number, schema.ids[subject], schema.ids[object_]] = True
    subjects, objects = np.nonzero(allowed.any(axis=0))
    return LinkRules(np.isin(np.arange(rows), subjects), np.isin(np.arange(rows), objects), allowed)


def to_relations(
    tokens: Tokens,
    cells: Index,
    scores: npt.NDArray[np.float64],
    schema: LabelSchema,
    text: str,
    entities: Collection[Entity],
) -> list[Relation]:
    """Turn decoded triples into relations, sorted by place.

    Args:
        cells: int64 ``[items, 7]`` of (predicate, subject's row, first, last token, object's row, first, last), each judged by
            its own window.
        scores: probabilities ``[items]``.
        entities: those of the text; a relation joins two of them.

    Returns:
        Relations, whose subject and object have the scores of the entities they are. In a role model their labels are the
        types that the schema gives the predicate.
    """
    known = {entity: entity.score for entity in entities}
    labels = schema.labels
    starts, ends = tokens.starts[cells[:, [2, 5]]].tolist(), tokens.ends[cells[:, [3, 6]]].tolist()
    best: dict[Relation, Relation] = {}
    rows = zip(cells[:, [0, 1, 4]].tolist(), starts, ends, scores.tolist(), strict=True)
    for (predicate, subject_row, object_row), start, end, score in rows:
        subject = Entity(start[0], end[0], labels[subject_row])
        object_ = Entity(start[1], end[1], labels[object_row])
        if subject not in known or object_ not in known:
            continue
        name = schema.predicates[predicate]
        types = schema.usual_types(name) if schema.roles else (subject.label, object_.label)
        relation = Relation(
            Entity(subject.start, subject.end, types[0], known[subject]),
            name,
            Entity(object_.start, object_.end, types[1], known[object_]),
            score,
        )
        # Tokens that share a character (byte-level BPE) can give one triple twice.
        if relation not in best or score > (best[relation].score or 0.0):
            best[relation] = relation
    return sorted(_with_objects(list(best.values()), schema, text))


def flat_roles(entities: Sequence[Entity]) -> list[Entity]:
    """Keep the spans that share no character, greedily by score; one span may be subject and object."""
    best: dict[Entity, Entity] = {}
    for entity in entities:
        span = Entity(entity.start, entity.end, "", entity.score)
        if span not in best or (span.score or 0.0) > (best[span].score or 0.0):
            best[span] = span
    kept = {(span.start, span.end) for span in without_overlaps(best.values())}
    return [entity for entity in entities if (entity.start, entity.end) in kept]


def _with_objects(relations: Sequence[Relation], schema: LabelSchema, text: str) -> list[Relation]:
    """Leave out slots of complex objects that are not there: a triple of the slot's predicate must have the value."""
    if not schema.slots:
        return list(relations)
    values = {(relation.predicate, text[relation.object.start : relation.object.end]) for relation in relations}
    return [
        relation
        for relation in relations
        if relation.predicate not in schema.slots
        or (schema.slots[relation.predicate], text[relation.subject.start : relation.subject.end]) in values
    ]
