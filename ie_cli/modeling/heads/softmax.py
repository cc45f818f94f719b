"""Token classification: a softmax over the tags of each token."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor, nn

from ie_cli.modeling.heads.base import Tensors
from ie_cli.modeling.heads.tagger import Tagger
from ie_cli.modeling.losses.options import LossOptions


class Softmax(Tagger):
    """A tagger whose tags are independent given the text; decoding takes the best legal sequence."""

    smoothing = 0.0

    def set_loss_options(self, options: LossOptions) -> None:
        """Set ε of label smoothing, which is spread over all tags."""
        super().set_loss_options(replace(options, smoothing=0.0))
        self.smoothing = options.smoothing

    def losses(
        self, hidden: Tensor, mask: Tensor, targets: Tensor, weights: Tensors | None = None
    ) -> dict[str, Tensor]:
        """Return ``-Σ_t log softmax(e_t)(y_t)``, the cross-entropy summed over text tokens, as a mean over the batch."""
        scores = self.emissions(hidden).transpose(1, 2)
        each = nn.functional.cross_entropy(scores, targets, reduction="none", label_smoothing=self.smoothing)
        if weights is not None:
            each = each * self.token_weights(targets, weights["tags"])
        return {"tags": each.masked_fill(~mask, 0.0).sum() / len(mask)}


def build(hidden_size: int, labels: Mapping[str, int], /, *, scheme: str = "bio") -> Softmax:
    """Build a head for entities that do not overlap."""
    return Softmax(hidden_size, labels["tags"], scheme)
