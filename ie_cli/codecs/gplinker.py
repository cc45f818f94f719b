"""Relations as links (predicate, subject's and object's first and last token) between entity spans: gold to targets and back.

Source: GPLinker, kexue.fm/archives/8888. A link table has a row for each predicate: one table joins the first tokens of
subject and object, another their last tokens. With typed rows the entities are labelled; a model of roles has two rows,
subject and object, which are no entities of the data.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from ie_cli.codecs.base import (
    Annotation,
    Candidates,
    Columns,
    Decoded,
    Decoding,
    Floats,
    Index,
    Mask,
    Outputs,
    Targets,
)
from ie_cli.codecs.factors import cell_scores, factors_of, shared_factors
from ie_cli.codecs.links import LinkRules, decode_links
from ie_cli.codecs.spans import decode_spans
from ie_cli.data.label_schema import LabelSchema
from ie_cli.document import Document, Entity, Relation
from ie_cli.encoding.alignment import APART, NO_LABEL, Boundaries, align, to_entities, within, without_overlaps
from ie_cli.encoding.tokenizer import Tokens
from ie_cli.encoding.windows import WindowPlan
from ie_cli.recipe.heads import HeadSection
from ie_cli.triples import ABSENT, Mentions, Triple, entities_of, find_places, locate, text_triples

NO_PREDICATE = "predicate unknown to the model"
NO_TYPES = "types that the schema does not allow"


class GPLinkerCodec:
    """Relations, and the entities that they join.

    *Stored:* ``spans`` of (row, first, last token); ``links`` of (predicate, subject's first, last, object's first, last).
    """

    identity: Sequence[Any] = ("gplinker", 1)
    columns: Mapping[str, int] = {"spans": 3, "links": 5}

    def __init__(self, schema: LabelSchema, section: HeadSection) -> None:
        self.schema = schema
        self.tables: Mapping[str, Sequence[str]] = {
            "entities": schema.labels,
            "start_links": schema.predicates,
            "end_links": schema.predicates,
        }

    def encode(
        self, document: Document, tokens: Tokens, plan: WindowPlan, *, mentions: Mentions = "nearest"
    ) -> Targets:
        """The relations as links, and spans of entities; a triple without offsets is one item, however many places it has."""
        schema = self.schema
        boundaries = Boundaries(document.text, tokens)
        relations: Collection[Relation] = set(document.relations)
        absent: list[tuple[Triple, str]] = []
        count = len(relations)
        if document.spos is not None:
            located = locate(
                document.text, document.spos, mentions, reachable=lambda span: boundaries.find(*span) is not None
            )
            relations, count = located.relations, located.triples
            absent = [(triple, _why_absent(document.text, triple, boundaries)) for triple in located.absent]
        links, lost = _links(relations, boundaries, plan, schema)
        lost_triples = absent + _lost_triples(document, relations, lost)
        if schema.roles:
            columns = {"spans": _role_spans(links), "links": links}
            return Targets(columns, {"entities": 0, "relations": count}, {"entities": [], "relations": lost_triples})
        entities = sorted(entities_of(replace(document, relations=list(relations))))
        aligned = align(document.text, entities, tokens, plan, schema.ids)
        return Targets(
            {"spans": aligned.spans, "links": links},
            {"entities": len(entities), "relations": count},
            {"entities": list(aligned.unreachable), "relations": lost_triples},
        )

    def window(self, targets: Targets, first: int, capacity: int, shift: int) -> dict[str, Index]:
        """The spans and links that lie whole in a window.

        An item is gold in every window that holds it, not only in the one that judges it: elsewhere it would be taught as a
        negative.
        """
        links = targets.columns["links"]
        whole = (links[:, [1, 3]].min(axis=1) >= first) & (links[:, [2, 4]].max(axis=1) < first + capacity)
        return {
            "spans": within(targets.columns["spans"], first, capacity) + np.array([0, shift, shift]),
            "links": links[whole] + (shift - first) * np.array([0, 1, 1, 1, 1]),
        }

    def cells(self, columns: Columns) -> dict[str, Index]:
        """Cells (sample, row, i, j) of the entities, and of the links of starts and of ends."""
        links = columns["links"]
        return {
            "entities": columns["spans"],
            "start_links": links[:, [0, 1, 2, 4]],
            "end_links": links[:, [0, 1, 3, 5]],
        }

    def decoder(self, decoding: Decoding) -> GPLinkerDecoder:
        """What finds entities and triples."""
        return GPLinkerDecoder(self.schema, decoding)

    def scores(self, outputs: Outputs, sample: int, there: Index) -> Iterator[Floats]:
        """The scores of all cells, row by row, table by table."""
        return chain.from_iterable(cell_scores(factors_of(outputs.table(name)), sample, there) for name in self.tables)


class GPLinkerDecoder:
    """Finds spans, and of pairs of spans those that both link tables join."""

    tokens: Mapping[str, tuple[int, ...]] = {"spans": (1, 2), "links": (2, 3, 5, 6)}

    def __init__(self, schema: LabelSchema, decoding: Decoding) -> None:
        self.schema, self.decoding = schema, decoding
        self.least, self.least_links = decoding.least(schema.labels), decoding.least(schema.predicates)
        self.rules = link_rules(schema)

    def decode(self, outputs: Outputs, mask: Mask) -> Decoded:
        """The spans and triples of a batch."""
        found = decode_spans(factors_of(outputs.table("entities")), mask, self.least)
        start, end = (shared_factors(outputs.table(name)) for name in ("start_links", "end_links"))
        links = decode_links(found, start, end, self.rules, self.least_links)
        parts = {"spans": Candidates(found.cells, found.scores), "links": Candidates(links.cells, links.scores)}
        return Decoded(parts, found.truncated | links.truncated)

    def annotate(self, found: Mapping[str, Candidates], tokens: Tokens, plan: WindowPlan, text: str) -> Annotation:
        """The spans and triples that the windows which own them found; triples between spans that are among the entities."""
        entities: list[Entity] = []
        if (spans := found.get("spans")) is not None:
            mine = plan.owners(len(tokens), spans.cells[:, 1], spans.cells[:, 2]) == spans.cells[:, 3]
            entities = self._entities(tokens, spans.cells[mine, :3], self.decoding.probability(spans.scores[mine]))
        if (links := found.get("links")) is None:
            return Annotation(entities)
        hull = links.cells[:, [2, 5]].min(axis=1), links.cells[:, [3, 6]].max(axis=1)
        mine = plan.owners(len(tokens), *hull) == links.cells[:, 7]
        chances = self.decoding.probability(links.scores[mine])
        return Annotation(
            entities,
            to_relations(tokens, links.cells[mine, :7], chances, schema=self.schema, text=text, entities=entities),
        )

    def _entities(self, tokens: Tokens, cells: Index, chances: npt.NDArray[np.float64]) -> list[Entity]:
        flat, roles = self.decoding.flat, self.schema.roles
        entities = to_entities(tokens, cells, chances, self.schema.labels, flat=flat and not roles)
        return flat_roles(entities) if flat and roles else entities


def _links(
    relations: Collection[Relation], boundaries: Boundaries, plan: WindowPlan, schema: LabelSchema
) -> tuple[Index, dict[Relation, str]]:
    """Links of the relations, and why there is none of some."""
    lost: dict[Relation, str] = {}
    placed: list[Relation] = []
    rows: list[tuple[int, int, int, int, int]] = []
    for relation in relations:
        reason = _unknown(relation, schema)
        subject, object_ = (boundaries.find(side.start, side.end) for side in (relation.subject, relation.object))
        if reason or subject is None or object_ is None:
            side = relation.subject if subject is None else relation.object
            lost[relation] = reason or boundaries.reason(side.start, side.end)
            continue
        placed.append(relation)
        rows.append((schema.predicate_ids[relation.predicate], *subject, *object_))
    links = np.array(rows, dtype=np.int64).reshape(-1, 5)
    whole = plan.owners(len(boundaries.tokens), links[:, [1, 3]].min(axis=1), links[:, [2, 4]].max(axis=1)) >= 0
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


def _why_absent(text: str, triple: Triple, boundaries: Boundaries) -> str:
    """Why a triple without offsets has no place on token boundaries."""
    for mention in (triple[0], triple[2]):
        places = find_places(text, mention)
        if not any(boundaries.find(*span) for span in places):
            return boundaries.reason(*places[0]) if places else ABSENT
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
    *,
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
