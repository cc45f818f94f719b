"""Relations as links between token spans: what the codecs of relation heads share.

A link is (link index, subject's first and last token, object's first and last token), see `LabelSchema.links`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
import numpy.typing as npt

from ie_cli.codecs.base import Annotation, Candidates, Decoding, Index
from ie_cli.codecs.flat import Alternative, largest_compatible
from ie_cli.codecs.limits import FLAT_RELATION
from ie_cli.codecs.links import LinkRules
from ie_cli.data.label_schema import LabelSchema
from ie_cli.document import Document, Entity, Relation
from ie_cli.encoding.alignment import APART, NO_LABEL, Boundaries, to_entities, without_overlaps
from ie_cli.encoding.tokenizer import Tokens
from ie_cli.encoding.windows import WindowPlan
from ie_cli.triples import ABSENT, Mentions, Triple, find_places, locate, text_triples

NO_PREDICATE = "predicate unknown to the model"
NO_TYPES = "types that the schema does not allow"


@dataclass(frozen=True, slots=True)
class GoldRelations:
    """The gold relations of a document, and their links.

    Attributes:
        document: the document.
        located: its relations; for triples without offsets, the relations located for them.
        count: the number of gold relations; a triple without offsets is one item with any number of links.
        absent: the triples that cannot be located, with the reason.
        aligned: the located relations that have a link.
        entries: the links of `aligned`, with the predicate as the link index; int64 ``[aligned, 5]``.
        pairs: the link indices of their pairs of types, -1 if there is none; int64 ``[aligned]``.
        unreachable: the reasons why the other located relations have no link.
    """

    document: Document
    located: Collection[Relation]
    count: int
    absent: Sequence[tuple[Triple, str]]
    aligned: Sequence[Relation]
    entries: Index
    pairs: Index
    unreachable: Mapping[Relation, str]

    @classmethod
    def build(
        cls, document: Document, boundaries: Boundaries, plan: WindowPlan, schema: LabelSchema, *, mentions: Mentions
    ) -> GoldRelations:
        """Locate the relations, and align them with the tokens.

        Args:
            document: the document.
            boundaries: the token boundaries of its text.
            plan: the split into windows.
            schema: the labels and predicates.
            mentions: if the data have no offsets, which of the occurrences at token boundaries to use.
        """
        relations: Collection[Relation] = set(document.relations)
        absent: list[tuple[Triple, str]] = []
        count = len(relations)
        if document.spos is not None:
            located = locate(
                document.text, document.spos, mentions, reachable=lambda span: boundaries.find(*span) is not None
            )
            relations, count = located.relations, located.triples
            absent = [(triple, _absence_reason(document.text, triple, boundaries)) for triple in located.absent]
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
        found = cls(document, relations, count, absent, aligned, links, np.array(pairs, dtype=np.int64), unreachable)
        hull = links[:, [1, 3]].min(axis=1), links[:, [2, 4]].max(axis=1)
        return found.without(plan.owners(len(boundaries.tokens), *hull) < 0, APART)

    def without(self, dropped: npt.NDArray[np.bool_], reason: str) -> GoldRelations:
        """Return the relations with some of `aligned` made unreachable for one reason."""
        parts = list(zip(self.aligned, dropped.tolist(), strict=True))
        return replace(
            self,
            aligned=[relation for relation, drop in parts if not drop],
            entries=self.entries[~dropped],
            pairs=self.pairs[~dropped],
            unreachable={**self.unreachable, **{relation: reason for relation, drop in parts if drop}},
        )

    def flat(self, *, labelled: bool = False, directed: bool = False) -> GoldRelations:
        """Return the relations with those of `aligned` made unreachable that flat output cannot contain.

        Of triples without offsets, one occurrence each is kept.

        Args:
            labelled: whether a span with two labels counts as two entities, which overlap.
            directed: whether a predicate cannot join the same two spans in both directions.
        """
        sides = [
            (_argument(relation.subject, labelled), _argument(relation.object, labelled)) for relation in self.aligned
        ]
        alternatives: list[list[Alternative]] = []
        if self.document.spos is not None:
            triples = chain.from_iterable(text_triples(self.document.text, [one]) for one in self.aligned)
            alternatives.append([(triple, number) for number, triple in enumerate(triples)])
        if directed:
            pairs = zip(self.aligned, sides, strict=True)
            alternatives.append([((one.predicate, frozenset(pair)), pair) for one, pair in pairs])
        return self.without(~largest_compatible(sides, alternatives), FLAT_RELATION)

    def links(self) -> Index:
        """Return the distinct links of the predicates and of their pairs of types; int64 ``[links, 5]``."""
        typed = self.entries.copy()
        typed[:, 0] = self.pairs
        return np.unique(np.concatenate([self.entries, typed[self.pairs >= 0]]), axis=0)

    def unreachable_triples(self) -> list[tuple[Triple, str]]:
        """Return the absent triples, and the unreachable relations as triples of texts.

        A triple without offsets is unreachable only if all its occurrences are.
        """
        text, without_offsets = self.document.text, self.document.spos is not None
        kept: set[Triple] = set()
        if without_offsets:
            kept = text_triples(text, (relation for relation in self.located if relation not in self.unreachable))
        found = list(self.absent)
        for relation, reason in self.unreachable.items():
            [triple] = text_triples(text, [relation])
            if triple not in kept:
                found.append((triple, reason))
                if without_offsets:
                    kept.add(triple)
        return found


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


def _argument(entity: Entity, labelled: bool) -> Entity:
    return Entity(entity.start, entity.end, entity.label if labelled else "")


def _absence_reason(text: str, triple: Triple, boundaries: Boundaries) -> str:
    """Return the reason why a triple without offsets does not occur at token boundaries."""
    for mention in (triple[0], triple[2]):
        places = find_places(text, mention)
        if not any(boundaries.find(*span) for span in places):
            return boundaries.reason(*places[0]) if places else ABSENT
    return ABSENT


def role_spans(links: Index) -> Index:
    """Return subjects as spans of label 0 and objects as spans of label 1; int64 ``[spans, 3]``."""
    sides = [np.insert(links[:, columns], 0, label, axis=1) for label, columns in enumerate(([1, 2], [3, 4]))]
    return np.unique(np.concatenate(sides), axis=0)


def links_within(links: Index, first: int, capacity: int) -> Index:
    """Return the links ``[links, 5]`` that lie entirely in the window from token `first`, counted from it."""
    inside = (links[:, [1, 3]].min(axis=1) >= first) & (links[:, [2, 4]].max(axis=1) < first + capacity)
    shifted: Index = links[inside] - first * np.array([0, 1, 1, 1, 1])
    return shifted


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


def annotate(
    found: Mapping[str, Candidates],
    tokens: Tokens,
    plan: WindowPlan,
    *,
    schema: LabelSchema,
    decoding: Decoding,
    text: str,
) -> Annotation:
    """Select the spans and triples found in the window that owns them; triples link only spans that are selected.

    Args:
        found: ``spans`` of (label, first, last, window) and ``links`` of (link index, subject label, first, last, object label,
            first, last, window); a part without candidates is missing.
        tokens: the tokens of the text.
        plan: the split into windows.
        schema: the labels and predicates.
        decoding: the options of decoding.
        text: the text.
    """
    entities: list[Entity] = []
    if (spans := found.get("spans")) is not None:
        entries, chances = decoding.owned(spans, tokens, plan, (1, 2))
        flat, roles = decoding.flat, schema.roles
        entities = to_entities(tokens, entries, chances, schema.labels, flat=flat and not roles)
        entities = flat_roles(entities) if flat and roles else entities
    if (links := found.get("links")) is None:
        return Annotation(entities, related=True)
    entries, chances = decoding.owned(links, tokens, plan, (2, 3, 5, 6))
    relations = to_relations(tokens, entries, chances, schema=schema, text=text, entities=entities)
    return Annotation(entities, relations, related=True)


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
