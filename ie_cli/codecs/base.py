"""What a codec is: gold annotation to targets, and what a model puts out back to annotation, in one object of numpy.

The way of a batch back: `Decoder.decode` finds candidates in the outputs of some windows; `inference.pipeline` counts their
tokens from the beginning of the text and collects them; `Decoder.annotate` keeps those that their own window judges.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from ie_cli.data.label_schema import LabelSchema
from ie_cli.document import Document, Entity, Relation
from ie_cli.encoding.tokenizer import Tokens
from ie_cli.encoding.windows import WindowPlan
from ie_cli.recipe.heads import HEADS, HeadSection
from ie_cli.triples import Mentions

Floats = npt.NDArray[np.float32]
Index = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Columns = Mapping[str, Index]


@dataclass(slots=True)
class Targets:
    """The gold of one text as a codec has it, how many gold items there are, and which of them no prediction could return.

    Attributes:
        columns: int64 ``[rows, width]`` each, as `Codec.columns` names them; tokens of the whole text.
        counts: gold items by kind, e.g. ``entities``.
        lost: by kind, the items out of reach with the reason.
    """

    columns: dict[str, Index]
    counts: dict[str, int]
    lost: dict[str, list[tuple[Any, str]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Candidates:
    """Scored items of some windows: cells int64 ``[items, 1 + columns]``, the sample first; scores s float32 ``[items]``.

    Once collected for a text, the number of the window is the last column, and the sample is gone.
    """

    cells: Index
    scores: Floats


@dataclass(frozen=True, slots=True)
class Decoded:
    """What was found in a batch, by part; `truncated` holds the samples in which more was found than is kept."""

    parts: Mapping[str, Candidates]
    truncated: frozenset[int]


@dataclass(slots=True)
class Annotation:
    """What is found in a document."""

    entities: list[Entity] = field(default_factory=list)
    relations: list[Relation] = field(default_factory=list)

    def add(self, other: Annotation) -> None:
        """Take what another task found in the same document; of items that both have, the better score counts."""
        self.entities = _merged(self.entities, other.entities)
        self.relations = _merged(self.relations, other.relations)


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
    """What a model puts out for a batch, for one head."""

    def table(self, name: str) -> Iterable[Mapping[str, npt.NDArray[Any]]]:
        """A table of the head as blocks of named arrays; large ones come in several, row by row."""

    def query(self, name: str, arguments: Mapping[str, npt.NDArray[Any]]) -> Mapping[str, npt.NDArray[Any]]:
        """What the head computes of the hidden states once more, with arguments that decoding has found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoding:
    """How scores become items.

    Attributes:
        threshold: least probability of an item; `thresholds` by label or predicate, where it differs.
        temperature: T of the probability σ(s/T).
        flat: no overlaps.
    """

    threshold: float = 0.5
    thresholds: Mapping[str, float] = field(default_factory=dict)
    temperature: float = 1.0
    flat: bool = False

    def least(self, names: Sequence[str]) -> Floats:
        """The least score s of each name; float32 ``[names]``."""
        return score_threshold((self.thresholds.get(name, self.threshold) for name in names), self.temperature)

    def probability(self, scores: Floats) -> npt.NDArray[np.float64]:
        """``σ(s/T)``."""
        return probability(scores, self.temperature)


class Decoder(Protocol):
    """Finds items, by the thresholds that it was made with."""

    @property
    def tokens(self) -> Mapping[str, tuple[int, ...]]:
        """The parts that `decode` gives, and which columns of each (without the sample) are tokens."""

    def decode(self, outputs: Outputs, mask: Mask) -> Decoded:
        """Find the items of a batch; `mask` ``[batch, L]`` is true on text tokens."""

    def annotate(self, found: Mapping[str, Candidates], tokens: Tokens, plan: WindowPlan, text: str) -> Annotation:
        """The items of a text among the candidates of all its windows; a part of which there are none is missing."""


class Codec(Protocol):
    """Encodes and decodes for the heads that name it in the table of heads."""

    @property
    def schema(self) -> LabelSchema:
        """What the model knows."""

    @property
    def identity(self) -> Sequence[Any]:
        """What the stored rows depend on beside the schema, in what JSON can hold; it changes when `encode` does."""

    @property
    def columns(self) -> Mapping[str, int]:
        """What is stored of a window beside its tokens: names, and how many integers a row has."""

    @property
    def tables(self) -> Mapping[str, Sequence[str]]:
        """The tables that a head puts out, and the names of their rows: labels, predicates."""

    def encode(
        self, document: Document, tokens: Tokens, plan: WindowPlan, *, mentions: Mentions = "nearest"
    ) -> Targets:
        """The gold of one document.

        Args:
            mentions: where the data have no offsets, which occurrences to take, of those that are at token boundaries.
        """

    def window(self, targets: Targets, first: int, capacity: int, shift: int) -> dict[str, Index]:
        """The rows that lie whole in the window from token `first` on, counted from `shift` tokens before it."""

    def cells(self, columns: Columns) -> dict[str, Index]:
        """Of the rows of a batch, the sample before each, what the head's `collate` takes, by table."""

    def decoder(self, decoding: Decoding) -> Decoder:
        """What finds items by some thresholds."""

    def scores(self, outputs: Outputs, sample: int, there: Index) -> Iterable[Floats]:
        """All scores s of a sample on the text tokens `there`, row by row ``[…]``; two models are compared by them."""


def build_codec(section: HeadSection, schema: LabelSchema) -> Codec:
    """The codec of the head that a recipe names."""
    codec: Codec = HEADS[section.name].codec()(schema, section)
    return codec


def find_reachable(codec: Codec, document: Document, tokens: Tokens, plan: WindowPlan) -> Targets:
    """`Codec.encode`, to count what is out of reach: a triple without offsets is not, if any of its places can be had."""
    found = codec.encode(document, tokens, plan)
    if document.spos is not None and found.lost.get("relations"):
        found = codec.encode(document, tokens, plan, mentions="all")
    return found


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
