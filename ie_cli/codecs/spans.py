"""Entities as cells (label, first token, last token) of a table of scores: gold to cells, factors to scored spans.

The tensor ``[labels, L, L]`` is never built, and every backend decodes here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

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
from ie_cli.codecs.factors import Factors, LabelFactors, SharedFactors, cell_scores, factors_of
from ie_cli.data.label_schema import LabelSchema
from ie_cli.document import Document
from ie_cli.encoding.alignment import align, to_entities, within
from ie_cli.encoding.tokenizer import Tokens
from ie_cli.encoding.windows import WindowPlan
from ie_cli.recipe.heads import HeadSection
from ie_cli.triples import Mentions

MAX_CANDIDATES = 4096
"""Cells per window (8 per token, if that is more) whose labels are looked at: an untrained model fires everywhere and must
not hang."""
MAX_SPANS = 512
"""Spans per window (one per token, if that is more) that are returned, best margin over the threshold first."""


class SpanCodec:
    """Entities, which may nest, one row for each label.

    *Stored:* ``spans`` of (row, first, last token).
    """

    identity: Sequence[Any] = ("spans", 1)
    columns: Mapping[str, int] = {"spans": 3}

    def __init__(self, schema: LabelSchema, section: HeadSection) -> None:
        self.schema = schema
        self.tables: Mapping[str, Sequence[str]] = {"entities": schema.labels}

    def encode(
        self, document: Document, tokens: Tokens, plan: WindowPlan, *, mentions: Mentions = "nearest"
    ) -> Targets:
        """The entities as spans of tokens."""
        entities = sorted(set(document.entities))  # in the same order in every process: what is stored has a checksum
        aligned = align(document.text, entities, tokens, plan, self.schema.ids)
        return Targets({"spans": aligned.spans}, {"entities": len(entities)}, {"entities": list(aligned.unreachable)})

    def window(self, targets: Targets, first: int, capacity: int, shift: int) -> dict[str, Index]:
        """The spans that lie whole in a window."""
        return {"spans": within(targets.columns["spans"], first, capacity) + np.array([0, shift, shift])}

    def cells(self, columns: Columns) -> dict[str, Index]:
        """Cells (sample, row, first, last)."""
        return {"entities": columns["spans"]}

    def decoder(self, decoding: Decoding) -> SpanDecoder:
        """What finds spans."""
        return SpanDecoder(self.schema, decoding)

    def scores(self, outputs: Outputs, sample: int, there: Index) -> Iterator[Floats]:
        """The scores of all cells, label by label."""
        return cell_scores(factors_of(outputs.table("entities")), sample, there)


class SpanDecoder:
    """Finds spans above the threshold of their label."""

    tokens: Mapping[str, tuple[int, ...]] = {"spans": (1, 2)}

    def __init__(self, schema: LabelSchema, decoding: Decoding) -> None:
        self.schema, self.decoding = schema, decoding
        self.least = decoding.least(schema.labels)

    def decode(self, outputs: Outputs, mask: Mask) -> Decoded:
        """The spans of a batch."""
        found = decode_spans(factors_of(outputs.table("entities")), mask, self.least)
        return Decoded({"spans": Candidates(found.cells, found.scores)}, found.truncated)

    def annotate(self, found: Mapping[str, Candidates], tokens: Tokens, plan: WindowPlan, text: str) -> Annotation:
        """The spans that the windows which own them found."""
        if (spans := found.get("spans")) is None:
            return Annotation()
        mine = plan.owners(len(tokens), spans.cells[:, 1], spans.cells[:, 2]) == spans.cells[:, 3]
        chances = self.decoding.probability(spans.scores[mine])
        return Annotation(
            to_entities(tokens, spans.cells[mine, :3], chances, self.schema.labels, flat=self.decoding.flat)
        )


@dataclass(frozen=True, slots=True)
class DecodedSpans:
    """Spans above threshold: ``cells`` int64 ``[items, 4]`` of (sample, row, first, last), ``scores`` s ``[items]``.

    `truncated` holds the samples in which more was found than is kept.
    """

    cells: Index
    scores: Floats
    truncated: frozenset[int]


def decode_spans(factors: Iterable[Factors], mask: Mask, thresholds: Floats) -> DecodedSpans:
    """Find every cell with ``s > threshold`` among first ≤ last, both on text tokens.

    Args:
        mask: ``[batch, L]``, true on text tokens.
        thresholds: least score s per label ``[labels]``.
    """
    cells: list[Index] = []
    scores: list[Floats] = []
    truncated: set[int] = set()
    for part in factors:
        for sample in range(len(mask)):
            length = int(mask[sample].nonzero()[0].max(initial=-1)) + 1
            if not length:
                continue
            text = mask[sample, :length]
            if isinstance(part, SharedFactors):
                rows, first, last, score, capped = _shared(part, sample, text, thresholds)
            else:
                rows, first, last, score, capped = _labelled(part, sample, text, thresholds)
            if capped:
                truncated.add(sample)
            cells.append(np.stack([np.full_like(rows, sample), rows, first, last], axis=1))
            scores.append(score)
    if not cells:
        return DecodedSpans(np.zeros((0, 4), dtype=np.int64), np.zeros(0, dtype=np.float32), frozenset())
    return _cap(np.concatenate(cells), np.concatenate(scores), mask, thresholds, truncated)


def _shared(
    part: SharedFactors, sample: int, text: Mask, thresholds: Floats
) -> tuple[Index, Index, Index, Floats, bool]:
    """Prune cells by the best that any label could reach, then score the labels of the few that are left."""
    length = len(text)
    start = part.start[sample, :, :length] - thresholds[:, None]
    end = part.end[sample, :, :length]
    bound = part.pair[sample, :length, :length] + start.max(axis=0)[:, None] + end.max(axis=0)[None, :]
    first, last = np.nonzero(bound > 0)
    counted = (first <= last) & text[first] & text[last]
    first, last = first[counted], last[counted]
    most = max(MAX_CANDIDATES, 8 * length)
    capped = len(first) > most
    if capped:
        best = np.argsort(-bound[first, last], kind="stable")[:most]
        first, last = first[best], last[best]
    score = part.pair[sample, first, last] + start[:, first] + end[:, last]  # [labels, candidates], less threshold
    rows, candidate = np.nonzero(score > 0)
    first, last = first[candidate], last[candidate]
    return rows, first, last, score[rows, candidate] + thresholds[rows], capped


def _labelled(
    part: LabelFactors, sample: int, text: Mask, thresholds: Floats
) -> tuple[Index, Index, Index, Floats, bool]:
    length = len(text)
    query, key = part.query[sample, :, :length], part.key[sample, :, :length]
    score = query @ key.transpose(0, 2, 1)  # [labels of this part, L, L]
    labels = slice(part.first, part.first + len(score))
    rows, first, last = np.nonzero(score > thresholds[labels, None, None])
    counted = (first <= last) & text[first] & text[last]
    rows, first, last = rows[counted], first[counted], last[counted]
    found = score[rows, first, last]
    most = max(MAX_SPANS, length)
    capped = len(rows) > most
    if capped:
        best = np.argsort(thresholds[labels][rows] - found, kind="stable")[:most]
        rows, first, last, found = rows[best], first[best], last[best], found[best]
    return rows + part.first, first, last, found, capped


def _cap(cells: Index, scores: Floats, mask: Mask, thresholds: Floats, truncated: set[int]) -> DecodedSpans:
    counts = np.bincount(cells[:, 0], minlength=len(mask))
    most = np.maximum(MAX_SPANS, mask.sum(axis=1))
    for sample in np.nonzero(counts > most)[0].tolist():
        truncated.add(sample)
        at = np.nonzero(cells[:, 0] == sample)[0]
        margin = scores[at] - thresholds[cells[at, 1]]
        drop = at[np.argsort(-margin, kind="stable")[most[sample] :]]
        cells, scores = np.delete(cells, drop, axis=0), np.delete(scores, drop)
    return DecodedSpans(cells, scores, frozenset(truncated))
