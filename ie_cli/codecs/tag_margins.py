"""Decode the scores of tags to spans, each with the margin by which it is in the best sequence of tags.

The score of a span is ``s = best(with) - best(without)``: the best score of a legal sequence of tags that has exactly this
span, minus that of a legal sequence that does not. So s > 0 holds for the spans of the best sequence (Viterbi) and, ties aside,
for no others; other thresholds of s give fewer or more spans.

With ``a_t(y)`` and ``b_t(y)``, the best scores of the tags up to t and after t if token t has the tag y, and ``c_t(y)``, as b
but with no more tokens in the entity of token t, the best sequence with the span (r, i, j) scores

``W_r(i,j) = a_i(B_r) + (tags inside the span) + c_j(its last tag)``,

which is a term of i plus a term of j, because the tags inside are a difference of cumulative sums. A sequence without the span
has another tag at i, or the tag B_r at i and another end:

``best(without) = max(max_{y ≠ B_r} a_i(y) + b_i(y), max_{j' ≠ j} W_r(i,j'))``.

Where entities may start and end only at some tokens, the legal sequences are those of such entities: a score is -inf for a tag
that starts an entity elsewhere, and for leaving an entity elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ie_cli.codecs.base import Floats, Index, Mask
from ie_cli.codecs.spans import MAX_CANDIDATES, DecodedSpans, best_spans, cap_spans
from ie_cli.codecs.tag_scheme import Scheme
from ie_cli.encoding.word_boundaries import BoundaryMasks

# Sums over hundreds of tokens lose digits in float32, and a margin is a difference of two such sums.
Doubles = npt.NDArray[np.float64]
BLOCK_SCORES = 2**21
"""The maximum number of scores in a table of several windows, and of totals of spans, that are computed at once."""


def decode_tags(
    block: Mapping[str, npt.NDArray[Any]],
    mask: Mask,
    thresholds: Floats,
    scheme: Scheme,
    boundaries: BoundaryMasks | None = None,
) -> DecodedSpans:
    """Find every span with ``s > threshold``.

    Args:
        block: scores of tags ``[batch, L, labels]`` by role, ``outside`` ``[batch, L]`` and, if the head has them,
            ``transitions`` ``[K + 1, K + 1]`` (see `Scheme.legal`), of which only the legal ones are used.
        mask: ``[batch, L]``, true on text tokens, which are consecutive.
        thresholds: the minimum score s per label ``[labels]``.
        scheme: the tagging scheme.
        boundaries: the tokens that a span may start and end with; None: all text tokens.
    """
    boundaries = boundaries or BoundaryMasks(mask, mask)
    lengths = mask.sum(axis=1)
    entries: list[Index] = [np.zeros((0, 4), dtype=np.int64)]
    scores: list[Doubles] = [np.zeros(0)]
    truncated: set[int] = set()
    if longest := int(lengths.max(initial=0)):
        order = np.argsort(~mask, axis=1, kind="stable")[:, :longest]  # text tokens first
        step = max(1, BLOCK_SCORES // (longest * (scheme.outside(len(thresholds)) + 1)))
        for at in range(0, len(mask), step):
            chain = _Chain.build(block, slice(at, at + step), order, lengths, scheme=scheme, boundaries=boundaries)
            for sample in (at + np.nonzero(lengths[at : at + step])[0]).tolist():
                spans, margins, capped = _find(chain, sample - at, int(lengths[sample]), thresholds)
                if capped:
                    truncated.add(sample)
                spans[:, 1:] = order[sample, spans[:, 1:]]
                entries.append(np.insert(spans, 0, sample, axis=1))
                scores.append(margins)
    return cap_spans(np.concatenate(entries), np.concatenate(scores).astype(np.float32), mask, thresholds, truncated)


@dataclass(frozen=True, slots=True)
class _Chain:
    """The scores of some samples of a batch and their tables; t counts text tokens.

    Attributes:
        scheme, labels: the scheme and the number of labels.
        emissions: ``[batch, T, K]``.
        inner: scores of the transitions within an entity, ``[labels]`` by pair of roles.
        before: a, the best scores up to t, with the emission of t; ``[batch, T, K]``.
        after: b, the best scores after t; ``[batch, T, K]``.
        closed: c, the best scores after t if an entity ends at t; ``[batch, T, K]``, -inf for tags that cannot end one.
    """

    scheme: Scheme
    labels: int
    emissions: Doubles
    inner: Mapping[tuple[str, str], Doubles]
    before: Doubles
    after: Doubles
    closed: Doubles

    @classmethod
    def build(
        cls,
        block: Mapping[str, npt.NDArray[Any]],
        samples: slice,
        order: Index,
        lengths: Index,
        *,
        scheme: Scheme,
        boundaries: BoundaryMasks,
    ) -> _Chain:
        """Compute the tables of some samples for the tokens in `order`, of which the first `lengths` are text tokens."""
        order, lengths = order[samples], lengths[samples]
        starts, ends = (
            np.take_along_axis(side[samples], order, axis=1) for side in (boundaries.starts, boundaries.ends)
        )
        tags = [*(block[role][samples] for role in scheme.blocks), block["outside"][samples, :, None]]
        emissions = np.take_along_axis(np.concatenate(tags, axis=2), order[:, :, None], axis=1).astype(np.float64)
        labels = block[scheme.blocks[0]].shape[2]
        for role in scheme.opening:
            emissions[:, :, scheme.block(role, labels)][~starts] = -np.inf
        outer = _Outer.build(block.get("transitions"), scheme, labels, np.where(ends, 0.0, -np.inf))
        inner = {
            (one, other): np.zeros(labels)
            if outer.scores is None
            else np.diagonal(block["transitions"][scheme.block(one, labels), scheme.block(other, labels)]).astype(
                np.float64
            )
            for one, other in scheme.inner
        }
        before = _forward(emissions, inner, outer, scheme)
        after, closed = _backward(emissions, inner, outer, scheme, lengths)
        return cls(scheme, labels, emissions, inner, before, after, closed)

    def of(self, table: Doubles, role: str) -> Doubles:
        """Return the columns of a role."""
        return table[..., self.scheme.block(role, self.labels)]


@dataclass(frozen=True, slots=True)
class _Outer:
    """The transitions from the end of an entity, or O, to the start of another one, or O.

    Attributes:
        labels: the number of labels.
        closing, opening: the tags from which and to which they lead.
        scores: ``[closing, opening]``; None if all are 0.
        start, end: the scores of the first tag ``[opening]`` and of the last one ``[closing]``.
        ending: what is added to the score of a tag that ends an entity at a token, 0 or -inf; ``[batch, T]``.
    """

    labels: int
    closing: Index
    opening: Index
    scores: Doubles | None
    start: Doubles
    end: Doubles
    ending: Doubles

    @classmethod
    def build(cls, transitions: npt.NDArray[Any] | None, scheme: Scheme, labels: int, ending: Doubles) -> _Outer:
        closing, opening = scheme.tags(scheme.closing, labels), scheme.tags(scheme.opening, labels)
        if transitions is None:
            return cls(labels, closing, opening, None, np.zeros(len(opening)), np.zeros(len(closing)), ending)
        table = transitions.astype(np.float64)
        scores = table[np.ix_(closing, opening)]
        return cls(labels, closing, opening, scores, table[-1, opening], table[closing, -1], ending)

    def enter(self, closing: Doubles) -> Doubles:
        """Return the best scores before each opening tag ``[batch, opening]`` from those up to each closing tag."""
        return _best(closing, self.scores, len(self.opening))

    def leave(self, opening: Doubles) -> Doubles:
        """Return the best scores after each closing tag ``[batch, closing]`` from those from each opening tag on."""
        return _best(opening, None if self.scores is None else self.scores.T, len(self.closing))


def _best(states: Doubles, scores: Doubles | None, count: int) -> Doubles:
    """Return ``max_x states(x) + scores(x, y)`` for all y; ``[batch, count]``."""
    top = states.max(axis=1, keepdims=True)
    if scores is None:
        return np.broadcast_to(top, (len(states), count))
    # A state that is further below the best one than transitions differ never leads to a maximum.
    useful = ~(states < top - (scores.max() - scores.min())).all(axis=0)
    best: Doubles = (states[:, useful, None] + scores[useful]).max(axis=1)
    return best


def _forward(emissions: Doubles, inner: Mapping[tuple[str, str], Doubles], outer: _Outer, scheme: Scheme) -> Doubles:
    table = np.full_like(emissions, -np.inf)
    table[:, 0, outer.opening] = outer.start + emissions[:, 0, outer.opening]
    for t in range(1, table.shape[1]):
        previous, now = table[:, t - 1], table[:, t]
        closing = previous[:, outer.closing]
        closing[:, :-1] += outer.ending[:, t - 1, None]  # the last one is O
        now[:, outer.opening] = outer.enter(closing)
        for (one, other), score in inner.items():
            into = now[:, scheme.block(other, outer.labels)]
            np.maximum(into, previous[:, scheme.block(one, outer.labels)] + score, out=into)
        now += emissions[:, t]
    return table


def _backward(
    emissions: Doubles, inner: Mapping[tuple[str, str], Doubles], outer: _Outer, scheme: Scheme, lengths: Index
) -> tuple[Doubles, Doubles]:
    table, closed = np.full_like(emissions, -np.inf), np.full_like(emissions, -np.inf)
    for t in reversed(range(table.shape[1])):
        ends = (lengths <= t + 1)[:, None]
        now = table[:, t]
        now[:, outer.closing] = outer.end
        if not ends.all():
            following = table[:, t + 1] + emissions[:, t + 1]
            now[:, outer.closing] = np.where(ends, outer.end, outer.leave(following[:, outer.opening]))
        now[:, outer.closing[:-1]] += outer.ending[:, t, None]
        closed[:, t] = now
        if not ends.all():
            for (one, other), score in inner.items():
                into = now[:, scheme.block(one, outer.labels)]
                more = np.where(ends, -np.inf, following[:, scheme.block(other, outer.labels)] + score)
                np.maximum(into, more, out=into)
    return table, closed


def _find(chain: _Chain, sample: int, length: int, thresholds: Floats) -> tuple[Index, Doubles, bool]:
    """Return the spans (label, first, last) of a sample, their scores, and whether a limit was exceeded."""
    through = chain.before[sample, :length] + chain.after[sample, :length]
    rivals = _others(through)  # the best score with another tag
    entries, scores = np.zeros((0, 3), dtype=np.int64), np.zeros(0)
    if "single" in chain.scheme.blocks:
        margin = chain.of(through, "single") - chain.of(rivals, "single")
        first, label = np.nonzero(margin > thresholds)
        entries, scores = np.stack([label, first, first], axis=1), margin[first, label]
    # No span that starts with B at i has a larger margin than the tag B itself.
    rivals = chain.of(rivals, "begin")
    bound = chain.of(through, "begin") - rivals - thresholds
    first, label = np.nonzero(bound > 0)
    limit = max(MAX_CANDIDATES, 8 * length)
    capped = len(first) > limit
    if capped:
        best = np.argsort(-bound[first, label], kind="stable")[:limit]
        first, label = first[best], label[best]
    step = max(1, BLOCK_SCORES // length)
    for at in range(0, max(1, len(first)), step):
        begin, own = first[at : at + step], label[at : at + step]
        totals = _totals(chain, sample, length, begin, own)
        margin = totals - np.maximum(_others(totals), rivals[begin, own, None])
        row, last = np.nonzero(margin > thresholds[own, None])
        entries = np.concatenate([entries, np.stack([own[row], begin[row], last], axis=1)])
        scores = np.concatenate([scores, margin[row, last]])
        kept, more = best_spans(scores - thresholds[entries[:, 0]], length)  # at once: a low threshold finds every end
        entries, scores, capped = entries[kept], scores[kept], capped or more
    return entries, scores, capped


def _others(values: Doubles) -> Doubles:
    """Return, for each value, the largest of the others in its row."""
    if values.size == 0:
        return values
    at = values.argmax(axis=1)[:, None]
    rest = values.copy()
    np.put_along_axis(rest, at, -np.inf, axis=1)
    others = np.repeat(values.max(axis=1, keepdims=True), values.shape[1], axis=1)
    np.put_along_axis(others, at, rest.max(axis=1, keepdims=True), axis=1)
    return others


def _totals(chain: _Chain, sample: int, length: int, first: Index, label: Index) -> Doubles:
    """Return ``W_r(i,j)`` for starts (r, i) that have the tag B and all j; ``[starts, T]``, -inf where there is no such span."""
    emissions, closed = chain.emissions[sample, :length], chain.closed[sample, :length]
    inner, start = chain.inner, chain.before[sample, first, label]  # the tags B are the first ones
    again = inner["inside", "inside"]
    sums = np.cumsum(chain.of(emissions, "inside") + again, axis=0)
    left = start + inner["begin", "inside"][label] - again[label] - sums[first, label]
    at, rows = np.arange(length), np.arange(len(first))
    if "end" not in chain.scheme.blocks:  # the tags are B, or B I … I
        right = sums + chain.of(closed, "inside")
        totals = np.where(at > first[:, None], left[:, None] + right[:, label].T, -np.inf)
        totals[rows, first] = start + closed[first, label]
        return totals
    ending = chain.of(emissions, "end") + chain.of(closed, "end")  # the tags are B E, or B I … I E
    right = np.roll(sums, 1, axis=0) + inner["inside", "end"] + ending
    totals = np.where(at > first[:, None] + 1, left[:, None] + right[:, label].T, -np.inf)
    short = first + 1 < length
    second = first[short] + 1
    totals[rows[short], second] = start[short] + inner["begin", "end"][label[short]] + ending[second, label[short]]
    return totals
