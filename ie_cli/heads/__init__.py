"""The heads that a recipe may name; each is one file: parameters, loss, factors for the decoder."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from torch import Tensor, nn

from ie_cli.decode import Factors
from ie_cli.heads.efficient_global_pointer import EfficientGlobalPointer
from ie_cli.heads.global_pointer import GlobalPointer
from ie_cli.losses import Gold


class Head(Protocol):
    """What a head offers. `hidden` is the encoder's output ``[batch, L, hidden]``, whatever its precision."""

    def loss(self, hidden: Tensor, mask: Tensor, gold: Gold, weights: Tensor | None = None) -> Tensor:
        """Scalar loss, summed over labels, averaged over the batch."""

    def factors(self, hidden: Tensor) -> Iterator[Factors]:
        """Factors of the scores, for `decode.decode_spans`."""


HEADS: dict[str, type[nn.Module]] = {
    "efficient_global_pointer": EfficientGlobalPointer,
    "global_pointer": GlobalPointer,
}
