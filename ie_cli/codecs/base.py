"""The codec protocol: one numpy object that encodes gold annotation to targets and decodes model outputs to annotation.

A batch is decoded in three steps: `Decoder.decode` finds candidates in the outputs of its windows; `inference.pipeline`
shifts their tokens to positions in the text and collects them; `Decoder.annotate` keeps the candidates that were found in the
window that owns them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from inspect import signature
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from ie_cli.data.label_schema import LabelSchema
from ie_cli.document import Document, Entity, Relation
from ie_cli.encoding.tokenizer import Tokens
from ie_cli.encoding.windows import WindowPlan
from ie_cli.encoding.word_boundaries import BoundaryMasks
from ie_cli.recipe.heads import HEADS, HeadSection, Reads
from ie_cli.triples import Mentions

Floats = npt.NDArray[np.float32]
Index = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Columns = Mapping[str, Index]
TokenSpans = Mapping[str, Sequence[tuple[int, int]]]
"""By stored column, which of its integers are the first and the last token of a span; the others are no tokens."""


@dataclass(slots=True)
class Targets:
    """The encoded gold of one text, the number of gold items, and those that no prediction can express.

    Attributes:
        columns: int64 ``[items, width]`` each, named as in `Codec.columns`; tokens are counted from the beginning of the text.
        counts: gold items by kind, e.g. ``entities``.
        unreachable: by kind, the items that no prediction can express, with the reason.
    """

    columns: dict[str, Index]
    counts: dict[str, int]
    unreachable: dict[str, list[tuple[Any, str]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Candidates:
    """Scored items: entries int64 ``[items, 1 + columns]``, the first column being the sample; scores s float32 ``[items]``.

    Once they are collected for a text, the sample column is gone and the last column is the number of the window.
    """

    entries: Index
    scores: Floats


@dataclass(frozen=True, slots=True)
class Decoded:
    """The candidates found in a batch, by part; `truncated` lists the samples that exceeded the candidate limit."""

    parts: Mapping[str, Candidates]
    truncated: frozenset[int]


@dataclass(slots=True)
class Annotation:
    """The predicted annotation of a document.

    Attributes:
        related: whether relations were predicted, even if there are none.
        label, score: the class and the similarity of a pair; None if there is no pair, or no class was decided.
        margins: how far from their thresholds the items in doubt are, in logits, if the decoder measures it.
    """

    entities: list[Entity] = field(default_factory=list)
    relations: list[Relation] = field(default_factory=list)
    related: bool = False
    label: str | None = None
    score: float | None = None
    margins: list[float] = field(default_factory=list)

    def add(self, other: Annotation) -> None:
        """Add what another task found in the same document; an item found by both keeps its higher score."""
        self.entities = _merged(self.entities, other.entities)
        self.relations = _merged(self.relations, other.relations)
        self.related |= other.related
        self.margins.extend(other.margins)
        if other.score is not None:
            self.label, self.score = other.label, other.score

    def append(self, other: Annotation) -> None:
        """Add what was found in a later part of the same text."""
        self.entities.extend(other.entities)
        self.relations.extend(other.relations)
        self.related |= other.related
        self.margins.extend(other.margins)


Scored = TypeVar("Scored", Entity, Relation)


def _merged(some: list[Scored], others: list[Scored]) -> list[Scored]:
    if not some or not others:
        return some or others
    best = {item: item for item in some}
    for item in others:
        if item not in best or (item.score or 0.0) > (best[item].score or 0.0):
            best[item] = item
    return sorted(best.values())


class Outputs(Protocol):
    """The outputs of one head of a model for a batch."""

    def matrix(self, name: str) -> Iterable[Mapping[str, npt.NDArray[Any]]]:
        """Return a score matrix as blocks of named arrays; a large matrix comes in several blocks of labels."""

    def query(self, name: str, arguments: Mapping[str, npt.NDArray[Any]]) -> Mapping[str, npt.NDArray[Any]]:
        """Run the head a second time over the hidden states, with arguments found in decoding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoding:
    """The options that turn scores into items.

    Attributes:
        threshold: minimum probability of an item.
        thresholds: minimum probability by label or predicate, if it differs from `threshold`.
        temperature: T of the probability σ(s/T).
        flat: remove overlaps.
        decision: the scores between the ordered classes of pairs, ascending: a pair with a higher score has the higher class.
    """

    threshold: float = 0.5
    thresholds: Mapping[str, float] = field(default_factory=dict)
    temperature: float = 1.0
    flat: bool = False
    decision: tuple[float, ...] = ()

    def minimum_scores(self, names: Sequence[str]) -> Floats:
        """Return the minimum score s of each name; float32 ``[names]``."""
        return score_threshold((self.thresholds.get(name, self.threshold) for name in names), self.temperature)

    def probability(self, scores: Floats) -> npt.NDArray[np.float64]:
        """Return ``σ(s/T)``."""
        return probability(scores, self.temperature)

    def owned(
        self, found: Candidates, tokens: Tokens, plan: WindowPlan, columns: Sequence[int]
    ) -> tuple[Index, npt.NDArray[np.float64]]:
        """Return the entries found in the window that owns them, without its number, and their probabilities.

        Args:
            found: the candidates of a text.
            tokens: the tokens of the text.
            plan: the split into windows.
            columns: the columns of the entries that are tokens.
        """
        places = found.entries[:, columns]
        owned = plan.owners(len(tokens), places.min(axis=1), places.max(axis=1)) == found.entries[:, -1]
        return found.entries[owned, :-1], self.probability(found.scores[owned])


