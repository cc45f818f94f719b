"""Encode relations as links (predicate, subject's and object's first and last token) between entity spans, and decode them.

Source: GPLinker, kexue.fm/archives/8888. A link matrix has scores for each predicate: one matrix links the first tokens of
subject and object, another links their last tokens. With entity types, the spans have the labels of the data; without, there
are two labels, the roles subject and object, which are not entities of the data. A predicate that joins several pairs of
types then has further scores, one for each pair; of these, the highest decides about the types of a triple.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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
from ie_cli.codecs.relations import GoldRelations, flat_roles, to_relations
from ie_cli.codecs.spans import decode_spans
from ie_cli.data.label_schema import LabelSchema
from ie_cli.document import Document, Entity
from ie_cli.encoding.alignment import Boundaries, align, to_entities, within
from ie_cli.encoding.tokenizer import Tokens
from ie_cli.encoding.windows import WindowPlan
from ie_cli.recipe.heads import HeadSection
from ie_cli.triples import Mentions, entities_of


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
        gold = GoldRelations.build(document, Boundaries(document.text, tokens), plan, schema, mentions=mentions)
        links, triples = gold.links(), gold.unreachable_triples()
        if schema.roles:
            columns = {"spans": _role_spans(links), "links": links}
            return Targets(columns, {"entities": 0, "relations": gold.count}, {"entities": [], "relations": triples})
        entities = sorted(entities_of(replace(document, relations=list(gold.located))))
        aligned = align(document.text, entities, tokens, plan, schema.ids)
        return Targets(
            {"spans": aligned.spans, "links": links},
            {"entities": len(entities), "relations": gold.count},
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


def _role_spans(links: Index) -> Index:
    """Return subjects as spans of label 0 and objects as spans of label 1; int64 ``[spans, 3]``."""
    sides = [np.insert(links[:, columns], 0, label, axis=1) for label, columns in enumerate(([1, 2], [3, 4]))]
    return np.unique(np.concatenate(sides), axis=0)


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
