"""Sentence-BERT (arXiv 1908.10084): a classifier of two vectors and their difference, which serves in training only."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ie_cli.codecs.pairs import MATRIX
from ie_cli.modeling.heads.base import LabelRows, Tensors
from ie_cli.modeling.heads.pairs import (
    BiEncoderHead,
    PairTargets,
    class_rows,
    classification_loss,
    cosines,
    logits_of,
)


class Sbert(BiEncoderHead):
    """The cross-entropy of ``W [u, v, |u - v|] + b``; for grades, the squared error of the cosine.

    Args:
        hidden_size: the size of a vector.
        classes: the number of classes; 0 for grades.
        pooling: see `BiEncoderHead`.
    """

    def __init__(self, hidden_size: int, classes: int, pooling: str) -> None:
        super().__init__(pooling)
        self.classes = classes
        self.classifier = nn.Linear(3 * hidden_size, classes) if classes else None

    def losses(
        self, hidden: Tensor, mask: Tensor, targets: PairTargets, weights: Tensors | None = None
    ) -> dict[str, Tensor]:
        """Return the mean loss of the pairs."""
        if self.classifier is None:
            return {MATRIX: nn.functional.mse_loss(cosines(hidden), targets.shares)}
        u, v = hidden[::2], hidden[1::2]
        logits = logits_of(self.classifier, torch.cat([u, v, (u - v).abs()], dim=1))
        return {MATRIX: classification_loss(logits, targets, weights)}

    def label_rows(self) -> Mapping[str, LabelRows]:
        """Return the rows of the classifier."""
        return class_rows("classifier", self.classes)


def build(hidden_size: int, labels: Mapping[str, int], /, *, pooling: str = "mean") -> Sbert:
    """Build a head for pairs with classes or grades."""
    return Sbert(hidden_size, labels[MATRIX], pooling)
