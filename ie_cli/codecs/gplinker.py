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

from ie_cli.codecs.base import (
    Annotation,
    Candidates,
    Columns,
    Decoded,
    Decoder,
    Decoding,
    Floats,
    Index,
    Mask,
    Outputs,
    Targets,
    TokenSpans,
)
from ie_cli.codecs.factors import entry_scores, factors_of, shared_factors
from ie_cli.codecs.flat import flat_alignment
from ie_cli.codecs.links import decode_links
from ie_cli.codecs.relations import GoldRelations, annotate, link_rules, links_within, role_spans
from ie_cli.codecs.spans import decode_spans
from ie_cli.data.label_schema import LabelSchema
from ie_cli.document import Document
from ie_cli.encoding.alignment import Boundaries, align, within
from ie_cli.encoding.tokenizer import Tokens
from ie_cli.encoding.windows import WindowPlan
from ie_cli.encoding.word_boundaries import BoundaryMasks
from ie_cli.recipe.heads import HeadSection, Reads
from ie_cli.triples import Mentions, entities_of


class GPLinkerCodec:
    """The codec of relations and the entities that they link.

    *Stored:* ``spans`` of (label, first token, last token); ``links`` of (link index, subject first, last, object first,
    last), see `LabelSchema.links`.
    """

    reads: Reads = "windows"
    identity: Sequence[Any] = ("gplinker", 1)
    columns: Mapping[str, int] = {"spans": 3, "links": 5}
    token_spans: TokenSpans = {"spans": ((1, 2),), "links": ((1, 2), (3, 4))}

    def __init__(self, schema: LabelSchema, section: HeadSection) -> None:
        self.schema = schema
        self.matrices: Mapping[str, Sequence[str]] = {
            "entities": schema.labels,
            "start_links": schema.link_names,
            "end_links": schema.link_names,
        }

    def encode(
        self,
        document: Document,
        tokens: Tokens,
        plan: WindowPlan,
        *,
        mentions: Mentions = "nearest",
        flat: bool = False,
    ) -> Targets:
        """Encode relations as links, and entities as spans; a triple without offsets is one item with any number of links."""
        schema = self.schema
        gold = GoldRelations.build(document, Boundaries(document.text, tokens), plan, schema, mentions=mentions)
        if flat:
            gold = gold.flat(labelled=not schema.roles)
        links, triples = gold.links(), gold.unreachable_triples()
        if schema.roles:
            columns = {"spans": role_spans(links), "links": links}
            return Targets(columns, {"entities": 0, "relations": gold.count}, {"entities": [], "relations": triples})
        entities = sorted(entities_of(replace(document, relations=list(gold.located))))
        aligned = align(document.text, entities, tokens, plan, schema.ids)
        if flat:
            aligned = flat_alignment(aligned)
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
        return {
            "spans": within(targets.columns["spans"], first, capacity) + np.array([0, shift, shift]),
            "links": links_within(targets.columns["links"], first, capacity) + shift * np.array([0, 1, 1, 1, 1]),
        }

    def entries(self, columns: Columns) -> dict[str, Index]:
        """Return the entries (sample, label, i, j) of the entities, and of the links between starts and between ends."""
        links = columns["links"]
        return {
            "entities": columns["spans"],
            "start_links": links[:, [0, 1, 2, 4]],
            "end_links": links[:, [0, 1, 3, 5]],
        }

    def decoder(self, decoding: Decoding) -> Decoder:
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

    def decode(self, outputs: Outputs, mask: Mask, boundaries: BoundaryMasks | None = None) -> Decoded:
        """Find the spans and triples of a batch; the links are those of spans, so that they have the same boundaries."""
        found = decode_spans(factors_of(outputs.matrix("entities")), mask, self.thresholds, boundaries)
        start, end = (shared_factors(outputs.matrix(name)) for name in ("start_links", "end_links"))
        links = decode_links(found, start, end, self.rules, self.link_thresholds)
        parts = {"spans": Candidates(found.entries, found.scores), "links": Candidates(links.entries, links.scores)}
        return Decoded(parts, found.truncated | links.truncated)

    def annotate(self, found: Mapping[str, Candidates], tokens: Tokens, plan: WindowPlan, text: str) -> Annotation:
        """Select the spans and triples found in the window that owns them; triples link only spans that are selected."""
        return annotate(found, tokens, plan, schema=self.schema, decoding=self.decoding, text=text)
