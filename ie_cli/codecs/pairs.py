"""Encode labelled pairs of texts as levels, and decode vectors or logits to similarities and classes.

The level of a pair is the index of its class, from the least to the most similar, or its grade.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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
    probability,
)
from ie_cli.data.label_schema import LabelSchema
from ie_cli.document import Document
from ie_cli.encoding.tokenizer import Tokens
from ie_cli.encoding.windows import WindowPlan
from ie_cli.recipe.heads import MatchSection, Reads
from ie_cli.triples import Mentions

MATRIX = "pairs"
LEVEL, SPLIT = "level", "split"
"""The stored columns of a pair, one integer each: the bits of its level as a float32; the length of the first sequence."""


class PairCodec:
    """The codec of pairs of texts.

    *Stored:* ``level``; if each text has a sequence of its own, also ``split``, which only the stored form has.
    """

    identity: Sequence[Any] = ("pairs", 1)

    def __init__(self, schema: LabelSchema, section: MatchSection) -> None:
        self.schema = schema
        self.reads: Reads = section.reads
        self._by_cosine = section.by_cosine
        self.columns: Mapping[str, int] = {LEVEL: 1, SPLIT: 1} if self.reads == "texts" else {LEVEL: 1}
        self.matrices: Mapping[str, Sequence[str]] = {MATRIX: schema.labels if section.classifies else ()}

    def level(self, document: Document) -> float | None:
        """Return the level of a document; None if it is no pair, or has neither a known class nor a grade to learn."""
        if document.text_pair is None:
            return None
        if self.schema.grades is not None:
            return document.score
        return self.schema.ids.get(document.label) if document.label is not None else None

    def encode(
        self, document: Document, tokens: Tokens, plan: WindowPlan, *, mentions: Mentions = "nearest"
    ) -> Targets:
        """Encode the level of a document, if it has one."""
        levels = [level] if (level := self.level(document)) is not None else []
        bits = np.array(levels, dtype=np.float32).view(np.int32).astype(np.int64)
        return Targets({LEVEL: bits[:, None]}, {MATRIX: len(levels)}, {MATRIX: []})

    def window(self, targets: Targets, first: int, capacity: int, shift: int) -> dict[str, Index]:
        """Return the level, which belongs to the whole pair."""
        return dict(targets.columns)

    def entries(self, columns: Columns) -> dict[str, Index]:
        """Return (sample, level, share) of each pair, the last two as the bits of a float32.

        The share is the level's place in the range of all levels, from 0 to 1.
        """
        sample, bits = columns[LEVEL].T
        levels = levels_of(bits)
        low, high = self.schema.grades or (0, max(1, len(self.schema.labels) - 1))
        share = ((levels.astype(np.float64) - low) / (high - low)).astype(np.float32)
        return {MATRIX: np.stack([sample, bits, share.view(np.int32).astype(np.int64)], axis=1)}

    def decoder(self, decoding: Decoding) -> PairDecoder:
        """Return a decoder of similarities."""
        return PairDecoder(self.schema, decoding, by_cosine=self._by_cosine)

    def scores(self, outputs: Outputs, sample: int, tokens: Index) -> Iterator[Floats]:
        """Return the numbers that a head outputs for a row."""
        for block in outputs.matrix(MATRIX):
            yield from (values[sample] for values in block.values())


class PairDecoder:
    """Turns what a head outputs for pairs into similarities and classes; windows have nothing to decode.

    Pairs are decoded by `cosines` or `similarities`, and `annotation`.

    Attributes:
        by_cosine: whether the similarity of two vectors is their cosine; otherwise the head has logits for them.
    """

    tokens: Mapping[str, tuple[int, ...]] = {}

    def __init__(self, schema: LabelSchema, decoding: Decoding, *, by_cosine: bool) -> None:
        self.by_cosine = by_cosine
        self.schema, self.decision = schema, np.asarray(decoding.decision, dtype=np.float64)

    def decode(self, outputs: Outputs, mask: Mask) -> Decoded:
        """Return no candidates."""
        return Decoded({}, frozenset())

    def annotate(self, found: Mapping[str, Candidates], tokens: Tokens, plan: WindowPlan, text: str) -> Annotation:
        """Return nothing: a text alone is no pair."""
        return Annotation()

    def cosines(self, first: Floats, second: Floats) -> npt.NDArray[np.float64]:
        """Return the cosine of each two vectors ``[pairs, d]``; 0 if one of them is 0."""
        one, other = first.astype(np.float64), second.astype(np.float64)
        norms = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
        cosines: npt.NDArray[np.float64] = (one * other).sum(axis=1) / np.maximum(norms, np.finfo(np.float64).tiny)
        return cosines

    def similarities(self, logits: Floats) -> npt.NDArray[np.float64]:
        """Return the similarity of pairs with these logits ``[pairs, K]``.

        For one logit, it is σ, scaled to the range of the grades if there is one. For K classes, it is the expected class,
        divided by K - 1: for two classes, the probability of the more similar one.
        """
        if logits.shape[1] == 1:
            low, high = self.schema.grades or (0.0, 1.0)
            return low + (high - low) * probability(logits[:, 0], 1.0)
        values = logits.astype(np.float64)
        weights = np.exp(values - values.max(axis=1, keepdims=True))
        shares = np.linspace(0.0, 1.0, values.shape[1])
        similarities: npt.NDArray[np.float64] = weights @ shares / weights.sum(axis=1)
        return similarities

    def annotation(self, score: float) -> Annotation:
        """Return a pair's similarity and, if a decision between the classes is known, its class."""
        known = len(self.decision) and len(self.decision) == len(self.schema.labels) - 1
        label = self.schema.labels[int(np.searchsorted(self.decision, score))] if known else None
        return Annotation(label=label, score=float(score))


def levels_of(bits: npt.NDArray[Any]) -> Floats:
    """Return the levels whose bits are stored."""
    return bits.astype(np.int32).view(np.float32)
