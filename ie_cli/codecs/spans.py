"""Factors -> scored spans, in numpy, shared by every backend. The tensor ``[labels, L, L]`` is never built."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Index = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

MAX_CANDIDATES = 4096
"""Cells per window (8 per token, if that is more) whose labels are looked at: an untrained model fires everywhere and must
not hang."""
MAX_SPANS = 512
"""Spans per window (one per token, if that is more) that are returned, best margin over the threshold first."""


@dataclass(frozen=True, slots=True)
class SharedFactors:
    """Of a head with one span scorer and two biases per label: ``s_r(i,j) = pair(i,j) + start_r(i) + end_r(j)``.

    *Shapes:* pair ``[batch, L, L]``, start and end ``[batch, labels, L]``; float32.
    """

    pair: Floats
    start: Floats
    end: Floats


@dataclass(frozen=True, slots=True)
class LabelFactors:
    """Of a head with one span scorer per label, for some labels from `first` on: ``s_r(i,j) = query_r(i)·key_r(j)``.

    *Shapes:* query and key ``[batch, labels, L, head_size]``; float32, rotated and scaled.
    """

    first: int
    query: Floats
    key: Floats


Factors = SharedFactors | LabelFactors


@dataclass(frozen=True, slots=True)
class DecodedSpans:
    """Spans above threshold: ``cells`` int64 ``[items, 4]`` of (sample, row, first, last), ``scores`` s ``[items]``.

    `crowded` holds the samples in which more was found than is kept.
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


def probability(scores: Floats, temperature: float) -> npt.NDArray[np.float64]:
    """``σ(s/T)`` in float64, without overflow."""
    scaled = scores.astype(np.float64) / temperature
    return np.exp(-np.logaddexp(0.0, -scaled))


def score_threshold(probabilities: Iterable[float], temperature: float) -> Floats:
    """The scores s that belong to thresholds given as probabilities: ``T·log(p/(1-p))``; 0.5 is exactly 0."""
    # 0 lets everything through, 1 nothing.
    p: npt.NDArray[np.float64] = np.array(list(probabilities), dtype=np.float64).clip(1e-12, 1 - 1e-12)
    scores: Floats = (temperature * (np.log(p) - np.log1p(-p))).astype(np.float32)
    return scores
