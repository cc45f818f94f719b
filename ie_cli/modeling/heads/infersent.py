"""InferSent (arXiv 1705.02364): a classifier of two vectors, their difference and their product."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from ie_cli.codecs.pairs import MATRIX
from ie_cli.modeling.heads.base import LabelRows, Tensors
from ie_cli.modeling.heads.pairs import BiEncoderHead, PairTargets, class_rows, classification_loss, logits_of


class InferSent(BiEncoderHead):
    """The cross-entropy of ``W [u, v, |u - v|, u * v] + b``; for grades, one logit.

    Args:
        hidden_size: the size of a vector.
        classes: the number of classes; 0 for grades.
        pooling: see `BiEncoderHead`.
    """

    queries: ClassVar[Mapping[str, Sequence[str]]] = {MATRIX: ("first", "second")}

    def __init__(self, hidden_size: int, classes: int, pooling: str) -> None:
        super().__init__(pooling)
        self.classes = classes
        self.classifier = nn.Linear(4 * hidden_size, max(1, classes))

    def losses(
        self, hidden: Tensor, mask: Tensor, targets: PairTargets, weights: Tensors | None = None
    ) -> dict[str, Tensor]:
        """Return the mean loss of the pairs."""
        logits = self._logits(hidden[::2], hidden[1::2])
        return {MATRIX: classification_loss(logits, targets, weights)}

    def query(self, name: str, hidden: Tensor, arguments: Tensors) -> dict[str, Tensor]:
        """Return the logits of some pairs of vectors, ``[pairs, K]``.

        Args:
            name: ``pairs``.
            hidden: the vectors ``[rows, d]``.
            arguments: the rows of the ``first`` and the ``second`` text of each pair; int64 ``[pairs]``.
        """
        if name not in self.queries:
            return super().query(name, hidden, arguments)
        return {"logits": self._logits(hidden[arguments["first"]], hidden[arguments["second"]])}

    def label_rows(self) -> Mapping[str, LabelRows]:
        """Return the rows of the classifier."""
        return class_rows("classifier", self.classes)

    def _logits(self, u: Tensor, v: Tensor) -> Tensor:
        return logits_of(self.classifier, torch.cat([u, v, (u - v).abs(), u * v], dim=1))


def build(hidden_size: int, labels: Mapping[str, int], /, *, pooling: str = "mean") -> InferSent:
    """Build a head for pairs with classes or grades."""
    return InferSent(hidden_size, labels[MATRIX], pooling)
