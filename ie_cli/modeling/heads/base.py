"""What a head is made of, and the form that most heads have: scorers, each of one table of cells."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from ie_cli.codecs.base import Codec
from ie_cli.errors import ModelError
from ie_cli.modeling.losses.factorised import Gold
from ie_cli.recipe.heads import HEADS, HeadSection

Tensors = Mapping[str, Tensor]


class Head(Protocol):
    """What stands on an encoder. `hidden` is the encoder's output ``[batch, L, hidden]``, of any precision."""

    def collate(self, cells: Tensors, mask: Tensor) -> Any:
        """The gold of a batch in the form that `losses` takes, from what `Codec.cells` gives; on the CPU.

        Args:
            mask: bool ``[batch, L]``, true on text tokens.
        """

    def losses(self, hidden: Tensor, mask: Tensor, targets: Any, weights: Tensors | None = None) -> dict[str, Tensor]:
        """Scalar losses by name, each a mean over the batch.

        Args:
            weights: of the rows' losses ``[rows]``, by table; 1 where not given.
        """

    def outputs(self, hidden: Tensor) -> dict[str, Tensor]:
        """All that a codec decodes, as named tensors ``TABLE.NAME``; the outputs of an exported graph."""

    def blocks(self, hidden: Tensor) -> dict[str, Iterator[dict[str, Tensor]]]:
        """The same by table, large tables in several blocks of rows."""

    def query(self, name: str, hidden: Tensor, arguments: Tensors) -> dict[str, Tensor]:
        """What decoding asks for in a second pass over the hidden states, e.g. the objects of some subjects."""


class Builder(Protocol):
    """Builds a head with fresh weights; its keyword-only arguments are what a recipe may set."""

    def __call__(self, hidden_size: int, rows: Mapping[str, int], /, **options: Any) -> nn.Module:
        """Positional is what the house gives: the size of the encoder's output, and the number of rows of each table."""


def build_head(section: HeadSection, *, hidden_size: int, codec: Codec) -> nn.Module:
    """The head that a recipe names, with fresh weights."""
    builder = cast(Builder, HEADS[section.name].builder())
    parameters = inspect.signature(builder).parameters.values()
    options = {p.name: getattr(section, p.name) for p in parameters if p.kind is p.KEYWORD_ONLY}
    return builder(hidden_size, {table: len(names) for table, names in codec.tables.items()}, **options)


class Scorer(Protocol):
    """Scores the cells (row, i, j) of a table.

    Attributes:
        upper: only cells i ≤ j count, as in spans.
    """

    upper: bool

    def loss(self, hidden: Tensor, mask: Tensor, gold: Gold, weights: Tensor | None = None) -> Tensor:
        """Scalar loss, summed over rows, averaged over the batch; `mask` bool ``[batch, L]``, true on text tokens."""

    def tensors(self, hidden: Tensor) -> dict[str, Tensor]:
        """The factors of the scores of all rows, named as in `codecs.factors`."""

    def blocks(self, hidden: Tensor) -> Iterator[dict[str, Tensor]]:
        """The same, a block of rows at a time."""


class TableHead(nn.Module):
    """A head of scorers, each of one table; their losses are added by whoever trains.

    Args:
        scorers: by table, in the order of the codec's tables.
    """

    def __init__(self, scorers: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.tables = nn.ModuleDict(scorers)

    def _scorers(self) -> Iterator[tuple[str, Scorer]]:
        for name, scorer in self.tables.items():
            yield name, cast(Scorer, scorer)

    def collate(self, cells: Tensors, mask: Tensor) -> dict[str, Gold]:
        """The gold cells of each table, sorted and checked."""
        return {name: Gold.build(cells[name], mask, upper=scorer.upper) for name, scorer in self._scorers()}

    def losses(
        self, hidden: Tensor, mask: Tensor, targets: Mapping[str, Gold], weights: Tensors | None = None
    ) -> dict[str, Tensor]:
        """The loss of each table."""
        return {
            name: scorer.loss(hidden, mask, targets[name], weights[name] if weights is not None else None)
            for name, scorer in self._scorers()
        }

    def outputs(self, hidden: Tensor) -> dict[str, Tensor]:
        """The factors of all tables."""
        return {
            f"{name}.{factor}": tensor
            for name, scorer in self._scorers()
            for factor, tensor in scorer.tensors(hidden).items()
        }

    def blocks(self, hidden: Tensor) -> dict[str, Iterator[dict[str, Tensor]]]:
        """The factors of each table, in blocks."""
        return {name: scorer.blocks(hidden) for name, scorer in self._scorers()}

    def query(self, name: str, hidden: Tensor, arguments: Tensors) -> dict[str, Tensor]:
        """Tables are complete: nothing is asked for later."""
        raise ModelError(f"the head has no output '{name}' that takes arguments")


def move(targets: Any, device: torch.device) -> Any:
    """Targets of any form, i.e. tensors, what has a method `to`, and mappings and tuples of these, on a device."""
    if isinstance(targets, Mapping):
        return {name: move(part, device) for name, part in targets.items()}
    if isinstance(targets, tuple):
        return tuple(move(part, device) for part in targets)
    return targets.to(device)
