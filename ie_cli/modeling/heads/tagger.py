"""What the heads that give every token one tag have in common: the scores of tags, and the tags of gold spans."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from ie_cli.codecs.tag_scheme import SCHEMES
from ie_cli.modeling.heads.base import HeadModule, LabelRows, Tensors


class Tagger(HeadModule):
    """A head with the scores ``e_t(y) = w_y·h_t + v_y`` of the tags y of a token t.

    Args:
        hidden_size: the size of the encoder's output.
        labels: the number of labels.
        scheme: the name of the tagging scheme.
    """

    def __init__(self, hidden_size: int, labels: int, scheme: str) -> None:
        super().__init__()
        self.scheme, self.labels = SCHEMES[scheme], labels
        self.tags = nn.Linear(hidden_size, self.scheme.outside(labels))
        self.outside = nn.Linear(hidden_size, 1)

    def emissions(self, hidden: Tensor) -> Tensor:
        """Return the scores of tags ``[batch, L, K]`` in float32."""
        with torch.autocast(hidden.device.type, enabled=False):
            hidden = hidden.to(self.tags.weight.dtype)
            return torch.cat([self.tags(hidden), self.outside(hidden)], dim=-1)

    def collate(self, entries: Tensors, mask: Tensor) -> Tensor:
        """Return the tags of the gold spans, int64 ``[batch, L]``; O elsewhere."""
        sample, label, first, last = entries["tags"].unbind(1)
        tags = torch.full(mask.shape, self.scheme.outside(self.labels))
        lengths = last - first + 1
        span = torch.repeat_interleave(torch.arange(len(first)), lengths)
        place = (
            torch.arange(len(span)) - (lengths.cumsum(0) - lengths)[span]
        )  # counted from the first token of the span
        tags[sample[span], first[span] + place] = self._tag("inside") + label[span]
        tags[sample, first] = self._tag("begin") + label
        if "end" in self.scheme.blocks:
            tags[sample, last] = torch.where(first == last, self._tag("single"), self._tag("end")) + label
        return tags

    def _tag(self, role: str) -> int:
        """Return the tag of a role and the first label."""
        return int(self.scheme.block(role, self.labels).start)

    def token_weights(self, targets: Tensor, weights: Tensor) -> Tensor:
        """Return the weight of each token ``[batch, L]``: that of the label of its gold tag, and the mean of all for O."""
        return torch.cat([weights.repeat(len(self.scheme.blocks)), weights.mean()[None]])[targets]

    def outputs(self, hidden: Tensor) -> dict[str, Tensor]:
        """Return the scores of tags by role ``[batch, L, labels]``, and of O ``[batch, L]``."""
        scores = self.emissions(hidden)
        named = {f"tags.{role}": scores[:, :, self.scheme.block(role, self.labels)] for role in self.scheme.blocks}
        return named | {"tags.outside": scores[:, :, -1]}

    def blocks(self, hidden: Tensor) -> dict[str, Iterator[dict[str, Tensor]]]:
        """Return the outputs in one block, because the labels of a token compete."""
        return {"tags": iter([{name.removeprefix("tags."): part for name, part in self.outputs(hidden).items()}])}

    def label_rows(self) -> dict[str, LabelRows]:
        """Return the rows of the tags of entities; O belongs to no label."""
        return {name: LabelRows("tags", len(self.scheme.blocks)) for name in ("tags.weight", "tags.bias")}
