"""A cross-encoder (kexue.fm/archives/8860 and 9341): the first token of a sequence of both texts gives the logits."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from ie_cli.codecs.pairs import MATRIX
from ie_cli.modeling.heads.base import LabelRows, Tensors
from ie_cli.modeling.heads.pairs import PairHead, PairTargets, class_rows, classification_loss, logits_of
from ie_cli.modeling.losses.cosent import cosent_loss


class CrossEncoder(PairHead):
    """The logits ``W h + b`` of the first token h: one for each class; one for grades, or to be ranked.

    Args:
        hidden_size: the size of the encoder's output.
        classes: the number of classes; 0 for one logit.
        loss: ``cross_entropy``, or ``cosent`` on the logits themselves, without a factor.
    """

    output = "logits"

    def __init__(self, hidden_size: int, classes: int, loss: str) -> None:
        super().__init__()
        self.classes, self.additive = classes, loss != "cosent"
        self.classifier = nn.Linear(hidden_size, max(1, classes))

    def read(self, hidden: Tensor, mask: Tensor, first: Tensor | None) -> Tensor:
        """Return the logits of each row; ``[rows, K]``."""
        return logits_of(self.classifier, hidden[:, 0])

    def losses(
        self, hidden: Tensor, mask: Tensor, targets: PairTargets, weights: Tensors | None = None
    ) -> dict[str, Tensor]:
        """Return the mean cross-entropy of the pairs, or the CoSENT loss of all pairs together."""
        if not self.additive:
            return {MATRIX: cosent_loss(hidden[:, 0], targets.levels, scale=1.0)}
        return {MATRIX: classification_loss(hidden, targets, weights)}

    def label_rows(self) -> Mapping[str, LabelRows]:
        """Return the rows of the classifier."""
        return class_rows("classifier", self.classes)


def build(hidden_size: int, labels: Mapping[str, int], /, *, loss: str = "cross_entropy") -> CrossEncoder:
    """Build a head for pairs with classes or grades."""
    return CrossEncoder(hidden_size, labels[MATRIX], loss)
