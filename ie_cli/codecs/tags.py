"""Encode gold entities for heads that give every token one tag, and decode the scores of tags to scored spans.

Tags cannot express overlaps. Of gold entities that overlap, the longest is kept, and the others are unreachable.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

import numpy as np

from ie_cli.codecs.base import Candidates, Columns, Decoded, Decoding, Floats, Index, Mask, Outputs
from ie_cli.codecs.flat import largest_without_overlaps
from ie_cli.codecs.limits import OVERLAP
from ie_cli.codecs.spans import SpanCodec, SpanDecoder
from ie_cli.codecs.tag_margins import decode_tags
from ie_cli.codecs.tag_scheme import SCHEMES, Scheme
from ie_cli.data.label_schema import LabelSchema
from ie_cli.document import Entity
from ie_cli.encoding.word_boundaries import BoundaryMasks
from ie_cli.recipe.heads import HeadSection, TagSection


class TagCodec(SpanCodec):
    """The codec of entities as one tag per token.

    *Stored:* ``spans`` of (label, first token, last token), of which no two share a token; the head makes tags from them.
    """

    identity: Sequence[Any] = ("tags", 1)

    def __init__(self, schema: LabelSchema, section: HeadSection) -> None:
        super().__init__(schema, section)
        self.matrices = {"tags": schema.labels}
        self.scheme = SCHEMES[cast(TagSection, section).scheme]

    def expressible(self, spans: Index, entities: Sequence[Entity]) -> tuple[Mask, str]:
        """Keep spans that do not overlap."""
        return largest_without_overlaps(spans[:, 1:], [entity.label for entity in entities]), OVERLAP

    def entries(self, columns: Columns) -> dict[str, Index]:
        """Return the spans (sample, label, first, last), from which the head makes tags."""
        return {"tags": columns["spans"]}

    def decoder(self, decoding: Decoding) -> TagDecoder:
        """Return a decoder of spans."""
        return TagDecoder(self.schema, decoding, self.scheme)

    def scores(self, outputs: Outputs, sample: int, tokens: Index) -> Iterator[Floats]:
        """Return, label by label, the scores of its tags and of O on these tokens, and the transitions among these tags."""
        [block] = outputs.matrix("tags")
        labels = len(self.schema.labels)
        outside = block["outside"][sample][tokens]
        for label in range(labels):
            parts = [block[role][sample][tokens, label] for role in self.scheme.blocks] + [outside]
            if "transitions" in block:
                # Also from O, to O, from the start and to the end: these are the last two rows and columns.
                own = np.arange(len(self.scheme.blocks)) * labels + label
                rows = np.append(own, [self.scheme.outside(labels), self.scheme.outside(labels) + 1])
                parts.append(block["transitions"][np.ix_(rows, rows)].ravel())
            yield np.concatenate(parts)


class TagDecoder(SpanDecoder):
    """Finds the spans of the best sequence of tags, or those whose margin exceeds the threshold of their label."""

    def __init__(self, schema: LabelSchema, decoding: Decoding, scheme: Scheme) -> None:
        super().__init__(schema, decoding)
        self.scheme = scheme

    def decode(self, outputs: Outputs, mask: Mask, boundaries: BoundaryMasks | None = None) -> Decoded:
        """Find the spans of a batch."""
        [block] = outputs.matrix("tags")
        found = decode_tags(block, mask, self.thresholds, self.scheme, boundaries)
        return Decoded({"spans": Candidates(found.entries, found.scores)}, found.truncated)
