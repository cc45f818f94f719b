"""Decode spans and the scores of two link matrices to scored triples, in numpy, shared by every backend.

Only pairs of decoded spans are scored: the tensor ``[predicates, L, L]`` is never built, so the number of predicates only
affects the cost of these few pairs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ie_cli.codecs.base import Floats, Index
from ie_cli.codecs.factors import SharedFactors
from ie_cli.codecs.spans import DecodedSpans

MAX_ARGUMENTS = 128
"""The maximum number of spans per window and side that are paired (one per token if that is more), best score first."""
MAX_PAIRS = 4096
"""The maximum number of pairs per window whose predicates are scored, and of linked pairs whose types are checked."""
MAX_TRIPLES = 512
"""The maximum number of triples returned per window, best score first."""
_LOWEST = np.float32(-1e30)


@dataclass(frozen=True, slots=True)
class LinkRules:
    """The entity labels that a predicate may link.

    Attributes:
        subject_labels, object_labels: which labels a subject and an object may have; bool ``[labels]``.
        allowed: which (predicate, subject label, object label) are allowed; bool ``[predicates, labels, labels]``, None: all.
        pairs: the link indices of the pairs of types that a predicate joins, by predicate; one of them is chosen.
    """

    subject_labels: npt.NDArray[np.bool_]
    object_labels: npt.NDArray[np.bool_]
    allowed: npt.NDArray[np.bool_] | None = None
    pairs: Mapping[int, Index] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DecodedLinks:
    """Triples above the threshold.

    *Shapes:* entries int64 ``[items, 8]`` of (sample, link index, subject label, first, last, object label, first, last); scores
    ``[items]``: the smallest of the four scores s. The link index is the predicate or, if it joins several pairs of types, the
    pair.

    `truncated` lists the samples that exceeded a candidate limit.
    """

    entries: Index
    scores: Floats
    truncated: frozenset[int]


@dataclass(frozen=True, slots=True)
class _Side:
    """Spans that may be a subject (or an object): spans int64 ``[n, 2]``, and their scores by label ``[labels, n]``."""

    spans: Index
    scores: Floats
    capped: bool

    @classmethod
    def of(cls, entries: Index, scores: Floats, allowed: npt.NDArray[np.bool_]) -> _Side:
        kept = allowed[entries[:, 0]]
        entries, scores = entries[kept], scores[kept]
        spans, which = np.unique(entries[:, 1:], axis=0, return_inverse=True)
        by_label = np.full((len(allowed), len(spans)), _LOWEST, dtype=np.float32)
        by_label[entries[:, 0], which.ravel()] = scores
        limit = max(MAX_ARGUMENTS, int(entries[:, 2].max(initial=0)) + 1)
        capped = len(spans) > limit
        if capped:
            best = np.sort(np.argsort(-by_label.max(axis=0), kind="stable")[:limit])
            spans, by_label = spans[best], by_label[:, best]
        return cls(spans, by_label, capped)


@dataclass(frozen=True, slots=True)
class LinkedPairs:
    """Linked pairs of one sample: predicate, subject's and object's position in `_Side`, lower link score; ``[pairs]`` each."""

    predicate: Index
    subject: Index
    object: Index
    score: Floats

    @classmethod
    def none(cls) -> LinkedPairs:
        """Return no pairs."""
        nothing = np.zeros(0, dtype=np.int64)
        return cls(nothing, nothing, nothing, np.zeros(0, dtype=np.float32))

    def and_also(self, more: LinkedPairs) -> LinkedPairs:
        """Return these pairs and more."""
        return LinkedPairs(
            np.concatenate([self.predicate, more.predicate]),
            np.concatenate([self.subject, more.subject]),
            np.concatenate([self.object, more.object]),
            np.concatenate([self.score, more.score]),
        )

    def best(self, limit: int) -> tuple[LinkedPairs, bool]:
        """Return at most `limit` pairs, best score first if there are more, and whether there are more."""
        if len(self.score) <= limit:
            return self, False
        best = np.argsort(-self.score, kind="stable")[:limit]
        return LinkedPairs(self.predicate[best], self.subject[best], self.object[best], self.score[best]), True


class LinkScorer(Protocol):
    """Scores links from the outputs of a head; `spans` int64 ``[n, 2]`` are those of subjects, and those of objects."""

    def link(self, sample: int, spans: tuple[Index, Index], thresholds: Floats) -> tuple[LinkedPairs, bool]:
        """Return the pairs of spans that a predicate links in both matrices, and whether a candidate limit was exceeded.

        Args:
            sample: the number of the sample in the batch.
            spans: of the subjects and of the objects.
            thresholds: the minimum score s per predicate ``[predicates]``.
        """

    def scores(self, sample: int, links: Index, spans: tuple[Index, Index]) -> Floats:
        """Return the lower score in the two matrices of these link indices ``[links]`` for pairs of spans; ``[links, n]``."""


@dataclass(frozen=True, slots=True)
class FactorLinks:
    """The links of two matrices with shared factors: between the first tokens of spans, and between their last tokens."""

    start: SharedFactors
    end: SharedFactors

    def link(self, sample: int, spans: tuple[Index, Index], thresholds: Floats) -> tuple[LinkedPairs, bool]:
        """Prune pairs by an upper bound over all predicates in both matrices, then score the predicates of the rest."""
        matrices = []
        subjects, objects = spans
        for token, part in enumerate((self.start, self.end)):
            i, j = subjects[:, token], objects[:, token]
            left = part.start[sample][: len(thresholds), i] - thresholds[:, None]  # [predicates, subjects]
            right = part.end[sample][: len(thresholds), j]  # [predicates, objects]
            pair = part.pair[sample][np.ix_(i, j)]  # [subjects, objects]
            bound = pair + left.max(axis=0)[:, None] + right.max(axis=0)[None, :]
            matrices.append((left, right, pair, bound))
        bound = np.minimum(matrices[0][3], matrices[1][3])
        subject, object_ = np.nonzero(bound > 0)
        capped = len(subject) > MAX_PAIRS
        if capped:
            best = np.argsort(-bound[subject, object_], kind="stable")[:MAX_PAIRS]
            subject, object_ = subject[best], object_[best]
        score = np.minimum(
            *(pair[subject, object_] + left[:, subject] + right[:, object_] for left, right, pair, _ in matrices)
        )  # [predicates, pairs], minus the threshold
        predicate, at = np.nonzero(score > 0)
        links = score[predicate, at] + thresholds[predicate]
        found, many = LinkedPairs(predicate, subject[at], object_[at], links).best(MAX_PAIRS)
        return found, capped or many

    def scores(self, sample: int, links: Index, spans: tuple[Index, Index]) -> Floats:
        """Return the lower score in the two matrices; ``[links, n]``."""
        subjects, objects = spans
        scores = []
        for token, part in enumerate((self.start, self.end)):
            i, j = subjects[:, token], objects[:, token]
            scores.append(part.pair[sample][i, j] + part.start[sample][links][:, i] + part.end[sample][links][:, j])
        lower: Floats = np.minimum(*scores)
        return lower


def decode_links(
    found: DecodedSpans, start: SharedFactors, end: SharedFactors, rules: LinkRules, thresholds: Floats
) -> DecodedLinks:
    """Find every triple of two decoded spans whose score in both link matrices exceeds the threshold of its predicate.

    Args:
        found: the spans of a batch.
        start: the factors of the links between the first tokens of the spans: of the predicates, then of pairs of types.
        end: the factors of the links between their last tokens.
        rules: the labels that each predicate may link.
        thresholds: the minimum score s per predicate ``[predicates]``.
    """
    return decode_pairs(found, FactorLinks(start, end), rules, thresholds)


def decode_pairs(found: DecodedSpans, scorer: LinkScorer, rules: LinkRules, thresholds: Floats) -> DecodedLinks:
    """Find every triple of two decoded spans whose links a scorer finds.

    Args:
        found: the spans of a batch.
        scorer: scores the links: of the predicates, then of pairs of types.
        rules: the labels that each predicate may link.
        thresholds: the minimum score s per predicate ``[predicates]``.
    """
    sides: dict[int, tuple[_Side, _Side]] = {}
    for sample in np.unique(found.entries[:, 0]).tolist():
        selected = found.entries[:, 0] == sample
        entries, scores = found.entries[selected, 1:], found.scores[selected]
        pair = tuple(_Side.of(entries, scores, allowed) for allowed in (rules.subject_labels, rules.object_labels))
        if len(pair[0].spans) and len(pair[1].spans):
            sides[sample] = (pair[0], pair[1])
    truncated = {sample for sample, pair in sides.items() if pair[0].capped or pair[1].capped}
    all_entries, all_scores = [np.zeros((0, 8), dtype=np.int64)], [np.zeros(0, dtype=np.float32)]
    for sample, (subjects, objects) in sides.items():
        linked, pairs_capped = scorer.link(sample, (subjects.spans, objects.spans), thresholds)
        entries, scores, capped = _triples(linked, subjects, objects, rules)
        _choose_pairs(entries, scorer, sample, rules)
        all_entries.append(np.insert(entries, 0, sample, axis=1))
        all_scores.append(scores)
        if capped or pairs_capped:
            truncated.add(sample)
    return DecodedLinks(np.concatenate(all_entries), np.concatenate(all_scores), frozenset(truncated))


def _triples(linked: LinkedPairs, subjects: _Side, objects: _Side, rules: LinkRules) -> tuple[Index, Floats, bool]:
    """Return the entries ``[items, 7]`` without the sample, their scores, and whether the limit was exceeded."""
    predicate, subject, object_, link = linked.predicate, linked.subject, linked.object, linked.score
    subject_label, object_label, entity = _choose_labels(linked, subjects, objects, rules)
    score = np.minimum(link, entity).astype(np.float32)
    kept = np.nonzero(entity > _LOWEST)[0]
    capped = len(kept) > MAX_TRIPLES
    if capped:
        kept = kept[np.argsort(-score[kept], kind="stable")[:MAX_TRIPLES]]
    columns = (predicate, subject_label, *subjects.spans[subject].T, object_label, *objects.spans[object_].T)
    return np.stack(columns, axis=1)[kept], score[kept], capped


def _choose_labels(
    linked: LinkedPairs, subjects: _Side, objects: _Side, rules: LinkRules
) -> tuple[Index, Index, Floats]:
    """Return the labels of subject and object and the lower of their scores; ``[pairs]`` each.

    Of the allowed labels, those with the highest lower score are chosen; ties go to the highest sum. If the predicate allows
    no labels, the score is the lowest possible.
    """
    predicate = linked.predicate
    left, right = subjects.scores[:, linked.subject].T, objects.scores[:, linked.object].T  # [pairs, labels]
    if rules.allowed is None:
        subject_label, object_label = left.argmax(axis=1), right.argmax(axis=1)
        every = np.arange(len(left))
        return subject_label, object_label, np.minimum(left[every, subject_label], right[every, object_label])
    subject_label, object_label = np.zeros_like(predicate), np.zeros_like(predicate)
    score = np.full(len(predicate), _LOWEST, dtype=np.float32)
    for name in np.unique(predicate).tolist():  # a predicate allows few pairs of types
        a, b = np.nonzero(rules.allowed[name])
        if not len(a):
            continue
        at = np.nonzero(predicate == name)[0]
        smaller = np.minimum(left[np.ix_(at, a)], right[np.ix_(at, b)])
        larger = np.maximum(left[np.ix_(at, a)], right[np.ix_(at, b)])
        best = (smaller.astype(np.float64) + 1e-6 * larger).argmax(axis=1)
        subject_label[at], object_label[at] = a[best], b[best]
        score[at] = smaller[np.arange(len(at)), best]
    return subject_label, object_label, score


def _choose_pairs(entries: Index, scorer: LinkScorer, sample: int, rules: LinkRules) -> None:
    """Replace predicates that join several pairs of types by the pair with the highest score, which is the lower of two."""
    for predicate, pairs in rules.pairs.items():
        at = np.nonzero(entries[:, 0] == predicate)[0]
        scores = scorer.scores(sample, pairs, (entries[at, 2:4], entries[at, 5:7]))
        entries[at, 0] = pairs[scores.argmax(axis=0)]
