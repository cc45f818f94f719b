"""Join scored starts and ends to spans: each start belongs to the nearest end that is not before it.

Source: the decoding of CasRel (kexue.fm/archives/7161), as a score of each span, so that a higher threshold never adds a span.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ie_cli.codecs.base import Floats, Index, Mask

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
    start: Floats, end: Floats, mask: Mask, thresholds: Floats, samples: Index, *, limit: int
) -> DecodedPairs:
    """Find the spans of each row whose score exceeds the threshold of the row.

    The score of the span i..j is ``min(start(i), end(j), min -end(k) for i ≤ k < j)``: both of its tokens are chosen, and no
    end between them is. At the threshold 0 these are exactly the spans of each start with the nearest end.

    Args:
        start: the scores s of starts ``[rows, L]``.
        end: the scores s of ends ``[rows, L]``.
        mask: true on text tokens ``[batch, L]``.
        thresholds: the minimum score s of each row ``[rows]``.
        samples: the sample of each row ``[rows]``.
        limit: the maximum number of starts of a sample that are joined, and of its spans, largest margin first.
    """
    length = start.shape[1]
    above, usable = thresholds[:, None], mask[samples]
    chosen = (start > above) & usable
    chosen &= ((end > above) & usable).any(axis=1, keepdims=True)
    row, first = np.nonzero(chosen)
    kept, truncated = best_of_samples(samples[row], start[row, first] - thresholds[row], limit)
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
    kept, more = best_of_samples(samples[found[:, 0]], values - thresholds[found[:, 0]], limit)
    return DecodedPairs(found[kept], values[kept], truncated | more)


def best_of_samples(samples: Index, merits: Floats, limit: int) -> tuple[Mask, frozenset[int]]:
    """Return which items to keep, at most `limit` of each sample with the highest merits, and the samples with more."""
    kept: Mask = np.ones(len(samples), dtype=np.bool_)
    crowded = np.nonzero(np.bincount(samples) > limit)[0].tolist()
    for sample in crowded:
        at = np.nonzero(samples == sample)[0]
        kept[at[np.argsort(-merits[at], kind="stable")[limit:]]] = False
    return kept, frozenset(crowded)


def joint_spans(groups: Index, spans: Index) -> Mask:
    """Return which spans are kept so that the starts and ends of those in each group decode to exactly these spans.

    A group can have spans that are disjoint, and spans with the same end: otherwise a start would be joined with the end of
    another span. Of spans that overlap otherwise, those that end first are kept.

    Args:
        groups: the group of each span; int64 ``[spans, any]``.
        spans: (first, last) of each span; int64 ``[spans, 2]``.
    """
    kept: Mask = np.zeros(len(spans), dtype=np.bool_)
    order = sorted(range(len(spans)), key=lambda item: (*groups[item].tolist(), int(spans[item, 1])))
    group: list[int] | None = None
    latest = before = -1  # the last end that is kept, and the one before it
    for item in order:
        first, last = spans[item].tolist()
        if groups[item].tolist() != group:
            group, latest, before = groups[item].tolist(), -1, -1
        boundary = before if last == latest else latest
        if first > boundary:
            kept[item] = True
            if last != latest:
                before, latest = latest, last
    return kept