class Decoder(Protocol):
    """Finds items in model outputs, with the thresholds that it was built with."""

    @property
    def tokens(self) -> Mapping[str, tuple[int, ...]]:
        """The parts that `decode` returns, and which columns of each (not counting the sample) are tokens."""

    def decode(self, outputs: Outputs, mask: Mask, boundaries: BoundaryMasks | None = None) -> Decoded:
        """Find the candidates of a batch.

        Args:
            outputs: the outputs of the head.
            mask: bool ``[batch, L]``, true on text tokens.
            boundaries: the text tokens that a span may start and end with; None: all of them. It is omitted for a decoder
                without this parameter, and candidates with other boundaries are then removed by `alignment.to_entities`.
        """

    def annotate(self, found: Mapping[str, Candidates], tokens: Tokens, plan: WindowPlan, text: str) -> Annotation:
        """Select the items of a text from the candidates of all its windows; a part without candidates is missing."""


class Codec(Protocol):
    """Encodes and decodes for the heads that refer to it in the table of heads.

    A codec whose stored tokens are the ends of spans also has `token_spans` (`TokenSpans`), without which `data.context` cannot
    join texts.
    """

    @property
    def schema(self) -> LabelSchema:
        """The labels and predicates of the model."""

    @property
    def reads(self) -> Reads:
        """What a sequence of the encoder holds."""

    @property
    def identity(self) -> Sequence[Any]:
        """JSON values that identify the stored form together with the schema; they change whenever `encode` changes."""

    @property
    def columns(self) -> Mapping[str, int]:
        """The names of the columns stored for a window in addition to its tokens, and the number of integers per item."""

    @property
    def matrices(self) -> Mapping[str, Sequence[str]]:
        """The score matrices that a head outputs, with the names of their labels or predicates."""

    def encode(
        self,
        document: Document,
        tokens: Tokens,
        plan: WindowPlan,
        *,
        mentions: Mentions = "nearest",
        flat: bool = False,
    ) -> Targets:
        """Encode the gold of one document.

        Args:
            document: the document.
            tokens: the tokens of its text.
            plan: the split into windows.
            mentions: if the data have no offsets, which of the occurrences at token boundaries to use.
            flat: whether to encode only what output without overlapping entities can contain; the other items are
                unreachable. Training never sets it, because the scores of a model do not depend on it.
        """

    def window(self, targets: Targets, first: int, capacity: int, shift: int) -> dict[str, Index]:
        """Return the gold that lies entirely in the window starting at token `first`, counted from `shift` tokens before it."""

    def entries(self, columns: Columns) -> dict[str, Index]:
        """Return the gold entries of a batch by score matrix, for the head's `collate`.

        Args:
            columns: the stored gold of all samples, each item preceded by the number of its sample.
        """

    def decoder(self, decoding: Decoding) -> Decoder:
        """Return a decoder with these options."""

    def scores(self, outputs: Outputs, sample: int, tokens: Index) -> Iterable[Floats]:
        """Return all scores s of a sample on these text tokens, label by label ``[…]``; used to compare two models."""


def build_codec(section: HeadSection, schema: LabelSchema) -> Codec:
    """Build the codec of the head that a recipe names."""
    codec: Codec = HEADS[section.name].codec()(schema, section)
    return codec


def decode(decoder: Decoder, outputs: Outputs, mask: Mask, boundaries: BoundaryMasks | None) -> Decoded:
    """Find the candidates of a batch within boundaries, as far as the decoder knows these."""
    if boundaries is None or "boundaries" not in signature(decoder.decode).parameters:
        return decoder.decode(outputs, mask)
    return decoder.decode(outputs, mask, boundaries)


def find_reachable(
    codec: Codec, document: Document, tokens: Tokens, plan: WindowPlan, *, flat: bool = False
) -> Targets:
    """Encode a document to count its unreachable items: a triple without offsets is reachable if any occurrence is.

    All occurrences may also exclude each other, so a triple is unreachable only if it is in both encodings. Flat output can
    contain one occurrence of each triple, and a choice from all of them is the largest.

    Args:
        codec: the codec.
        document: the document.
        tokens: the tokens of its text.
        plan: the split into windows.
        flat: whether overlapping entities are removed from the output.
    """
    encode: Callable[..., Targets] = codec.encode
    if flat and "flat" in signature(codec.encode).parameters:  # codecs written for earlier versions lack the option
        encode = partial(encode, flat=True)
    found = encode(document, tokens, plan)
    if document.spos is not None and found.unreachable.get("relations"):
        every = encode(document, tokens, plan, mentions="all")
        if flat:
            found.unreachable["relations"] = every.unreachable["relations"]
            return found
        lost = {triple for triple, _ in every.unreachable["relations"]}
        found.unreachable["relations"] = [item for item in found.unreachable["relations"] if item[0] in lost]
    return found


def probability(scores: Floats, temperature: float) -> npt.NDArray[np.float64]:
    """Return ``σ(s/T)`` in float64, without overflow."""
    scaled = scores.astype(np.float64) / temperature
    return np.exp(-np.logaddexp(0.0, -scaled))


def score_threshold(probabilities: Iterable[float], temperature: float) -> Floats:
    """Convert probability thresholds to scores s: ``T·log(p/(1-p))``; 0.5 becomes exactly 0."""
    # A threshold of 0 accepts everything, 1 nothing.
    p: npt.NDArray[np.float64] = np.array(list(probabilities), dtype=np.float64).clip(1e-12, 1 - 1e-12)
    scores: Floats = (temperature * (np.log(p) - np.log1p(-p))).astype(np.float32)
    return scores
