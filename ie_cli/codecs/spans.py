"""Encode gold entities as entries (label, first token, last token) of a score matrix, and decode factors to scored spans.

The tensor ``[labels, L, L]`` is never built, and every backend decodes here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
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
    TokenSpans,
)
from ie_cli.codecs.factors import Factors, LabelFactors, SharedFactors, entry_scores, factors_of
from ie_cli.codecs.flat import flat_alignment
from ie_cli.data.label_schema import LabelSchema
from ie_cli.document import Document, Entity
from ie_cli.encoding.alignment import align, to_entities, within
from ie_cli.encoding.tokenizer import Tokens
from ie_cli.encoding.windows import WindowPlan
from ie_cli.encoding.word_boundaries import BoundaryMasks
from ie_cli.recipe.heads import HeadSection, Reads
from ie_cli.triples import Mentions

MAX_CANDIDATES = 4096
"""The maximum number of (first, last) pairs per window whose labels are scored (8 per token if that is more).

An untrained model exceeds its thresholds everywhere and must not hang."""
MAX_SPANS = 512
"""The maximum number of spans returned per window (one per token if that is more), largest margin over the threshold first."""


class SpanCodec:
    """The codec of entities, which may nest.

    *Stored:* ``spans`` of (label, first token, last token).
    """

    reads: Reads = "windows"
    identity: Sequence[Any] = ("spans", 1)
    columns: Mapping[str, int] = {"spans": 3}
    token_spans: TokenSpans = {"spans": ((1, 2),)}

    def __init__(self, schema: LabelSchema, section: HeadSection) -> None:
        self.schema, self.nests = schema, section.nests
        self.matrices: Mapping[str, Sequence[str]] = {"entities": schema.labels}

    def encode(
        self,
        document: Document,
        tokens: Tokens,
        plan: WindowPlan,
        *,
        mentions: Mentions = "nearest",
        flat: bool = False,
    ) -> Targets:
        """Encode the entities as token spans."""
        entities = sorted(set(document.entities))  # the same order in every process: the stored columns have a checksum
        aligned = align(document.text, entities, tokens, plan, self.schema.ids)
        if flat and self.nests:
            aligned = flat_alignment(aligned)
        kept, reason = self.expressible(aligned.spans, aligned.reachable)
        others = [(aligned.reachable[number], reason) for number in np.nonzero(~kept)[0].tolist()]
        return Targets(
            {"spans": aligned.spans[kept]},
            {"entities": len(entities)},
            {"entities": [*aligned.unreachable, *others]},
        )

    def expressible(self, spans: Index, entities: Sequence[Entity]) -> tuple[Mask, str]:
        """Return which gold spans ``[spans, 3]``, of these entities, a prediction can have together, and why not the others."""
        return np.ones(len(spans), dtype=np.bool_), ""

    def window(self, targets: Targets, first: int, capacity: int, shift: int) -> dict[str, Index]:
        """Return the spans that lie entirely in a window."""
        return {"spans": within(targets.columns["spans"], first, capacity) + np.array([0, shift, shift])}

    def entries(self, columns: Columns) -> dict[str, Index]:
        """Return the entries (sample, label, first, last)."""
        return {"entities": columns["spans"]}

    def decoder(self, decoding: Decoding) -> SpanDecoder:
        """Return a decoder of spans."""
        return SpanDecoder(self.schema, decoding)

    def scores(self, outputs: Outputs, sample: int, tokens: Index) -> Iterator[Floats]:
        """Return the scores of all entries, label by label."""
        return entry_scores(factors_of(outputs.matrix("entities")), sample, tokens)


class SpanDecoder:
    """Finds the spans above the threshold of their label."""

    tokens: Mapping[str, tuple[int, ...]] = {"spans": (1, 2)}

    def __init__(self, schema: LabelSchema, decoding: Decoding) -> None:
        self.schema, self.decoding = schema, decoding
        self.thresholds = decoding.minimum_scores(schema.labels)

    def decode(self, outputs: Outputs, mask: Mask, boundaries: BoundaryMasks | None = None) -> Decoded:
        """Find the spans of a batch."""
        found = decode_spans(factors_of(outputs.matrix("entities")), mask, self.thresholds, boundaries)
        return Decoded({"spans": Candidates(found.entries, found.scores)}, found.truncated)

    def annotate(self, found: Mapping[str, Candidates], tokens: Tokens, plan: WindowPlan, text: str) -> Annotation:
        """Select the spans that were found in the window that owns them."""
        if (spans := found.get("spans")) is None:
            return Annotation()
        entries, probabilities = self.decoding.owned(spans, tokens, plan, self.tokens["spans"])
        return Annotation(to_entities(tokens, entries, probabilities, self.schema.labels, flat=self.decoding.flat))


@dataclass(frozen=True, slots=True)
class DecodedSpans:
    """Spans above the threshold: ``entries`` int64 ``[items, 4]`` of (sample, label, first, last), ``scores`` s ``[items]``.

    `truncated` lists the samples that exceeded the candidate limit.
    """

    entries: Index
    scores: Floats
    truncated: frozenset[int]


def decode_spans(
    factors: Iterable[Factors], mask: Mask, thresholds: Floats, boundaries: BoundaryMasks | None = None
) -> DecodedSpans:
    """Find every entry with ``s > threshold`` and first ≤ last, both on text tokens.

    Args:
        factors: the blocks of the score matrix.
        mask: ``[batch, L]``, true on text tokens.
        thresholds: the minimum score s per label ``[labels]``.
        boundaries: the tokens that a span may start and end with; None: all text tokens.
    """
    boundaries = boundaries or BoundaryMasks(mask, mask)
    entries: list[Index] = []
    scores: list[Floats] = []
    truncated: set[int] = set()
    for part in factors:
        for sample in range(len(mask)):
            length = int(mask[sample].nonzero()[0].max(initial=-1)) + 1
            if not length:
                continue
            allowed = BoundaryMasks(boundaries.starts[sample, :length], boundaries.ends[sample, :length])
            if isinstance(part, SharedFactors):
                labels, first, last, score, capped = _shared(part, sample, allowed, thresholds)
            else:
                labels, first, last, score, capped = _labelled(part, sample, allowed, thresholds)
            kept, more = best_spans(
                score - thresholds[labels], int(mask[sample].sum())
            )  # at once: any entry may exceed a low threshold
            if capped or more:
                truncated.add(sample)
            entries.append(np.stack([np.full_like(labels, sample), labels, first, last], axis=1)[kept])
            scores.append(score[kept])
    if not entries:
        return DecodedSpans(np.zeros((0, 4), dtype=np.int64), np.zeros(0, dtype=np.float32), frozenset())
    return cap_spans(np.concatenate(entries), np.concatenate(scores), mask, thresholds, truncated)


def _shared(
    part: SharedFactors, sample: int, allowed: BoundaryMasks, thresholds: Floats
) -> tuple[Index, Index, Index, Floats, bool]:
    """Prune the (first, last) pairs by an upper bound over all labels, then score the labels of those that remain."""
    length = len(allowed.starts)
    start = part.start[sample, :, :length] - thresholds[:, None]
    end = part.end[sample, :, :length]
    bound = part.pair[sample, :length, :length] + start.max(axis=0)[:, None] + end.max(axis=0)[None, :]
    first, last = np.nonzero(bound > 0)
    valid = (first <= last) & allowed.starts[first] & allowed.ends[last]
    first, last = first[valid], last[valid]
    limit = max(MAX_CANDIDATES, 8 * length)
    capped = len(first) > limit
    if capped:
        best = np.argsort(-bound[first, last], kind="stable")[:limit]
        first, last = first[best], last[best]
    score = part.pair[sample, first, last] + start[:, first] + end[:, last]  # [labels, candidates], minus the threshold
    labels, candidate = np.nonzero(score > 0)
    first, last = first[candidate], last[candidate]
    return labels, first, last, score[labels, candidate] + thresholds[labels], capped


def _labelled(
    part: LabelFactors, sample: int, allowed: BoundaryMasks, thresholds: Floats
) -> tuple[Index, Index, Index, Floats, bool]:
    length = len(allowed.starts)
    query, key = part.query[sample, :, :length], part.key[sample, :, :length]
    score = query @ key.transpose(0, 2, 1)  # [labels of this part, L, L]
    thresholds = thresholds[part.first : part.first + len(score)]
    labels, first, last = np.nonzero(score > thresholds[:, None, None])
    valid = (first <= last) & allowed.starts[first] & allowed.ends[last]
    labels, first, last = labels[valid], first[valid], last[valid]
    return labels + part.first, first, last, score[labels, first, last], False


def best_spans(margins: npt.NDArray[np.floating[Any]], tokens: int) -> tuple[Index | slice, bool]:
    """Return which spans found in a window to keep, in their order, and whether they exceed the limit of `cap_spans`.

    Args:
        margins: the scores of the spans minus their thresholds.
        tokens: the number of text tokens of the window.
    """
    limit = max(MAX_SPANS, tokens)
    if len(margins) <= limit:
        return slice(None), False
    return np.sort(np.argsort(-margins, kind="stable")[:limit]), True


def cap_spans(entries: Index, scores: Floats, mask: Mask, thresholds: Floats, truncated: set[int]) -> DecodedSpans:
    """Keep the spans of each sample with the largest margins over their thresholds, at most `MAX_SPANS` or one per token.

    The samples that exceeded the limit are added to `truncated`.
    """
    counts = np.bincount(entries[:, 0], minlength=len(mask))
    limits = np.maximum(MAX_SPANS, mask.sum(axis=1))
    for sample in np.nonzero(counts > limits)[0].tolist():
        truncated.add(sample)
        at = np.nonzero(entries[:, 0] == sample)[0]
        margin = scores[at] - thresholds[entries[at, 1]]
        drop = at[np.argsort(-margin, kind="stable")[limits[sample] :]]
        entries, scores = np.delete(entries, drop, axis=0), np.delete(scores, drop)
    return DecodedSpans(entries, scores, frozenset(truncated))
