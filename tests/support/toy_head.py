"""A complete example of a custom head: each token is scored for each label, and runs of tokens are entities."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

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
)
from ie_cli.data.label_schema import LabelSchema
from ie_cli.document import Document
from ie_cli.encoding.alignment import align, to_entities
from ie_cli.encoding.tokenizer import Tokens
from ie_cli.encoding.windows import WindowPlan
from ie_cli.modeling.heads.base import HeadModule, LabelRows
from ie_cli.recipe.heads import HeadSection, HeadSpec, Reads
from ie_cli.triples import Mentions


class ToySection(HeadSection):
    """A head that scores single tokens."""

    name: Literal["toy"]
    """The name of the head."""
    scale: float = 2.0
    """The factor of the scores."""


class ToyCodec:
    reads: ClassVar[Reads] = "windows"
    identity: ClassVar[Sequence[str]] = ("toy",)
    columns: ClassVar[Mapping[str, int]] = {"tokens": 2}

    def __init__(self, schema: LabelSchema, section: HeadSection) -> None:
        self.schema = schema
        self.matrices: Mapping[str, Sequence[str]] = {"tokens": schema.labels}

    def encode(
        self, document: Document, tokens: Tokens, plan: WindowPlan, *, mentions: Mentions = "nearest"
    ) -> Targets:
        entities = set(document.entities)
        aligned = align(document.text, entities, tokens, plan, self.schema.ids)
        pairs = {(label, token) for label, first, last in aligned.spans.tolist() for token in range(first, last + 1)}
        columns = {"tokens": np.array(sorted(pairs), dtype=np.int64).reshape(-1, 2)}
        return Targets(columns, {"entities": len(entities)}, {"entities": list(aligned.unreachable)})

    def window(self, targets: Targets, first: int, capacity: int, shift: int) -> dict[str, Index]:
        stored = targets.columns["tokens"]
        inside = (stored[:, 1] >= first) & (stored[:, 1] < first + capacity)
        return {"tokens": stored[inside] + np.array([0, shift - first])}

    def entries(self, columns: Columns) -> dict[str, Index]:
        return dict(columns)

    def decoder(self, decoding: Decoding) -> ToyDecoder:
        return ToyDecoder(self.schema, decoding)

    def scores(self, outputs: Outputs, sample: int, tokens: Index) -> Iterator[Floats]:
        [block] = outputs.matrix("tokens")
        yield from block["logits"][sample][tokens].T


class ToyDecoder:
    tokens: ClassVar[Mapping[str, tuple[int, ...]]] = {"runs": (1, 2)}

    def __init__(self, schema: LabelSchema, decoding: Decoding) -> None:
        self.schema, self.decoding = schema, decoding

    def decode(self, outputs: Outputs, mask: Mask) -> Decoded:
        [block] = outputs.matrix("tokens")
        thresholds = self.decoding.minimum_scores(self.schema.labels)
        found = (block["logits"] > thresholds) & mask[:, :, None]
        entries, scores = [], []
        for sample, label in np.argwhere(found.any(axis=1)).tolist():
            line = np.concatenate([[False], found[sample, :, label], [False]])
            starts, ends = np.nonzero(line[1:] & ~line[:-1])[0], np.nonzero(line[:-1] & ~line[1:])[0] - 1
            for first, last in zip(starts.tolist(), ends.tolist(), strict=True):
                entries.append((sample, label, first, last))
                scores.append(block["logits"][sample, first : last + 1, label].min())
        runs = Candidates(np.array(entries, dtype=np.int64).reshape(-1, 4), np.array(scores, dtype=np.float32))
        return Decoded({"runs": runs}, frozenset())

    def annotate(self, found: Mapping[str, Candidates], tokens: Tokens, plan: WindowPlan, text: str) -> Annotation:
        if (runs := found.get("runs")) is None:
            return Annotation()
        owned = plan.owners(len(tokens), runs.entries[:, 1], runs.entries[:, 2]) == runs.entries[:, 3]
        probabilities = self.decoding.probability(runs.scores[owned])
        return Annotation(to_entities(tokens, runs.entries[owned, :3], probabilities, self.schema.labels))


class ToyHead(HeadModule):
    def __init__(self, hidden_size: int, labels: int, scale: float) -> None:
        super().__init__()
        self.labels, self.scale = labels, scale
        self.linear = nn.Linear(hidden_size, labels)

    def scores(self, hidden: Tensor) -> Tensor:
        logits: Tensor = self.linear(hidden.to(self.linear.weight.dtype)) * self.scale
        return logits

    def collate(self, entries: Mapping[str, Tensor], mask: Tensor) -> Tensor:
        sample, label, token = entries["tokens"].unbind(1)
        targets = torch.zeros(*mask.shape, self.labels)
        targets[sample, token, label] = 1
        return targets

    def losses(
        self, hidden: Tensor, mask: Tensor, targets: Tensor, weights: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        each = nn.functional.binary_cross_entropy_with_logits(self.scores(hidden), targets, reduction="none")
        if weights is not None:
            each = each * weights["tokens"]
        return {"tokens": each[mask].sum() / len(mask)}

    def outputs(self, hidden: Tensor) -> dict[str, Tensor]:
        return {"tokens.logits": self.scores(hidden)}

    def blocks(self, hidden: Tensor) -> dict[str, Iterator[dict[str, Tensor]]]:
        return {"tokens": iter([{"logits": self.scores(hidden)}])}

    def query(self, name: str, hidden: Tensor, arguments: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the hidden states of one token of each sample: a second pass with arguments."""
        if name != "vectors":
            return super().query(name, hidden, arguments)
        token = arguments["token"]
        return {name: hidden[torch.arange(len(hidden)), token]}

    def label_rows(self) -> dict[str, LabelRows]:
        return {"linear.weight": LabelRows("tokens"), "linear.bias": LabelRows("tokens")}


def build(hidden_size: int, labels: Mapping[str, int], /, *, scale: float = 2.0) -> ToyHead:
    return ToyHead(hidden_size, labels["tokens"], scale)


TOY = HeadSpec(section=ToySection, tasks=("ner",), codec=lambda: ToyCodec, builder=lambda: build)
"""The entry for the table of heads."""
