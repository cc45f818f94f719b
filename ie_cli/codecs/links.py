"""Found spans and the factors of two link tables -> scored triples, in numpy, shared by every backend.

Only pairs of found spans are scored: the tensor ``[predicates, L, L]`` is never built, and the cost depends on the number of
predicates by the few pairs alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ie_cli.codecs.base import Floats, Index
from ie_cli.codecs.factors import SharedFactors
from ie_cli.codecs.spans import DecodedSpans

MAX_ARGUMENTS = 128
"""Spans per window and side (one per token, if that is more) that are paired, best score first."""
MAX_PAIRS = 4096
"""Pairs per window whose predicates are looked at, and linked pairs whose types are."""
MAX_TRIPLES = 512
"""Triples per window that are returned, best score first."""
_LOWEST = np.float32(-1e30)


@dataclass(frozen=True, slots=True)
class LinkRules:
    """What may be joined by what.

    Attributes:
        subject_rows, object_rows: entity rows that may be a subject, an object; bool ``[rows]``.
        allowed: which (predicate, subject row, object row) go together; bool ``[predicates, rows, rows]``, None: all.
    """

    subject_rows: npt.NDArray[np.bool_]
    object_rows: npt.NDArray[np.bool_]
    allowed: npt.NDArray[np.bool_] | None = None


@dataclass(frozen=True, slots=True)
class DecodedLinks:
    """Triples above threshold.

    *Shapes:* cells int64 ``[items, 8]`` of (sample, predicate, subject's row, first, last, object's row, first, last); scores
    ``[items]``: the smallest of the four scores s.

    `truncated` holds the samples in which more was found than is kept.
    """

    cells: Index
    scores: Floats
    truncated: frozenset[int]


@dataclass(frozen=True, slots=True)
class _Side:
    """Spans that may be a subject (or an object): spans int64 ``[n, 2]``, and their scores by row ``[rows, n]``."""

    spans: Index
    scores: Floats
    capped: bool

    @classmethod
    def of(cls, cells: Index, scores: Floats, rows: npt.NDArray[np.bool_]) -> _Side:
        mine = rows[cells[:, 0]]
        cells, scores = cells[mine], scores[mine]
        spans, which = np.unique(cells[:, 1:], axis=0, return_inverse=True)
        table = np.full((len(rows), len(spans)), _LOWEST, dtype=np.float32)
        table[cells[:, 0], which.ravel()] = scores
        most = max(MAX_ARGUMENTS, int(cells[:, 2].max(initial=0)) + 1)
        capped = len(spans) > most
        if capped:
            best = np.sort(np.argsort(-table.max(axis=0), kind="stable")[:most])
            spans, table = spans[best], table[:, best]
        return cls(spans, table, capped)


@dataclass(frozen=True, slots=True)
class _Hits:
    """Linked pairs of one sample: predicate, number of subject and of object, smaller link score; ``[hits]`` each."""

    predicate: Index
    subject: Index
    object: Index
    score: Floats


def decode_links(
    found: DecodedSpans, start: SharedFactors, end: SharedFactors, rules: LinkRules, thresholds: Floats
) -> DecodedLinks:
    """Find every triple of two found spans that both link tables join above the threshold of its predicate.

    Args:
        found: the spans of a batch.
        start, end: factors of the links of the spans' first and last tokens, row by predicate.
        thresholds: least score s per predicate ``[predicates]``.
    """
    sides: dict[int, tuple[_Side, _Side]] = {}
    for sample in np.unique(found.cells[:, 0]).tolist():
        mine = found.cells[:, 0] == sample
        cells, scores = found.cells[mine, 1:], found.scores[mine]
        pair = tuple(_Side.of(cells, scores, rows) for rows in (rules.subject_rows, rules.object_rows))
        if len(pair[0].spans) and len(pair[1].spans):
            sides[sample] = (pair[0], pair[1])
    truncated = {sample for sample, pair in sides.items() if pair[0].capped or pair[1].capped}
    rows, scores_out = [np.zeros((0, 8), dtype=np.int64)], [np.zeros(0, dtype=np.float32)]
    for sample, (subjects, objects) in sides.items():
        hits, pairs_capped = _linked((start, end), sample, (subjects.spans, objects.spans), thresholds)
        cells, scores, capped = _triples(hits, subjects, objects, rules)
        rows.append(np.insert(cells, 0, sample, axis=1))
        scores_out.append(scores)
        if capped or pairs_capped:
            truncated.add(sample)
    return DecodedLinks(np.concatenate(rows), np.concatenate(scores_out), frozenset(truncated))


def _linked(
    factors: tuple[SharedFactors, SharedFactors], sample: int, spans: tuple[Index, Index], thresholds: Floats
) -> tuple[_Hits, bool]:
    """Prune pairs by the best that any predicate could reach in both tables, then score the predicates of what is left.

    Args:
        factors: of the starts and of the ends. spans: of the subjects and of the objects.
    """
    tables = []
    subjects, objects = spans
    for token, part in enumerate(factors):
        i, j = subjects[:, token], objects[:, token]
        left = part.start[sample][:, i] - thresholds[:, None]  # [predicates, subjects]
        right = part.end[sample][:, j]  # [predicates, objects]
        pair = part.pair[sample][np.ix_(i, j)]  # [subjects, objects]
        bound = pair + left.max(axis=0)[:, None] + right.max(axis=0)[None, :]
        tables.append((left, right, pair, bound))
    bound = np.minimum(tables[0][3], tables[1][3])
    subject, object_ = np.nonzero(bound > 0)
    capped = len(subject) > MAX_PAIRS
    if capped:
        best = np.argsort(-bound[subject, object_], kind="stable")[:MAX_PAIRS]
        subject, object_ = subject[best], object_[best]
    score = np.minimum(
        *(pair[subject, object_] + left[:, subject] + right[:, object_] for left, right, pair, _ in tables)
    )  # [predicates, pairs], less the threshold
    predicate, at = np.nonzero(score > 0)
    links = score[predicate, at] + thresholds[predicate]
    if len(links) > MAX_PAIRS:
        capped = True
        best = np.argsort(-links, kind="stable")[:MAX_PAIRS]
        predicate, at, links = predicate[best], at[best], links[best]
    return _Hits(predicate, subject[at], object_[at], links), capped


def _triples(hits: _Hits, subjects: _Side, objects: _Side, rules: LinkRules) -> tuple[Index, Floats, bool]:
    """Cells ``[items, 7]`` without the sample, their scores, and whether some were left out."""
    predicate, subject, object_, link = hits.predicate, hits.subject, hits.object, hits.score
    subject_row, object_row, entity = _typed(hits, subjects, objects, rules)
    score = np.minimum(link, entity).astype(np.float32)
    kept = np.nonzero(entity > _LOWEST)[0]
    capped = len(kept) > MAX_TRIPLES
    if capped:
        kept = kept[np.argsort(-score[kept], kind="stable")[:MAX_TRIPLES]]
    columns = (predicate, subject_row, *subjects.spans[subject].T, object_row, *objects.spans[object_].T)
    return np.stack(columns, axis=1)[kept], score[kept], capped


def _typed(hits: _Hits, subjects: _Side, objects: _Side, rules: LinkRules) -> tuple[Index, Index, Floats]:
    """Rows of subject and object and the smaller of their scores, lowest where the predicate allows none; ``[hits]`` each.

    Of the rows that are allowed those with the best smaller score are chosen; where that is the same, the best sum.
    """
    predicate = hits.predicate
    left, right = subjects.scores[:, hits.subject].T, objects.scores[:, hits.object].T  # [hits, rows]
    if rules.allowed is None:
        subject_row, object_row = left.argmax(axis=1), right.argmax(axis=1)
        every = np.arange(len(left))
        return subject_row, object_row, np.minimum(left[every, subject_row], right[every, object_row])
    subject_row, object_row = np.zeros_like(predicate), np.zeros_like(predicate)
    score = np.full(len(predicate), _LOWEST, dtype=np.float32)
    for name in np.unique(predicate).tolist():  # a predicate allows few pairs of types
        a, b = np.nonzero(rules.allowed[name])
        if not len(a):
            continue
        mine = np.nonzero(predicate == name)[0]
        smaller = np.minimum(left[np.ix_(mine, a)], right[np.ix_(mine, b)])
        larger = np.maximum(left[np.ix_(mine, a)], right[np.ix_(mine, b)])
        best = (smaller.astype(np.float64) + 1e-6 * larger).argmax(axis=1)
        subject_row[mine], object_row[mine] = a[best], b[best]
        score[mine] = smaller[np.arange(len(mine)), best]
    return subject_row, object_row, score
