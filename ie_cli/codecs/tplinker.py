"""Encode relations as tags of pairs of tokens (handshaking tagging), and decode them.

Source: TPLinker (Wang et al., COLING 2020). A pair of tokens is an entry (i, j) with i ≤ j. It has a tag in each of three
matrices: whether an entity begins at i and ends at j; for each predicate, whether subject and object begin at these tokens;
and whether they end there. A tag of a predicate is 0 for none, 1 if the token of the subject is i, 2 if it is j. So an entry
cannot hold both directions of one predicate.

An entity is any argument of a relation. A triple is predicted if both arguments are entities, and the predicate has the tag of
the same direction at their starts and at their ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ie_cli.codecs.base import (
    Annotation,
    Candidates,
    Decoded,
    Decoding,
    Floats,
    Index,
    Mask,
    Outputs,
    Targets,
)
from ie_cli.codecs.gplinker import GPLinkerCodec, GPLinkerDecoder
from ie_cli.codecs.handshaking import Handshaking
from ie_cli.codecs.limits import BOTH_DIRECTIONS
from ie_cli.codecs.links import decode_pairs
from ie_cli.codecs.relations import GoldRelations, role_spans
from ie_cli.codecs.spans import DecodedSpans
from ie_cli.data.label_schema import LabelSchema
from ie_cli.document import Document, Relation
from ie_cli.encoding.alignment import Boundaries
from ie_cli.encoding.tokenizer import Tokens
from ie_cli.encoding.windows import WindowPlan
from ie_cli.encoding.word_boundaries import BoundaryMasks
from ie_cli.recipe.heads import HeadSection
from ie_cli.triples import Mentions

ARGUMENT = "argument\t"
"""The name of the only label of entities; no predicate has a name with a tab."""


class TPLinkerCodec(GPLinkerCodec):
    """The codec of relations as tags of pairs of tokens; the labels of the schema are roles.

    *Stored:* ``spans`` of (0, first token, last token); ``links`` of (link index, subject first, last, object first, last), see
    `LabelSchema.links`.
    """

    identity: Sequence[Any] = ("tplinker", 1)

    def __init__(self, schema: LabelSchema, section: HeadSection) -> None:
        self.schema = schema
        self.matrices: Mapping[str, Sequence[str]] = {
            "entities": (ARGUMENT,),
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
        """Encode relations as links, and their arguments as spans; entities without a relation are not encoded."""
        boundaries = Boundaries(document.text, tokens)
        gold = GoldRelations.build(document, boundaries, plan, self.schema, mentions=mentions)
        if flat:
            gold = gold.flat(directed=True)
        conflicts = opposite(gold.aligned, boundaries)
        gold = gold.without(np.array([relation in conflicts for relation in gold.aligned], dtype=bool), BOTH_DIRECTIONS)
        links = gold.links()
        spans = role_spans(links)
        spans[:, 0] = 0
        return Targets(
            {"spans": np.unique(spans, axis=0), "links": links},
            {"entities": 0, "relations": gold.count},
            {"entities": [], "relations": gold.unreachable_triples()},
        )

    def decoder(self, decoding: Decoding) -> TPLinkerDecoder:
        """Return a decoder of triples."""
        return TPLinkerDecoder(self.schema, decoding)

    def scores(self, outputs: Outputs, sample: int, tokens: Index) -> Iterator[Floats]:
        """Return the scores of the entities ``[n (n + 1) / 2]``, and by link index those from subject to object ``[n, n]``."""
        return Handshaking.of(outputs).all_scores(sample, tokens)


class TPLinkerDecoder(GPLinkerDecoder):
    """Finds spans, and the pairs of spans that a predicate links at both ends in the same direction."""

    def decode(self, outputs: Outputs, mask: Mask, boundaries: BoundaryMasks | None = None) -> Decoded:
        """Find the triples of a batch, and the spans, each of them as a subject and as an object."""
        scores = Handshaking.of(outputs)
        arguments = scores.spans(mask, float(self.thresholds.min()), boundaries)
        found = self._with_roles(arguments)
        links = decode_pairs(found, scores, self.rules, self.link_thresholds)
        parts = {"spans": Candidates(found.entries, found.scores), "links": Candidates(links.entries, links.scores)}
        return Decoded(parts, found.truncated | links.truncated)

    def _with_roles(self, arguments: DecodedSpans) -> DecodedSpans:
        """Return each span once for each role whose threshold it exceeds."""
        sides = []
        for role, threshold in enumerate(self.thresholds):
            kept = arguments.scores > threshold
            entries = arguments.entries[kept]
            entries[:, 1] = role
            sides.append((entries, arguments.scores[kept]))
        entries, scores = (np.concatenate(parts) for parts in zip(*sides, strict=True))
        return DecodedSpans(entries, scores, arguments.truncated)

    def annotate(self, found: Mapping[str, Candidates], tokens: Tokens, plan: WindowPlan, text: str) -> Annotation:
        """Select the triples found in the window that owns them, and their arguments with the roles that they have."""
        annotation = super().annotate(found, tokens, plan, text)
        subject, object_ = self.schema.labels
        used = {(r.subject.start, r.subject.end, subject) for r in annotation.relations}
        used |= {(r.object.start, r.object.end, object_) for r in annotation.relations}
        annotation.entities = [e for e in annotation.entities if (e.start, e.end, e.label) in used]
        return annotation


def opposite(relations: Iterable[Relation], boundaries: Boundaries) -> set[Relation]:
    """Return the relations that need another tag in an entry than a relation before them, in the order of their positions."""
    tags: dict[tuple[str, str, int, int], int] = {}
    found: set[Relation] = set()
    for relation in sorted(relations):
        subject, object_ = (boundaries.find(side.start, side.end) for side in (relation.subject, relation.object))
        if subject is None or object_ is None:
            continue
        needed = {
            (matrix, relation.predicate, min(a, b), max(a, b)): 1 if a <= b else 2
            for matrix, a, b in zip(("start", "end"), subject, object_, strict=True)
        }
        if any(tags.get(entry, tag) != tag for entry, tag in needed.items()):
            found.add(relation)
        else:
            tags |= needed
    return found
