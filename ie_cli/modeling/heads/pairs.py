"""What the heads that score pairs of texts have in common: levels of gold pairs, pooled vectors, and losses of classes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ie_cli.codecs.pairs import MATRIX
from ie_cli.modeling.devices import to_device
from ie_cli.modeling.heads.base import HeadModule, LabelRows, Tensors

EPSILON = 1e-8
"""The least norm that a vector is divided by, so that the cosine of a zero vector is 0."""


@dataclass(frozen=True, slots=True)
class PairTargets:
    """The gold of a batch of pairs: the levels, and their places in the range of all levels; float32 ``[pairs]`` each."""

    levels: Tensor
    shares: Tensor

    def to(self, device: torch.device) -> PairTargets:
        return PairTargets(to_device(self.levels, device), to_device(self.shares, device))


class PairHead(HeadModule):
    """A head for pairs of texts, whose output is what it reads of the encoder's output.

    Attributes:
        output: the name of the output.
    """

    output: str

    def collate(self, entries: Tensors, mask: Tensor) -> PairTargets:
        """Return the levels of the pairs in their order; each pair has one."""
        pairs = entries[MATRIX]
        pairs = pairs[pairs[:, 0].argsort(stable=True)]
        levels, shares = pairs[:, 1:].int().T.contiguous().view(torch.float32)
        return PairTargets(levels, shares)

    def outputs(self, hidden: Tensor) -> dict[str, Tensor]:
        """Return what the head has read."""
        return {f"{MATRIX}.{self.output}": hidden}

    def blocks(self, hidden: Tensor) -> dict[str, Iterator[dict[str, Tensor]]]:
        """Return the same in one block."""
        return {MATRIX: iter([{self.output: hidden}])}

    def label_rows(self) -> Mapping[str, LabelRows]:
        """Return nothing: no parameter has rows of labels."""
        return {}


def cosines(vectors: Tensor) -> Tensor:
    """Return the cosine of each two consecutive vectors; ``[rows / 2]`` for ``[rows, d]``."""
    unit = nn.functional.normalize(vectors, dim=1, eps=EPSILON)
    return (unit[::2] * unit[1::2]).sum(dim=1)


class BiEncoderHead(PairHead):
    """A head that reads a vector of each text, in float32; two consecutive rows are a pair.

    Args:
        pooling: the vector of a text: ``cls``, that of its first token; ``mean``, that of all tokens; ``first_last``, the same
            over the first and the last layer of the encoder.
    """

    output = "vector"

    def __init__(self, pooling: str) -> None:
        super().__init__()
        self.pooling = pooling
        self.needs_first_layer = pooling == "first_last"

    def read(self, hidden: Tensor, mask: Tensor, first: Tensor | None) -> Tensor:
        """Return the vector of each row; ``[rows, d]``."""
        if self.pooling == "cls":
            return hidden[:, 0].float()
        with torch.autocast(hidden.device.type, enabled=False):
            states = hidden.float() if first is None else (hidden.float() + first.float()) / 2
            weights = mask.to(states.dtype).unsqueeze(-1)
            return (states * weights).sum(dim=1) / weights.sum(dim=1).clamp_min(1)


def logits_of(linear: nn.Linear, features: Tensor) -> Tensor:
    """Return the outputs of a linear layer in the precision of its weights."""
    with torch.autocast(features.device.type, enabled=False):
        logits: Tensor = linear(features.to(linear.weight.dtype))
        return logits


def classification_loss(logits: Tensor, targets: PairTargets, weights: Tensors | None) -> Tensor:
    """Return the mean cross-entropy of the logits ``[pairs, K]`` of K classes; for K = 1, that of the grade's share."""
    with torch.autocast(logits.device.type, enabled=False):
        if logits.shape[1] == 1:
            return nn.functional.binary_cross_entropy_with_logits(logits[:, 0], targets.shares)
        classes = targets.levels.long()
        each = nn.functional.cross_entropy(logits, classes, reduction="none")
        return (each if weights is None else each * weights[MATRIX][classes]).mean()


def class_rows(name: str, classes: int) -> Mapping[str, LabelRows]:
    """Return the rows of a linear layer with this name and a row for each class; none without classes."""
    return {f"{name}.{part}": LabelRows(MATRIX) for part in ("weight", "bias")} if classes else {}
