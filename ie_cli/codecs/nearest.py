"""Join scored starts and ends to spans: each start belongs to the nearest end that is not before it.

Source: the decoding of CasRel (kexue.fm/archives/7161), as a score of each span, so that a higher threshold never adds a span.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

import numpy as np

from ie_cli.codecs.base import Floats, Index, Mask
from ie_cli.encoding.word_boundaries import BoundaryMasks

_BLOCK = 2**20
"""The maximum number of (start, end) pairs whose scores are computed together."""


@dataclass(frozen=True, slots=True)
class DecodedPairs:
    """Items above the threshold: entries int64 ``[items, columns]``, of spans (row, first, last); scores s ``[items]``.

    `truncated` lists the samples that exceeded the limit.
    """

    entries: Index
    scores: Floats
    truncated: frozenset[int]


def decode_nearest(
    start: Floats,
    end: Floats,
    mask: Mask,
    thresholds: Floats,
    samples: Index,
    *,
    limits: Index,
    boundaries: BoundaryMasks | None = None,
) -> DecodedPairs:
    """Find the spans of each row whose score exceeds the threshold of the row.

    The score of the span i..j is ``min(start(i), end(j), min -end(k) for i ≤ k < j)``: both of its tokens are chosen, and no
    end between them is, of the tokens that a span may end with. At the threshold 0 these are exactly the spans of each start
    with the nearest end.

    Args:
        start: the scores s of starts ``[rows, L]``.
        end: the scores s of ends ``[rows, L]``.
        mask: true on text tokens ``[batch, L]``.
        thresholds: the minimum score s of each row ``[rows]``.
        samples: the sample of each row ``[rows]``.
        limits: the maximum number of starts of each sample that are joined, and of its spans, largest margin first ``[batch]``.
        boundaries: the tokens that a span may start and end with; None: all text tokens.
    """
    length = start.shape[1]
    boundaries = boundaries or BoundaryMasks(mask, mask)
    above, usable = thresholds[:, None], boundaries.ends[samples]
    chosen = (start > above) & boundaries.starts[samples]
    chosen &= ((end > above) & usable).any(axis=1, keepdims=True)
    row, first = np.nonzero(chosen)
    kept, truncated = best_of_samples(samples[row], start[row, first] - thresholds[row], limits)
    row, first = row[kept], first[kept]
    entries, scores = [np.zeros((0, 3), dtype=np.int64)], [np.zeros(0, dtype=np.float32)]
    step = max(1, _BLOCK // max(1, length))
    for at in range(0, len(row), step):
        rows, begin = row[at : at + step], first[at : at + step]
        after = (np.arange(length) >= begin[:, None]) & usable[rows]
        ends = np.where(after, end[rows], np.float32(-np.inf))
        passed = np.insert(np.maximum.accumulate(ends, axis=1)[:, :-1], 0, -np.inf, axis=1)  # the highest end before j
        score = np.minimum(np.minimum(ends, -passed), start[rows, begin, None])
        which, last = np.nonzero(score > thresholds[rows, None])
        entries.append(np.stack([rows[which], begin[which], last], axis=1))
        scores.append(score[which, last])
    found, values = np.concatenate(entries), np.concatenate(scores)
    kept, more = best_of_samples(samples[found[:, 0]], values - thresholds[found[:, 0]], limits)
    return DecodedPairs(found[kept], values[kept], truncated | more)


def best_of_samples(samples: Index, merits: Floats, limits: Index) -> tuple[Mask, frozenset[int]]:
    """Return which items to keep, of each sample at most its limit with the highest merits, and the samples with more.

    Args:
        samples: the sample of each item ``[items]``.
        merits: what decides, ``[items]``.
        limits: the maximum number of items of each sample ``[batch]``.
    """
    kept: Mask = np.ones(len(samples), dtype=np.bool_)
    truncated = np.nonzero(np.bincount(samples, minlength=len(limits)) > limits)[0].tolist()
    for sample in truncated:
        at = np.nonzero(samples == sample)[0]
        kept[at[np.argsort(-merits[at], kind="stable")[limits[sample] :]]] = False
    return kept, frozenset(truncated)


def joint_spans(groups: Index, spans: Index) -> Mask:
    """Return which spans are kept so that the starts and ends of those in each group decode to exactly these spans.

    A group can have spans that are disjoint, and spans with the same end: otherwise a start would be joined with the end of
    another span. Of all such choices, one with the most items is kept; a span may be given several times.

    Args:
        groups: the group of each span; int64 ``[spans, any]``.
        spans: (first, last) of each span; int64 ``[spans, 2]``.
    """
    kept: Mask = np.zeros(len(spans), dtype=np.bool_)
    members: dict[tuple[int, ...], list[int]] = {}
    for number, group in enumerate(groups.tolist()):
        members.setdefault(tuple(group), []).append(number)
    for numbers in members.values():
        at = np.array(numbers)
        kept[at[_most(spans[at, 0], spans[at, 1])]] = True
    return kept


def _most(first: Index, last: Index) -> Mask:
    """Return the largest choice of the spans of one group; ``[spans]``.

    A choice is a sequence of ends: after the end e, all spans that end at the next one and start after e can be kept.
    """
    ends = np.unique(last).tolist()
    totals: list[int] = []  # of the best choice whose last end is this one
    before: list[int] = []  # the number of the end before it, -1 for none
    leading = [-1]  # the number of the end with the largest total among the first ones
    for number, end in enumerate(ends):
        own = np.nonzero(last == end)[0]
        overlapping = bisect_left(ends, int(first[own].min()))
        options = [leading[overlapping], *range(overlapping, number)]
        sums = [
            (totals[option] if option >= 0 else 0) + int((first[own] > (ends[option] if option >= 0 else -1)).sum())
            for option in options
        ]
        best = max(range(len(options)), key=sums.__getitem__)
        totals.append(sums[best])
        before.append(options[best])
        top = leading[-1]
        leading.append(number if top < 0 or totals[number] > totals[top] else top)
    kept: Mask = np.zeros(len(first), dtype=np.bool_)
    number = leading[-1]
    while number >= 0:
        boundary = ends[before[number]] if before[number] >= 0 else -1
        kept |= (last == ends[number]) & (first > boundary)
        number = before[number]
    return kept
