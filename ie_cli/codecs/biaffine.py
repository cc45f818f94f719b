"""Encode gold entities as spans with one label each, and decode a softmax over the classes of every span.

A span (i, j) has one of the labels, with a score z_r, or the class "none", with the score 0. The score of a label is its
margin over the best other class, ``s_r = z_r − max(0, max_{q≠r} z_q)``: s > 0 if r is the most probable class.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ie_cli.codecs.base import Candidates, Decoded, Decoding, Floats, Index, Mask, Outputs, Targets
from ie_cli.codecs.flat import flat_alignment
from ie_cli.codecs.limits import OTHER_LABEL
from ie_cli.codecs.spans import MAX_SPANS, DecodedSpans, SpanCodec, SpanDecoder, cap_spans
from ie_cli.document import Document
from ie_cli.encoding.alignment import align
from ie_cli.encoding.tokenizer import Tokens
from ie_cli.encoding.windows import WindowPlan
from ie_cli.triples import Mentions

BLOCK_SCORES = 2**23
"""The maximum number of scores of one window that are computed at once."""


class BiaffineCodec(SpanCodec):
    """The codec of entities that may nest, with one label for each span.

    *Stored:* ``spans`` of (label, first token, last token). If a span has several labels, the first in the label schema is
    learned; the others are unreachable.
    """

    identity: Sequence[Any] = ("biaffine", 1)

    def encode(
        self,
        document: Document,
        tokens: Tokens,
        plan: WindowPlan,
        *,
        mentions: Mentions = "nearest",
        flat: bool = False,
    ) -> Targets:
        """Encode the entities as token spans with one label."""
        entities = sorted(set(document.entities))
        aligned = align(document.text, entities, tokens, plan, self.schema.ids)
        if flat:
            aligned = flat_alignment(aligned, entities)
        lost = {entity for entity, _ in aligned.unreachable}
        places = [(entity.start, entity.end) for entity in entities if entity not in lost]
        labels: dict[tuple[int, int], int] = {}
        for place, label in zip(places, aligned.spans[:, 0].tolist(), strict=True):
            labels[place] = min(label, labels.get(place, label))
        others = [
            (entity, OTHER_LABEL)
            for entity in entities
            if entity not in lost and self.schema.ids[entity.label] != labels[entity.start, entity.end]
        ]
        kept = np.array([labels[place] for place in places], dtype=np.int64) == aligned.spans[:, 0]
        return Targets(
            {"spans": aligned.spans[kept]},
            {"entities": len(entities)},
            {"entities": [*aligned.unreachable, *others]},
        )

    def decoder(self, decoding: Decoding) -> BiaffineDecoder:
        """Return a decoder of spans."""
        return BiaffineDecoder(self.schema, decoding)

    def scores(self, outputs: Outputs, sample: int, tokens: Index) -> Iterator[Floats]:
        """Return the scores z of all entries, label by label: against "none", which does not depend on the other labels."""
        parts = list(span_classes(outputs.matrix("entities")))
        left = np.concatenate([part.left[sample] for part in parts])[tokens]  # [tokens, labels, size]
        start = np.concatenate([part.start[sample] for part in parts])[tokens]  # [tokens, labels]
        right, end = parts[0].right[sample, tokens], parts[0].end[sample][:, tokens]
        for label in range(len(end)):
            yield left[:, label] @ right.T + start[:, label, None] + end[label]


class BiaffineDecoder(SpanDecoder):
    """Finds the spans whose label exceeds its threshold."""

    def decode(self, outputs: Outputs, mask: Mask) -> Decoded:
        """Find the spans of a batch."""
        found = decode_classes(span_classes(outputs.matrix("entities")), mask, self.thresholds)
        return Decoded({"spans": Candidates(found.entries, found.scores)}, found.truncated)


@dataclass(frozen=True, slots=True)
class SpanClasses:
    """Factors of the scores of all labels, for the first tokens from `top`.

    ``z_r(i,j) = left_r(i)·right(j) + start_r(i) + end_r(j)``

    *Shapes:* left ``[batch, rows, labels, size]``, start ``[batch, rows, labels]``, right ``[batch, L, size]``, end
    ``[batch, labels, L]``; float32.
    """

    top: int
    left: Floats
    start: Floats
    right: Floats
    end: Floats

    def blocks(self, sample: int, length: int) -> Iterator[tuple[int, Floats]]:
        """Yield the first of some rows, and their scores z with the last tokens from that row; ``[rows, labels, columns]``."""
        _, rows, labels, _ = self.left.shape
        step = max(1, BLOCK_SCORES // max(1, labels * length))
        stop = min(rows, length - self.top)
        for row in range(0, stop, step):
            left = self.left[sample, row : min(row + step, stop)]
            right = self.right[sample, self.top + row : length]
            scores = (left.reshape(-1, left.shape[2]) @ right.T).reshape(*left.shape[:2], -1)
            scores += self.start[sample, row : row + len(left), :, None]
            scores += self.end[sample, :, self.top + row : length]
            yield self.top + row, scores


def span_classes(blocks: Iterable[Mapping[str, npt.NDArray[Any]]]) -> Iterator[SpanClasses]:
    """Yield the blocks of a score matrix as factors."""
    top = 0
    for block in blocks:
        yield SpanClasses(top, block["left"], block["start"], block["right"], block["end"])
        top += block["left"].shape[1]


def margins(scores: Floats) -> Floats:
    """Return ``s_r = z_r − max(0, max_{q≠r} z_q)`` from scores z; both ``[spans, labels]``."""
    spans = np.arange(len(scores))
    best = scores.argmax(axis=1)
    others = scores.copy()
    others[spans, best] = -np.inf
    found: Floats = scores - np.maximum(scores[spans, best], 0)[:, None]
    found[spans, best] = scores[spans, best] - np.maximum(others.max(axis=1), 0)
    return found


def decode_classes(parts: Iterable[SpanClasses], mask: Mask, thresholds: Floats) -> DecodedSpans:
    """Find every label of a span with ``s > threshold`` and first ≤ last, both on text tokens.

    Args:
        parts: the blocks of the score matrix.
        mask: ``[batch, L]``, true on text tokens.
        thresholds: the minimum score s per label ``[labels]``.
    """
    entries: list[Index] = [np.zeros((0, 4), dtype=np.int64)]
    scores: list[Floats] = [np.zeros(0, dtype=np.float32)]
    truncated: set[int] = set()
    for part in parts:
        for sample in range(len(mask)):
            length = int(mask[sample].nonzero()[0].max(initial=-1)) + 1
            limit = max(MAX_SPANS, int(mask[sample].sum()))
            for top, block in part.blocks(sample, length):
                labels, first, last, found = _found(block, mask[sample, top:length], thresholds)
                if len(labels) > limit:  # of the spans that are kept in the end, none is lost here
                    truncated.add(sample)
                    kept = np.argsort(thresholds[labels] - found, kind="stable")[:limit]
                    labels, first, last, found = labels[kept], first[kept], last[kept], found[kept]
                entries.append(np.stack([np.full_like(labels, sample), labels, first + top, last + top], axis=1))
                scores.append(found)
    return cap_spans(np.concatenate(entries), np.concatenate(scores), mask, thresholds, truncated)


def _found(scores: Floats, text: Mask, thresholds: Floats) -> tuple[Index, Index, Index, Floats]:
    """Return label, first and last token, and s of the spans found in scores z ``[rows, labels, columns]``.

    A score s never exceeds z, so that only spans with a z above the lowest threshold need a closer look.
    """
    first, last = np.nonzero(scores.max(axis=1, initial=-np.inf) > thresholds.min(initial=np.inf))
    valid = (first <= last) & text[first] & text[last]
    first, last = first[valid], last[valid]
    found = margins(scores[first, :, last])
    span, labels = np.nonzero(found > thresholds)
    return labels, first[span], last[span], found[span, labels]
