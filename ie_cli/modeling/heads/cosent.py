"""CoSENT (kexue.fm/archives/8847): pairs are ranked by the cosine of the vectors of their texts."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ie_cli.codecs.pairs import MATRIX
from ie_cli.modeling.heads.base import Tensors
from ie_cli.modeling.heads.pairs import BiEncoderHead, PairTargets, cosines
from ie_cli.modeling.losses.cosent import cosent_loss


class Cosent(BiEncoderHead):
    """A head without weights: its loss compares the cosines of all pairs of a batch.

    Args:
        pooling: see `BiEncoderHead`.
        scale: λ, the factor of the differences of cosines.
    """

    additive = False

    def __init__(self, pooling: str, scale: float) -> None:
        super().__init__(pooling)
        self.scale = scale

    def losses(
        self, hidden: Tensor, mask: Tensor, targets: PairTargets, weights: Tensors | None = None
    ) -> dict[str, Tensor]:
        """Return the loss of all pairs together."""
        return {MATRIX: cosent_loss(cosines(hidden), targets.levels, scale=self.scale)}


def build(hidden_size: int, labels: Mapping[str, int], /, *, pooling: str = "mean", scale: float = 20.0) -> Cosent:
    """Build a head for pairs with classes or grades."""
    return Cosent(pooling, scale)
