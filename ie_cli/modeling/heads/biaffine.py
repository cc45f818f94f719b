"""Biaffine spans (Yu et al. 2020, arXiv 2005.07150; Dozat and Manning 2017): a softmax over the classes of every span."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from ie_cli.modeling.heads.base import MatrixHead, Tensors
from ie_cli.modeling.losses.factorised import Gold, valid_entries
from ie_cli.modeling.losses.negative_sampling import sampled
from ie_cli.modeling.losses.options import LossOptions
from ie_cli.modeling.losses.span_classes import ClassFactors, require_one_label, span_class_loss
from ie_cli.modeling.rotary import rotary_angles, rotate

NONE_PRIOR = 7.0
"""By how much the class "none" initially exceeds every label: about the logarithm of the number of spans of a sentence.

Without it, the first hundred steps would only teach the model that hardly any span is an entity."""
WEIGHT_BOUND = 0.1
"""The range of the initial entries of U for labels, beside the identity that U starts from."""


class Biaffine(nn.Module):
    """``z_r(i,j) = (R_i s_i)ᵀ (U_r − U_0) (R_j e_j) / √d + (w_r − w_0)ᵀ[s_i; e_j] + b_r``, ``[s; e] = W h + v``.

    The paper has a score for each label and one for the class "none", index 0 here. A softmax depends only on differences, so
    z is the difference, and "none" has the score 0. There are four differences to the paper. The positions
    R take the place of its BiLSTM. It has no factor 1/√d; without it, a step of Adam, which moves all d² entries of U by the same
    amount, changes the scores by more than the prior. U starts near the identity, so that z starts as the product of rotated
    vectors that GlobalPointer scores, and no activation follows W: both learn faster here than a random U and a leaky ReLU.

    Args:
        hidden_size: the size of the encoder's output.
        labels: the number of labels.
        head_size: d, the size of s and e; even.
        rope: use the rotary positions R; without them, the scores do not depend on the order of tokens.
        dropout: the share of the components of s and e that are dropped in training.
    """

    upper = True
    label_blocks: ClassVar[Mapping[str, int]] = {"weight": 1, "linear": 1, "bias": 1}
    options = LossOptions()

    def __init__(
        self, hidden_size: int, labels: int, *, head_size: int = 150, rope: bool = True, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.rope, self.dropout = rope, dropout
        self.start, self.end = nn.Linear(hidden_size, head_size), nn.Linear(hidden_size, head_size)
        bound = (2 * head_size) ** -0.5  # the initialisation of nn.Linear
        self.weight = nn.Parameter(torch.empty(labels, head_size, head_size).uniform_(-WEIGHT_BOUND, WEIGHT_BOUND))
        self.linear = nn.Parameter(torch.empty(labels, 2 * head_size).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.full((labels,), -NONE_PRIOR))
        self.none_weight = nn.Parameter(-torch.eye(head_size))
        self.none_linear = nn.Parameter(torch.zeros(2 * head_size))

    def factors(self, hidden: Tensor) -> ClassFactors:
        """Return the factors of the scores z, in float32 (or float64, if the weights are).

        Args:
            hidden: encoder output ``[batch, L, hidden]``.
        """
        with torch.autocast(hidden.device.type, enabled=False):
            hidden = hidden.to(self.weight.dtype)
            first, last = (
                nn.functional.dropout(layer(hidden), self.dropout, self.training) for layer in (self.start, self.end)
            )  # [batch, L, size]
            of_start, of_end = (self.linear - self.none_linear).chunk(2, dim=1)  # [labels, size]
            start = first @ of_start.T + self.bias  # [batch, L, labels]
            end = (last @ of_end.T).transpose(1, 2)  # [batch, labels, L]
            if self.rope:
                angles = rotary_angles(first.shape[1], first.shape[2], first.device)
                first, last = rotate(first, *angles), rotate(last, *angles)
            weight = (self.weight - self.none_weight) * first.shape[2] ** -0.5
            return ClassFactors(first, last, weight, start, end)

    def loss(self, hidden: Tensor, mask: Tensor, gold: Gold, weights: Tensor | None = None) -> Tensor:
        """Return the scalar loss of a batch; `mask` is bool ``[batch, L]``, true on text tokens."""
        valid = sampled(valid_entries(mask, sides=gold.sides), gold, self.options.negatives)
        return span_class_loss(self.factors(hidden), mask, gold, weights=weights, valid=valid)

    def tensors(self, hidden: Tensor) -> dict[str, Tensor]:
        """Return what `codecs.biaffine.SpanClasses` decodes; the weight is the same for all samples."""
        factors = self.factors(hidden)
        # The number of labels of a graph is read from the first output of a matrix.
        return {
            "start": factors.start,
            "end": factors.end,
            "first": factors.first,
            "last": factors.last,
            "weight": factors.weight.transpose(0, 1).contiguous(),  # [size, labels, size]
        }

    def blocks(self, hidden: Tensor) -> Iterator[dict[str, Tensor]]:
        """Yield the same in one block: these factors are small, and the labels of a span compete."""
        yield self.tensors(hidden)


class BiaffineHead(MatrixHead):
    """A head of one biaffine scorer, whose gold has one label for each span."""

    def collate(self, entries: Tensors, mask: Tensor) -> dict[str, Gold]:
        """Return the gold spans, sorted and validated."""
        return {name: require_one_label(gold) for name, gold in super().collate(entries, mask).items()}


def build(
    hidden_size: int,
    labels: Mapping[str, int],
    /,
    *,
    head_size: int = 150,
    rope: bool = True,
    dropout: float = 0.0,
) -> MatrixHead:
    """Build a head for entities, with one score matrix."""
    scorer = Biaffine(hidden_size, labels["entities"], head_size=head_size, rope=rope, dropout=dropout)
    return BiaffineHead({"entities": scorer})
