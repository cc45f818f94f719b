"""Efficient GlobalPointer (kexue.fm/archives/8877): one span scorer for all labels, two biases per label."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from ie_cli.modeling.heads.base import MatrixHead
from ie_cli.modeling.losses.factorised import Gold, factorised_loss, valid_entries
from ie_cli.modeling.losses.label_blocks import LabelScores
from ie_cli.modeling.losses.negative_sampling import sampled
from ie_cli.modeling.losses.options import LossOptions
from ie_cli.modeling.losses.soft_labels import soft_factorised_loss
from ie_cli.modeling.rotary import rotary_angles, rotate

SPAN_PRIOR = -4.0
"""The initial score of spans; most spans of a sentence have no label."""
BIAS_RATE = 8.0
"""By how much the label biases learn faster than the other weights of a head.

A step of Adam moves every weight by about the learning rate. It therefore changes the score of a label by about ``lr · Σ|x|/2``,
with the 2d small components of x, where the full head has the hidden state: several times as much.
"""


class EfficientGlobalPointer(nn.Module):
    """``s_r(i,j) = (R_i q_i)ᵀ(R_j k_j)/√d + a_r(i) + c_r(j)``, ``x = [q; k] = W h + b``, ``[a; c] = (V x + v)/2``.

    Args:
        hidden_size: the size of the encoder's output.
        labels: the number of labels.
        upper: only entries with i ≤ j are valid, as for spans; False for links.
        prior: the initial score of all entries; `SPAN_PRIOR` if omitted. Hardly any entry is gold; a low initial score saves
            about a hundred steps in which only the biases would learn this.
        head_size: d, the size of q and k; even.
        rope: use the rotary positions R; without them, the scores do not depend on the order of tokens.
    """

    label_blocks: ClassVar[Mapping[str, int]] = {"bias.weight": 2, "bias.bias": 2}
    options = LossOptions()
    rate_factors: ClassVar[Mapping[str, float]] = {"bias.weight": BIAS_RATE, "bias.bias": BIAS_RATE}

    def __init__(
        self,
        hidden_size: int,
        labels: int,
        upper: bool = True,
        prior: float | None = None,
        *,
        head_size: int = 64,
        rope: bool = True,
    ) -> None:
        super().__init__()
        self.head_size, self.rope, self.upper = head_size, rope, upper
        self.projection = nn.Linear(hidden_size, 2 * head_size)
        self.bias = nn.Linear(2 * head_size, 2 * labels)
        nn.init.constant_(self.bias.bias, SPAN_PRIOR if prior is None else prior)

    def scores(self, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the factors pair ``[batch, L, L]``, start and end ``[batch, labels, L]``, in float32.

        Args:
            hidden: encoder output ``[batch, L, hidden]``.
        """
        with torch.autocast(hidden.device.type, enabled=False):
            x = self.projection(hidden.to(self.projection.weight.dtype))  # [batch, L, 2d]
            start, end = (
                nn.functional.linear(x, self.bias.weight / 2, self.bias.bias / 2).transpose(1, 2).chunk(2, dim=1)
            )
            query, key = x.chunk(2, dim=-1)
            if self.rope:
                angles = rotary_angles(x.shape[1], self.head_size, x.device)
                query, key = rotate(query, *angles), rotate(key, *angles)
            pair = query @ key.transpose(1, 2) * self.head_size**-0.5
        return pair, start, end

    def loss(self, hidden: Tensor, mask: Tensor, gold: Gold, weights: Tensor | None = None) -> Tensor:
        """Return the scalar loss of a batch; `mask` is bool ``[batch, L]``, true on text tokens."""
        valid = sampled(valid_entries(mask, sides=gold.sides, upper=self.upper), gold, self.options.negatives)
        factors, smoothing = self.scores(hidden), self.options.smoothing
        if smoothing:
            return soft_factorised_loss(factors, mask, valid, gold, smoothing=smoothing, weights=weights)
        return factorised_loss(*factors, mask, gold, upper=self.upper, weights=weights, valid=valid)

    def label_scores(self, hidden: Tensor) -> LabelScores:
        """Return the scores, to be computed for some labels at a time."""
        pair, start, end = self.scores(hidden)

        def block(first: int, last: int) -> Tensor:
            return pair[:, None] + start[:, first:last, :, None] + end[:, first:last, None, :]

        return LabelScores(start.shape[1], block)

    def tensors(self, hidden: Tensor) -> dict[str, Tensor]:
        """Return the factors from `scores` by name."""
        return dict(zip(("pair", "start", "end"), self.scores(hidden), strict=True))

    def blocks(self, hidden: Tensor) -> Iterator[dict[str, Tensor]]:
        """Yield all labels in one block: they share the large factor."""
        yield self.tensors(hidden)


def build(hidden_size: int, labels: Mapping[str, int], /, *, head_size: int = 64, rope: bool = True) -> MatrixHead:
    """Build a head for entities, with one score matrix."""
    return MatrixHead(
        {"entities": EfficientGlobalPointer(hidden_size, labels["entities"], head_size=head_size, rope=rope)}
    )
