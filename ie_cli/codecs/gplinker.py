"""Encode relations as links (predicate, subject's and object's first and last token) between entity spans, and decode them.

Source: GPLinker, kexue.fm/archives/8888. A link matrix has scores for each predicate: one matrix links the first tokens of
subject and object, another links their last tokens. With entity types, the spans have the labels of the data; without, there
are two labels, the roles subject and object, which are not entities of the data. A predicate that joins several pairs of
types then has further scores, one for each pair; of these, the highest decides about the types of a triple.
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
from ie_cli.codecs.factors import entry_scores, factors_of, shared_factors
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
    """The codec of relations and the entities that they link.

    *Stored:* ``spans`` of (label, first token, last token); ``links`` of (link index, subject first, last, object first,
    last), see `LabelSchema.links`.
    """

    identity: Sequence[Any] = ("gplinker", 1)
    columns: Mapping[str, int] = {"spans": 3, "links": 5}

    def __init__(self, schema: LabelSchema, section: HeadSection) -> None:
        self.schema = schema
        self.matrices: Mapping[str, Sequence[str]] = {
            "entities": schema.labels,
            "start_links": schema.link_names,
            "end_links": schema.link_names,
        }

    def encode(
        self, document: Document, tokens: Tokens, plan: WindowPlan, *, mentions: Mentions = "nearest"
    ) -> Targets:
        """Encode relations as links, and entities as spans; a triple without offsets is one item with any number of links."""
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
            absent = [(triple, _absence_reason(document.text, triple, boundaries)) for triple in located.absent]
        links, unreachable = _links(relations, boundaries, plan, schema)
        triples = absent + _unreachable_triples(document, relations, unreachable)
        if schema.roles:
            columns = {"spans": _role_spans(links), "links": links}
            return Targets(columns, {"entities": 0, "relations": count}, {"entities": [], "relations": triples})
        entities = sorted(entities_of(replace(document, relations=list(relations))))
        aligned = align(document.text, entities, tokens, plan, schema.ids)
        return Targets(
            {"spans": aligned.spans, "links": links},
            {"entities": len(entities), "relations": count},
            {"entities": list(aligned.unreachable), "relations": triples},
        )

    def window(self, targets: Targets, first: int, capacity: int, shift: int) -> dict[str, Index]:
        """Return the spans and links that lie entirely in a window.

        An item is gold in every window that contains it, not only in the window that owns it: otherwise it would be a negative
        example in the other windows.
        """
        links = targets.columns["links"]
        inside = (links[:, [1, 3]].min(axis=1) >= first) & (links[:, [2, 4]].max(axis=1) < first + capacity)
        return {
            "spans": within(targets.columns["spans"], first, capacity) + np.array([0, shift, shift]),
            "links": links[inside] + (shift - first) * np.array([0, 1, 1, 1, 1]),
        }

    def entries(self, columns: Columns) -> dict[str, Index]:
        """Return the entries (sample, label, i, j) of the entities, and of the links between starts and between ends."""
        links = columns["links"]
        return {
            "entities": columns["spans"],
            "start_links": links[:, [0, 1, 2, 4]],
            "end_links": links[:, [0, 1, 3, 5]],
        }

    def decoder(self, decoding: Decoding) -> GPLinkerDecoder:
        """Return a decoder of entities and triples."""
        return GPLinkerDecoder(self.schema, decoding)

    def scores(self, outputs: Outputs, sample: int, tokens: Index) -> Iterator[Floats]:
        """Return the scores of all entries, label by label and matrix by matrix."""
        return chain.from_iterable(
            entry_scores(factors_of(outputs.matrix(name)), sample, tokens) for name in self.matrices
        )


class GPLinkerDecoder:
    """Finds spans, and the pairs of spans that both link matrices link."""

    tokens: Mapping[str, tuple[int, ...]] = {"spans": (1, 2), "links": (2, 3, 5, 6)}

    def __init__(self, schema: LabelSchema, decoding: Decoding) -> None:
        self.schema, self.decoding = schema, decoding
        self.thresholds = decoding.minimum_scores(schema.labels)
        self.link_thresholds = decoding.minimum_scores(schema.predicates)
        self.rules = link_rules(schema)

    def decode(self, outputs: Outputs, mask: Mask) -> Decoded:
        """Find the spans and triples of a batch."""
        found = decode_spans(factors_of(outputs.matrix("entities")), mask, self.thresholds)
        start, end = (shared_factors(outputs.matrix(name)) for name in ("start_links", "end_links"))
        links = decode_links(found, start, end, self.rules, self.link_thresholds)
        parts = {"spans": Candidates(found.entries, found.scores), "links": Candidates(links.entries, links.scores)}
        return Decoded(parts, found.truncated | links.truncated)

    def annotate(self, found: Mapping[str, Candidates], tokens: Tokens, plan: WindowPlan, text: str) -> Annotation:
        """Select the spans and triples found in the window that owns them; triples link only spans that are selected."""
        entities: list[Entity] = []
        if (spans := found.get("spans")) is not None:
            owned = plan.owners(len(tokens), spans.entries[:, 1], spans.entries[:, 2]) == spans.entries[:, 3]
            entities = self._entities(tokens, spans.entries[owned, :3], self.decoding.probability(spans.scores[owned]))
        if (links := found.get("links")) is None:
            return Annotation(entities, related=True)
        hull = links.entries[:, [2, 5]].min(axis=1), links.entries[:, [3, 6]].max(axis=1)
        owned = plan.owners(len(tokens), *hull) == links.entries[:, 7]
        probabilities = self.decoding.probability(links.scores[owned])
        return Annotation(
            entities,
            to_relations(
                tokens, links.entries[owned, :7], probabilities, schema=self.schema, text=text, entities=entities
            ),
            related=True,
        )

    def _entities(self, tokens: Tokens, entries: Index, probabilities: npt.NDArray[np.float64]) -> list[Entity]:
        flat, roles = self.decoding.flat, self.schema.roles
        entities = to_entities(tokens, entries, probabilities, self.schema.labels, flat=flat and not roles)
        return flat_roles(entities) if flat and roles else entities


def _links(
    relations: Collection[Relation], boundaries: Boundaries, plan: WindowPlan, schema: LabelSchema
) -> tuple[Index, dict[Relation, str]]:
    """Return the links of the relations, and the reasons why some relations have none."""
    unreachable: dict[Relation, str] = {}
    aligned: list[Relation] = []
    entries: list[tuple[int, int, int, int, int]] = []
    pairs: list[int] = []
    for relation in relations:
        reason = _schema_reason(relation, schema)
        subject, object_ = (boundaries.find(side.start, side.end) for side in (relation.subject, relation.object))
        if reason or subject is None or object_ is None:
            side = relation.subject if subject is None else relation.object
            unreachable[relation] = reason or boundaries.reason(side.start, side.end)
            continue
        aligned.append(relation)
        entries.append((schema.predicate_ids[relation.predicate], *subject, *object_))
        types = (relation.subject.label, relation.object.label)
        pairs.append(schema.pair_ids.get(relation.predicate, {}).get(types, -1))
    links = np.array(entries, dtype=np.int64).reshape(-1, 5)
    owned = plan.owners(len(boundaries.tokens), links[:, [1, 3]].min(axis=1), links[:, [2, 4]].max(axis=1)) >= 0
    unreachable |= {relation: APART for relation, fits in zip(aligned, owned, strict=True) if not fits}
    typed = links.copy()
    typed[:, 0] = pairs
    return np.unique(np.concatenate([links[owned], typed[owned & (typed[:, 0] >= 0)]]), axis=0), unreachable


def _schema_reason(relation: Relation, schema: LabelSchema) -> str:
    """Return the reason why the schema cannot express a relation, or an empty string."""
    if relation.predicate not in schema.predicate_ids:
        return NO_PREDICATE
    if schema.roles:
        return ""
    types = (relation.subject.label, relation.object.label)
    if not set(types) <= schema.ids.keys():
        return NO_LABEL
    return NO_TYPES if schema.constrained and types not in schema.types.get(relation.predicate, ()) else ""


def _role_spans(links: Index) -> Index:
    """Return subjects as spans of label 0 and objects as spans of label 1; int64 ``[spans, 3]``."""
    sides = [np.insert(links[:, columns], 0, label, axis=1) for label, columns in enumerate(([1, 2], [3, 4]))]
    return np.unique(np.concatenate(sides), axis=0)


def _absence_reason(text: str, triple: Triple, boundaries: Boundaries) -> str:
    """Return the reason why a triple without offsets does not occur at token boundaries."""
    for mention in (triple[0], triple[2]):
        places = find_places(text, mention)
        if not any(boundaries.find(*span) for span in places):
            return boundaries.reason(*places[0]) if places else ABSENT
    return ABSENT


def _unreachable_triples(
    document: Document, relations: Collection[Relation], unreachable: Mapping[Relation, str]
) -> list[tuple[Triple, str]]:
    """Return the unreachable relations as triples of texts.

    A triple without offsets is unreachable only if all its occurrences are.
    """
    kept: set[Triple] = set()
    if document.spos is not None:
        kept = text_triples(document.text, (relation for relation in relations if relation not in unreachable))
    found: list[tuple[Triple, str]] = []
    for relation, reason in unreachable.items():
        [triple] = text_triples(document.text, [relation])
        if triple not in kept:
            found.append((triple, reason))
            if document.spos is not None:
                kept.add(triple)
    return found


def link_rules(schema: LabelSchema) -> LinkRules:
    """Return which entity labels a schema allows for the subject and the object of each predicate."""
    count = len(schema.labels)
    if schema.roles:
        pairs = {number: schema.pair_ids.get(name, {}) for number, name in enumerate(schema.predicates)}
        ids = {number: np.array(list(found.values())) for number, found in pairs.items() if found}
        return LinkRules(np.array([True, False]), np.array([False, True]), pairs=ids)
    if not schema.constrained:
        return LinkRules(np.ones(count, dtype=bool), np.ones(count, dtype=bool))
    allowed = np.zeros((len(schema.predicates), count, count), dtype=bool)
    for number, predicate in enumerate(schema.predicates):
        for subject, object_ in schema.types.get(predicate, ()):
            if subject in schema.ids and object_ in schema.ids:
                allowed[number, schema.ids[subject], schema.ids[object_]] = True
    subjects, objects = np.nonzero(allowed.any(axis=0))
    return LinkRules(np.isin(np.arange(count), subjects), np.isin(np.arange(count), objects), allowed)


def to_relations(
    tokens: Tokens,
    entries: Index,
    scores: npt.NDArray[np.float64],
    *,
    schema: LabelSchema,
    text: str,
    entities: Collection[Entity],
) -> list[Relation]:
    """Convert decoded triples to relations, sorted by position.

    Args:
        tokens: the tokens of the text.
        entries: int64 ``[items, 7]`` of (link index, subject label, first, last token, object label, first, last token), each
            from the window that owns it.
        scores: probabilities ``[items]``.
        schema: the labels and predicates.
        text: the text.
        entities: the entities of the text; a relation links two of them.

    Returns:
        The relations; subject and object have the scores of their entities. If the labels are roles, subject and object get
        the types of the link index or, if the predicate joins one pair of types, these.
    """
    known = {entity: entity.score for entity in entities}
    labels = schema.labels
    starts, ends = tokens.starts[entries[:, [2, 5]]].tolist(), tokens.ends[entries[:, [3, 6]]].tolist()
    best: dict[tuple[Entity, str, Entity], Relation] = {}
    triples = zip(entries[:, [0, 1, 4]].tolist(), starts, ends, scores.tolist(), strict=True)
    for (link, subject_label, object_label), start, end, score in triples:
        subject = Entity(start[0], end[0], labels[subject_label])
        object_ = Entity(start[1], end[1], labels[object_label])
        if subject not in known or object_ not in known:
            continue
        name, pair = schema.links[link]
        types = pair or (schema.usual_types(name) if schema.roles else (subject.label, object_.label))
        relation = Relation(
            Entity(subject.start, subject.end, types[0], known[subject]),
            name,
            Entity(object_.start, object_.end, types[1], known[object_]),
            score,
        )
        # Tokens that share a character (byte-level BPE) can yield the same triple twice.
        triple = (subject, name, object_)
        if triple not in best or score > (best[triple].score or 0.0):
            best[triple] = relation
    return sorted(_with_objects(list(best.values()), schema, text))


def flat_roles(entities: Sequence[Entity]) -> list[Entity]:
    """Select spans that share no character, greedily by score; the same span may be both subject and object."""
    best: dict[Entity, Entity] = {}
    for entity in entities:
        span = Entity(entity.start, entity.end, "", entity.score)
        if span not in best or (span.score or 0.0) > (best[span].score or 0.0):
            best[span] = span
    kept = {(span.start, span.end) for span in without_overlaps(best.values())}
    return [entity for entity in entities if (entity.start, entity.end) in kept]


def _with_objects(relations: Sequence[Relation], schema: LabelSchema, text: str) -> list[Relation]:
    """Remove slots of complex objects that were not found: there must be a triple of the slot's predicate with the value."""
    if not schema.slots:
        return list(relations)
    values = {(relation.predicate, text[relation.object.start : relation.object.end]) for relation in relations}
    return [
        relation
        for relation in relations
        if relation.predicate not in schema.slots
        or (schema.slots[relation.predicate], text[relation.subject.start : relation.subject.end]) in values
    ]
