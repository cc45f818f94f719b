"""Encode gold entities as spans with one label each, and decode a softmax over the classes of every span.

A span (i, j) has one of the labels, with a score z_r, or the class "none", with the score 0. The score of a label is its
margin over the best other class, ``s_r = z_r − max(0, max_{q≠r} z_q)``: s > 0 if r is the most probable class.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ie_cli.codecs.base import Candidates, Decoded, Decoding, Floats, Index, Mask, Outputs
from ie_cli.codecs.limits import OTHER_LABEL
from ie_cli.codecs.spans import DecodedSpans, SpanCodec, SpanDecoder, best_spans, cap_spans
from ie_cli.document import Entity
from ie_cli.encoding.word_boundaries import BoundaryMasks

BLOCK_SCORES = 2**23
"""The maximum number of scores of one window that are computed at once."""


class BiaffineCodec(SpanCodec):
    """The codec of entities that may nest, with one label for each span.

    *Stored:* ``spans`` of (label, first token, last token). If a span has several labels, the first in the label schema is
    learned; the others are unreachable.
    """

    identity: Sequence[Any] = ("biaffine", 1)

    def expressible(self, spans: Index, entities: Sequence[Entity]) -> tuple[Mask, str]:
        """Keep the first label of each span."""
        labels: dict[tuple[int, int], int] = {}
        for label, *span in spans.tolist():
            labels[tuple(span)] = min(label, labels.get(tuple(span), label))
        return np.array([labels[tuple(span)] == label for label, *span in spans.tolist()], dtype=np.bool_), OTHER_LABEL

    def decoder(self, decoding: Decoding) -> BiaffineDecoder:
        """Return a decoder of spans."""
        return BiaffineDecoder(self.schema, decoding)

    def scores(self, outputs: Outputs, sample: int, tokens: Index) -> Iterator[Floats]:
        """Return the scores z of all entries, label by label: against "none", which does not depend on the other labels."""
        classes = SpanClasses.of(outputs)
        first, last = classes.first[sample, tokens], classes.last[sample, tokens]
        start, end = classes.start[sample, tokens], classes.end[sample][:, tokens]
        for label in range(len(end)):
            yield first @ classes.weight[:, label] @ last.T + start[:, label, None] + end[label]


class BiaffineDecoder(SpanDecoder):
    """Finds the spans whose label exceeds its threshold."""

    def decode(self, outputs: Outputs, mask: Mask, boundaries: BoundaryMasks | None = None) -> Decoded:
        """Find the spans of a batch."""
        found = decode_classes(SpanClasses.of(outputs), mask, self.thresholds, boundaries)
        return Decoded({"spans": Candidates(found.entries, found.scores)}, found.truncated)


@dataclass(frozen=True, slots=True)
class SpanClasses:
    """Factors of the scores of all labels: ``z_r(i,j) = first(i)ᵀ U_r last(j) + start_r(i) + end_r(j)``.

    The product of the first two factors has a vector for each token and label, so that it is computed for a few tokens at a time.

    *Shapes:* first and last ``[batch, L, size]``, weight U ``[size, labels, size]``, start ``[batch, L, labels]``, end
    ``[batch, labels, L]``; float32.
    """

    first: Floats
    weight: Floats
    last: Floats
    start: Floats
    end: Floats

    @classmethod
    def of(cls, outputs: Outputs) -> SpanClasses:
        """Take the arrays from the outputs of a model."""
        [block] = outputs.matrix("entities")
        return cls(block["first"], block["weight"], block["last"], block["start"], block["end"])

    def blocks(self, sample: int, length: int) -> Iterator[tuple[int, Floats]]:
        """Yield the first of some rows, and their scores z with the last tokens from that row; ``[rows, labels, columns]``."""
        size, labels, width = self.weight.shape
        step = max(1, BLOCK_SCORES // max(1, labels * max(length, width)))
        for top in range(0, length, step):
            bottom = min(top + step, length)
            left: Floats = self.first[sample, top:bottom] @ self.weight.reshape(size, -1)
            products: Floats = left.reshape(-1, width) @ self.last[sample, top:length].T
            scores = products.reshape(bottom - top, labels, -1)
            scores += self.start[sample, top:bottom, :, None]
            scores += self.end[sample, :, top:length]
            yield top, scores


def margins(scores: Floats) -> Floats:
    """Return ``s_r = z_r − max(0, max_{q≠r} z_q)`` from scores z; both ``[spans, labels]``."""
    spans = np.arange(len(scores))
    best = scores.argmax(axis=1)
    others = scores.copy()
    others[spans, best] = -np.inf
    found: Floats = scores - np.maximum(scores[spans, best], 0)[:, None]
    found[spans, best] = scores[spans, best] - np.maximum(others.max(axis=1), 0)
    return found


def decode_classes(
    classes: SpanClasses, mask: Mask, thresholds: Floats, boundaries: BoundaryMasks | None = None
) -> DecodedSpans:
    """Find every label of a span with ``s > threshold`` and first ≤ last, both on text tokens.

    Args:
        classes: the factors of the scores.
        mask: ``[batch, L]``, true on text tokens.
        thresholds: the minimum score s per label ``[labels]``.
        boundaries: the tokens that a span may start and end with; None: all text tokens.
    """
    boundaries = boundaries or BoundaryMasks(mask, mask)
    entries: list[Index] = [np.zeros((0, 4), dtype=np.int64)]
    scores: list[Floats] = [np.zeros(0, dtype=np.float32)]
    truncated: set[int] = set()
    for sample, text in enumerate(mask):
        length = int(text.nonzero()[0].max(initial=-1)) + 1
        for top, block in classes.blocks(sample, length):
            allowed = BoundaryMasks(boundaries.starts[sample, top:length], boundaries.ends[sample, top:length])
            labels, first, last, found = _found(block, allowed, thresholds)
            kept, more = best_spans(found - thresholds[labels], int(text.sum()))
            if more:
                truncated.add(sample)
            entries.append(np.stack([np.full_like(labels, sample), labels, first + top, last + top], axis=1)[kept])
            scores.append(found[kept])
    return cap_spans(np.concatenate(entries), np.concatenate(scores), mask, thresholds, truncated)


def _found(scores: Floats, allowed: BoundaryMasks, thresholds: Floats) -> tuple[Index, Index, Index, Floats]:
    """Return label, first and last token, and s of the spans found in scores z ``[rows, labels, columns]``.

    A score s never exceeds z, so that only spans with a z above the lowest threshold need a closer look.
    """
    first, last = np.nonzero(scores.max(axis=1, initial=-np.inf) > thresholds.min(initial=np.inf))
    valid = (first <= last) & allowed.starts[first] & allowed.ends[last]
    first, last = first[valid], last[valid]
    found = margins(scores[first, :, last])
    span, labels = np.nonzero(found > thresholds)
    return labels, first[span], last[span], found[span, labels]
