"""The scores of pairs of tokens from the factors of a handshaking head; the tensor ``[L, L, hidden]`` is never built.

With factors ``left`` and ``right`` of the tokens, the vector of the entry (i, j), i ≤ j, is ``v = tanh(left(i) + right(j))``.

- An entity has the score ``s = w·v + b``.
- A predicate has the tags 0 (none), 1 (from i to j) and 2 (from j to i), with ``a_0 = 0`` and ``a_c = w_c·v + b_c``. The score
  of a link is that of the tag c of its direction: ``s = a_c - max of the other two``, so that s > 0 if the tag is the best one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ie_cli.codecs.base import Floats, Index, Mask, Outputs
from ie_cli.codecs.links import MAX_PAIRS, LinkedPairs
from ie_cli.codecs.spans import MAX_SPANS, DecodedSpans
from ie_cli.encoding.word_boundaries import BoundaryMasks

BLOCK_SCORES = 2**20
"""The maximum number of scores, or of numbers in vectors of entries, that are computed at once."""
MATRICES = ("start_links", "end_links")


@dataclass(frozen=True, slots=True)
class Tags:
    """The tags of all link indices in a matrix: weight ``[links, 2, size]``, bias ``[links, 2]``."""

    weight: Floats
    bias: Floats

    def scores(self, vectors: Floats) -> tuple[Floats, Floats]:
        """Return the scores of the tags 1 and 2 for vectors ``[n, size]``; ``[links, n]`` each."""
        links, _, size = self.weight.shape
        a = (self.weight.reshape(2 * links, size) @ vectors.T).reshape(links, 2, -1) + self.bias[:, :, None]
        forward, backward = a[:, 0], a[:, 1]
        return forward - np.maximum(backward, 0), backward - np.maximum(forward, 0)

    def part(self, links: Index | slice) -> Tags:
        """Return the tags of some link indices."""
        return Tags(self.weight[links], self.bias[links])


@dataclass(frozen=True, slots=True)
class Handshaking:
    """The outputs of a head: left and right ``[batch, L, size]``, the entities' weight ``[size]`` and bias, and two matrices."""

    left: Floats
    right: Floats
    weight: Floats
    bias: float
    tags: tuple[Tags, Tags]

    @classmethod
    def of(cls, outputs: Outputs) -> Handshaking:
        """Take the arrays from the outputs of a model."""
        [entities] = outputs.matrix("entities")
        links = [block for name in MATRICES for block in outputs.matrix(name)]
        start, end = (Tags(block["weight"][0], block["bias"][0]) for block in links)
        bias = float(entities["bias"][0, 0])
        return cls(entities["left"][:, 0], entities["right"][:, 0], entities["weight"][0, 0], bias, (start, end))

    def vectors(self, sample: int, i: Index, j: Index) -> Floats:
        """Return the vectors of entries ``[n, size]``; i ≤ j."""
        total: Floats = self.left[sample, i] + self.right[sample, j]
        return np.tanh(total, out=total)

    def spans(self, mask: Mask, threshold: float, boundaries: BoundaryMasks | None = None) -> DecodedSpans:
        """Find the entities of a batch with a score above a threshold; the label is 0.

        Args:
            mask: ``[batch, L]``, true on text tokens.
            threshold: the minimum score s.
            boundaries: the tokens that a span may start and end with; None: all text tokens.
        """
        boundaries = boundaries or BoundaryMasks(mask, mask)
        entries, scores = [np.zeros((0, 4), dtype=np.int64)], [np.zeros(0, dtype=np.float32)]
        truncated: set[int] = set()
        for sample, text in enumerate(mask):
            tokens = np.nonzero(text)[0]
            found = self.entity_scores(sample, tokens)
            allowed = boundaries.starts[sample, tokens, None] & boundaries.ends[sample, tokens]
            first, last = np.nonzero((found > threshold) & allowed)
            limit = max(MAX_SPANS, len(tokens))
            if len(first) > limit:
                truncated.add(sample)
                best = np.sort(np.argsort(-found[first, last], kind="stable")[:limit])
                first, last = first[best], last[best]
            same = np.full_like(first, sample)
            entries.append(np.stack([same, np.zeros_like(first), tokens[first], tokens[last]], axis=1))
            scores.append(found[first, last])
        return DecodedSpans(np.concatenate(entries), np.concatenate(scores), frozenset(truncated))

    def entity_scores(self, sample: int, tokens: Index) -> Floats:
        """Return the scores of all spans of these tokens; ``[n, n]``, the lowest possible where first > last."""
        found = np.full((len(tokens), len(tokens)), np.finfo(np.float32).min, dtype=np.float32)
        for rows, vectors in self._rows(sample, tokens):
            found[rows, rows.start :] = vectors @ self.weight + self.bias
        found[np.tril_indices(len(tokens), -1)] = np.finfo(np.float32).min
        return found

    def _rows(self, sample: int, tokens: Index) -> Iterator[tuple[slice, Floats]]:
        """Yield blocks of rows of the upper triangle as vectors ``[rows, columns from the first of the rows, size]``."""
        left, right = self.left[sample, tokens], self.right[sample, tokens]
        first = 0
        while first < len(tokens):
            columns = len(tokens) - first
            step = max(1, min(columns // 8, BLOCK_SCORES // (columns * left.shape[1])))
            total = left[first : first + step, None] + right[None, first:]
            yield slice(first, min(first + step, len(tokens))), np.tanh(total, out=total)
            first += step

    def link(self, sample: int, spans: tuple[Index, Index], thresholds: Floats) -> tuple[LinkedPairs, bool]:
        """Return the pairs of spans with a score above the threshold of a predicate, see `codecs.links.LinkScorer`."""
        names = np.arange(len(thresholds))
        count = len(spans[1])
        step = max(1, BLOCK_SCORES // max(2 * len(names), self.left.shape[2]))
        found, capped = LinkedPairs.none(), False
        for at in range(0, len(spans[0]) * count, step):
            pairs = np.arange(at, min(at + step, len(spans[0]) * count))
            subject, object_ = pairs // count, pairs % count
            scores = self.scores(sample, names, (spans[0][subject], spans[1][object_]))
            predicate, which = np.nonzero(scores > thresholds[:, None])
            more = LinkedPairs(predicate, subject[which], object_[which], scores[predicate, which])
            found, dropped = found.and_also(more).best(MAX_PAIRS)  # at once: any pair may exceed a low threshold
            capped |= dropped
        return found, capped

    def scores(self, sample: int, links: Index, spans: tuple[Index, Index]) -> Floats:
        """Return the lower score in the two matrices of these link indices for pairs of spans; ``[links, n]``."""
        found = []
        for token, tags in enumerate(self.tags):
            a, b = spans[0][:, token], spans[1][:, token]
            forward, backward = tags.part(links).scores(self.vectors(sample, np.minimum(a, b), np.maximum(a, b)))
            found.append(np.where(a <= b, forward, backward))
        lower: Floats = np.minimum(*found)
        return lower

    def all_scores(self, sample: int, tokens: Index) -> Iterator[Floats]:
        """Yield the scores of the entities ``[n (n + 1) / 2]``, and of all links from each token to each other ``[n, n]``."""
        size = len(tokens)
        yield self.entity_scores(sample, tokens)[np.triu_indices(size)]
        step = max(1, 32 * BLOCK_SCORES // max(1, size**2))
        for tags in self.tags:
            for first in range(0, len(tags.weight), step):
                part = tags.part(slice(first, first + step))
                found = np.zeros((len(part.weight), size, size), dtype=np.float32)
                for rows, vectors in self._rows(sample, tokens):
                    shape = (len(part.weight), *vectors.shape[:2])
                    forward, backward = (s.reshape(shape) for s in part.scores(vectors.reshape(-1, vectors.shape[2])))
                    i, j = np.nonzero(np.arange(rows.start, rows.stop)[:, None] <= np.arange(rows.start, size))
                    found[:, rows.start + j, rows.start + i] = backward[:, i, j]
                    found[:, rows.start + i, rows.start + j] = forward[:, i, j]  # the diagonal has tag 1
                yield from found
