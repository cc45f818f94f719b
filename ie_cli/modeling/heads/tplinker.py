"""TPLinker (Wang et al., COLING 2020): entities and relations in one pass, as tags of pairs of tokens.

The vector of a pair (i, j), i ≤ j, is ``tanh(W [h_i; h_j] + b)``, computed as ``tanh(left(i) + right(j))`` with
``left(i) = W_1 h_i + b`` and ``right(j) = W_2 h_j``. Linear taggers score it: one tag for entities, and for each predicate
two for the first tokens and two for the last tokens. The tag 0, for none, has the score 0: a softmax does not change if the same
number is subtracted from all its scores.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import cast

import torch
from torch import Tensor, nn

from ie_cli.encoding.word_boundaries import NO_BOUNDARY
from ie_cli.modeling.heads.base import HeadModule, LabelRows, Tensors
from ie_cli.modeling.losses.factorised import boundaries
from ie_cli.modeling.losses.handshaking import Tagged, Taggers, handshaking_loss

PRIOR = -7.0
"""The initial score of every tag but 0, about -log of the number of entries of a sentence; with 0, models start slowly."""


class Tagger(nn.Module):
    """The scores of `tags` tags for each label: weight ``[labels, tags, size]``, bias ``[labels, tags]``."""

    def __init__(self, labels: int, tags: int, size: int) -> None:
        super().__init__()
        bound = size**-0.5  # the initialisation of nn.Linear
        self.weight = nn.Parameter(torch.empty(labels, tags, size).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.full((labels, tags), PRIOR))


class TPLinkerHead(HeadModule):
    """The head; see the module.

    Args:
        hidden_size: the size of the encoder's output.
        labels: the number of link indices by matrix, and 1 for ``entities``.
        size: the size of the vectors of pairs.
        entities_first: the share of the steps in which the weight moves from entities to links.
    """

    def __init__(self, hidden_size: int, labels: Mapping[str, int], *, size: int, entities_first: float) -> None:
        super().__init__()
        self.pair = nn.Linear(2 * hidden_size, size)
        tags = {"entities": 1, "start_links": 2, "end_links": 2}
        self.taggers = nn.ModuleDict({name: Tagger(labels[name], count, size) for name, count in tags.items()})
        self.links = labels["start_links"]
        self.entities_first = entities_first
        self.progress = 1.0

    def begin_step(self, progress: float) -> None:
        """Store the share of the training that is done, on which the weights of the losses depend."""
        self.progress = progress

    def loss_weights(self) -> tuple[float, float]:
        """Return the weights of an entry's loss: for entities, and for each link index.

        With z = 2·links + 1, t/T the share of the first `entities_first` of the steps that is done, and the mean over R link
        indices in the paper: ``max(1/z + 1 - t/T, 1/z)`` and ``min(R/z · t/T, R/z) / R``.
        """
        z = 2 * self.links + 1
        done = min(1.0, self.progress / self.entities_first) if self.entities_first else 1.0
        return 1 / z + 1 - done, done / z

    def factors(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Return left and right ``[batch, L, size]``, in the precision of the weights."""
        with torch.autocast(hidden.device.type, enabled=False):
            left, right = self.pair.weight.chunk(2, dim=1)
            hidden = hidden.to(self.pair.weight.dtype)
            return nn.functional.linear(hidden, left, self.pair.bias), nn.functional.linear(hidden, right)

    def collate(self, entries: Tensors, mask: Tensor) -> Tagged:
        """Return the gold tags."""
        sides = boundaries(mask, entries) if NO_BOUNDARY in entries else None
        entities, starts, ends = (entries[name] for name in self.taggers)
        return Tagged.build(entities, starts, ends, mask, self.links, sides=sides)

    def losses(
        self, hidden: Tensor, mask: Tensor, targets: Tagged, weights: Tensors | None = None
    ) -> dict[str, Tensor]:
        """Return the weighted losses, summed over entries and averaged over the batch."""
        entity, link = self.loss_weights()
        share = {name: torch.ones_like(tagger.bias[:, 0]).detach() for name, tagger in self._taggers()}
        if weights is not None:
            share = {name: part * weights[name].to(part) for name, part in share.items()}
        starts, ends = share["start_links"] * link, share["end_links"] * link
        taggers = Taggers(
            torch.cat([tagger.weight[:, tag] for tagger, tag in self._columns()]),
            torch.cat([tagger.bias[:, tag] for tagger, tag in self._columns()]),
            torch.cat([share["entities"] * entity, starts, ends, starts, ends]),
        )
        losses = handshaking_loss(*self.factors(hidden), taggers, mask, targets)
        return dict(zip(self.taggers, losses, strict=True))

    def _taggers(self) -> Iterator[tuple[str, Tagger]]:
        for name, tagger in self.taggers.items():
            yield name, cast(Tagger, tagger)

    def _columns(self) -> Iterator[tuple[Tagger, int]]:
        """Yield the taggers with their tags in the order of `Taggers`."""
        entities, *links = (tagger for _, tagger in self._taggers())
        yield entities, 0
        for tag in (0, 1):
            for tagger in links:
                yield tagger, tag

    def outputs(self, hidden: Tensor) -> dict[str, Tensor]:
        """Return left and right ``[batch, 1, L, size]``, and the taggers' weights with an axis of size 1 for all samples."""
        left, right = self.factors(hidden)
        found = {"entities.left": left[:, None], "entities.right": right[:, None]}
        for name, tagger in self._taggers():
            weight = tagger.weight[:, 0] if name == "entities" else tagger.weight
            bias = tagger.bias[:, 0] if name == "entities" else tagger.bias
            found |= {f"{name}.weight": weight[None], f"{name}.bias": bias[None]}
        return found

    def blocks(self, hidden: Tensor) -> dict[str, Iterator[dict[str, Tensor]]]:
        """Return the outputs by matrix, in one block each."""
        found: dict[str, dict[str, Tensor]] = {name: {} for name in self.taggers}
        for name, tensor in self.outputs(hidden).items():
            matrix, _, factor = name.partition(".")
            found[matrix][factor] = tensor
        return {name: iter([block]) for name, block in found.items()}

    def label_rows(self) -> dict[str, LabelRows]:
        """Return the rows of each tagger."""
        return {f"taggers.{name}.{part}": LabelRows(name) for name in self.taggers for part in ("weight", "bias")}


def build(
    hidden_size: int,
    labels: Mapping[str, int],
    /,
    *,
    head_size: int | None = None,
    entities_first: float = 0.05,
) -> TPLinkerHead:
    """Build a head with fresh weights.

    Args:
        hidden_size: the size of the encoder's output.
        labels: the number of labels of ``entities``, ``start_links`` and ``end_links``.
        head_size: the size of the vectors of pairs; None for that of the encoder's output.
        entities_first: the share of the steps in which the weight of the losses moves from entities to links.
    """
    return TPLinkerHead(hidden_size, labels, size=head_size or hidden_size, entities_first=entities_first)
