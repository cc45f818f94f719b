"""A linear-chain conditional random field: scores of tags, and learned scores of neighbouring tags.

The transitions are small numbers next to the scores of tags, and learn too little at the same learning rate: they have one of
their own (kexue.fm/archives/7196), and no weight decay.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ie_cli.modeling.heads.base import LabelRows, Tensors
from ie_cli.modeling.heads.tagger import Tagger
from ie_cli.modeling.losses.crf import crf_loss


class Crf(Tagger):
    """A tagger with ``-log p(y) = log Z - score(y)`` as its loss (see `losses.crf`).

    Args:
        hidden_size: the size of the encoder's output.
        labels: the number of labels.
        scheme: the name of the tagging scheme.
        mask_illegal: exclude illegal sequences from Z.
        rate: the learning rate of the transitions.
    """

    legal: Tensor

    def __init__(self, hidden_size: int, labels: int, scheme: str, *, mask_illegal: bool, rate: float) -> None:
        super().__init__(hidden_size, labels, scheme)
        self.mask_illegal, self.rate = mask_illegal, rate
        count = self.scheme.outside(labels)
        # Apart from O, the start and the end, all have rows (and columns) of labels, which `label_rows` can name.
        self.pair_scores = nn.Parameter(torch.zeros(count, count))
        self.side_scores = nn.Parameter(torch.zeros(count, 4))  # from O, to O, from the start, to the end
        self.outside_scores = nn.Parameter(torch.zeros(3))  # O to O, from the start to O, from O to the end
        self.register_buffer("legal", torch.from_numpy(self.scheme.legal(labels)), persistent=False)

    def transitions(self) -> Tensor:
        """Return the scores of neighbouring tags ``[K + 1, K + 1]``; the last row is the start, the last column the end."""
        from_outside, to_outside, from_start, to_end = self.side_scores.unbind(1)
        both, first, last = self.outside_scores[:, None]
        rows = torch.cat([self.pair_scores, to_outside[:, None], to_end[:, None]], dim=1)
        outside, start = torch.cat([from_outside, both, last]), torch.cat([from_start, first, torch.zeros_like(first)])
        return torch.cat([rows, outside[None], start[None]])

    def losses(
        self, hidden: Tensor, mask: Tensor, targets: Tensor, weights: Tensors | None = None
    ) -> dict[str, Tensor]:
        """Return the mean of the negative log-likelihoods, each times the mean weight of its tokens."""
        legal = self.legal if self.mask_illegal else None
        with torch.autocast(hidden.device.type, enabled=False):
            each = crf_loss(self.emissions(hidden), self.transitions(), targets, mask, legal=legal)
            if weights is not None:
                by_token = self.token_weights(targets, weights["tags"]).masked_fill(~mask, 0.0)
                each = each * by_token.sum(1) / mask.sum(1).clamp_min(1)
        return {"tags": each.sum() / len(mask)}

    def outputs(self, hidden: Tensor) -> dict[str, Tensor]:
        """Return the scores of tags, and the transitions, which are the same for every batch."""
        # After the scores of tags: the number of labels of a graph is read from the first output of a matrix.
        return super().outputs(hidden) | {"tags.transitions": self.transitions()}

    def label_rows(self) -> dict[str, LabelRows]:
        """Return the rows of the tags of entities; those of pairs have such columns, too."""
        blocks = len(self.scheme.blocks)
        rows = {"pair_scores": LabelRows("tags", blocks, columns=True), "side_scores": LabelRows("tags", blocks)}
        return super().label_rows() | rows

    def learning_rates(self) -> Mapping[str, float]:
        """Return the rate of the transitions."""
        return dict.fromkeys(("pair_scores", "side_scores", "outside_scores"), self.rate)


def build(
    hidden_size: int,
    labels: Mapping[str, int],
    /,
    *,
    scheme: str = "bio",
    mask_illegal: bool = True,
    transition_learning_rate: float = 1e-2,
) -> Crf:
    """Build a head for entities that do not overlap."""
    return Crf(hidden_size, labels["tags"], scheme, mask_illegal=mask_illegal, rate=transition_learning_rate)
