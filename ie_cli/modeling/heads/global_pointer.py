"""GlobalPointer (kexue.fm/archives/8373): a separate span scorer for each label."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from ie_cli.modeling.heads.base import MatrixHead
from ie_cli.modeling.losses.factorised import Gold, valid_entries
from ie_cli.modeling.losses.label_blocks import LabelScores
from ie_cli.modeling.losses.negative_sampling import sampled
from ie_cli.modeling.losses.options import LossOptions
from ie_cli.modeling.losses.soft_labels import soft_label_loss
from ie_cli.modeling.losses.streamed import Projection, streamed_loss


class GlobalPointer(nn.Module):
    """``s_r(i,j) = (R_i q_{r,i})ᵀ(R_j k_{r,j})/√d``, ``[q_r; k_r] = W_r h + b_r``.

    Args:
        hidden_size: the size of the encoder's output.
        labels: the number of labels.
        head_size: d, the size of each q and k; even.
        rope: use the rotary positions R; without them, the scores do not depend on the order of tokens.
    """

    upper = True
    label_blocks: ClassVar[Mapping[str, int]] = {"weight": 1, "bias": 1}
    options = LossOptions()

    def __init__(self, hidden_size: int, labels: int, *, head_size: int = 64, rope: bool = True) -> None:
        super().__init__()
        bound = hidden_size**-0.5  # the initialisation of nn.Linear
        self.rope = rope
        self.weight = nn.Parameter(torch.empty(labels, 2 * head_size, hidden_size).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(labels, 2 * head_size).uniform_(-bound, bound))

    def loss(self, hidden: Tensor, mask: Tensor, gold: Gold, weights: Tensor | None = None) -> Tensor:
        """Return the scalar loss of a batch; `mask` is bool ``[batch, L]``, true on text tokens."""
        valid = sampled(valid_entries(mask, sides=gold.sides), gold, self.options.negatives)
        if self.options.smoothing:
            scores = self.label_scores(hidden)
            return soft_label_loss(scores, valid, gold, smoothing=self.options.smoothing, weights=weights)
        return streamed_loss(hidden, self.weight, self.bias, mask, gold, rope=self.rope, weights=weights, valid=valid)

    def label_scores(self, hidden: Tensor) -> LabelScores:
        """Return the scores, to be computed for some labels at a time."""
        projection, states = Projection(self.weight, self.bias, self.rope), hidden.to(self.weight.dtype)

        def block(first: int, last: int) -> Tensor:
            query, key = projection.vectors(states, first, last)
            return query @ key.transpose(2, 3)

        return LabelScores(len(self.weight), block)

    def tensors(self, hidden: Tensor) -> dict[str, Tensor]:
        """Return queries and keys of all labels ``[batch, labels, L, head_size]``, rotated, with queries scaled."""
        projection = Projection(self.weight, self.bias, self.rope)
        query, key = projection.vectors(hidden.to(self.weight.dtype), 0, len(self.weight))
        return {"query": query, "key": key}

    def blocks(self, hidden: Tensor) -> Iterator[dict[str, Tensor]]:
        """Yield queries and keys for as many labels at a time as fit in the caches."""
        with torch.autocast(hidden.device.type, enabled=False):
            hidden = hidden.to(self.weight.dtype)
            projection = Projection(self.weight, self.bias, self.rope)
            for first, last in projection.blocks(hidden):
                query, key = projection.vectors(hidden, first, last)
                yield {"query": query, "key": key}


def build(hidden_size: int, labels: Mapping[str, int], /, *, head_size: int = 64, rope: bool = True) -> MatrixHead:
    """Build a head for entities, with one score matrix."""
    return MatrixHead({"entities": GlobalPointer(hidden_size, labels["entities"], head_size=head_size, rope=rope)})
