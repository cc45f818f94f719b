"""What a head is made of: scorers, each of one table of cells."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from torch import Tensor

from ie_cli.codecs.spans import Factors
from ie_cli.modeling.losses.factorised import Gold


class Scorer(Protocol):
    """Scores the cells (row, i, j) of a table. `hidden` is the encoder's output ``[batch, L, hidden]``, of any precision."""

    def loss(self, hidden: Tensor, mask: Tensor, gold: Gold, weights: Tensor | None = None) -> Tensor:
        """Scalar loss, summed over rows, averaged over the batch; `mask` bool ``[batch, L]``, true on text tokens."""

    def tensors(self, hidden: Tensor) -> dict[str, Tensor]:
        """The same factors for all rows at once, as tensors named as in `decode`; for export."""

    def factors(self, hidden: Tensor) -> Iterator[Factors]:
        """Factors of the scores, for `decode`."""


class Head(Protocol):
    """What stands on an encoder: its tables of scores, the entities' first."""

    @property
    def scorers(self) -> tuple[Scorer, ...]:
        """One scorer a table; their losses are added."""
