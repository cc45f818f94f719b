"""The protocol of heads, and the form that most heads have: one scorer per score matrix."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, cast

import torch
from torch import Tensor, nn

from ie_cli.codecs.base import Codec
from ie_cli.encoding.word_boundaries import NO_BOUNDARY
from ie_cli.errors import ModelError
from ie_cli.modeling.devices import to_device
from ie_cli.modeling.losses.divergence import divergence
from ie_cli.modeling.losses.factorised import Gold, boundaries
from ie_cli.modeling.losses.label_blocks import LabelScores
from ie_cli.modeling.losses.options import LossOptions
from ie_cli.recipe.heads import HEADS, HeadSection

Tensors = Mapping[str, Tensor]


@dataclass(frozen=True, slots=True)
class LabelRows:
    """How the first axis of a parameter is indexed: `blocks` consecutive blocks, each with one row per label of a matrix.

    With `columns`, the second axis is indexed in the same way.
    """

    matrix: str
    blocks: int = 1
    columns: bool = False


class Head(Protocol):
    """A head on top of an encoder. `hidden` is what `read` keeps of the encoder's output.

    `HeadModule` has what is the same in most heads: they read everything, ``[batch, L, hidden]`` in any precision; they have no
    queries, no learning rates of their own, and nothing to prepare for a step.
    """

    @property
    def queries(self) -> Mapping[str, Sequence[str]]:
        """The queries that the head answers, and the names of their arguments; a query of a matrix has the matrix's name."""

    @property
    def additive(self) -> bool:
        """Whether the losses of a batch are the means of those of its samples.

        Otherwise they compare the samples with each other: `losses` is then a function of `hidden` without weights of the
        head, and a batch that is computed in parts has the losses of all its samples together.
        """

    @property
    def input_dropout(self) -> nn.Dropout:
        """The dropout of what `read` keeps, in training; its probability is that of the recipe."""

    @property
    def needs_first_layer(self) -> bool:
        """Whether `read` takes the output of the encoder's first layer."""

    def read(self, hidden: Tensor, mask: Tensor, first: Tensor | None) -> Tensor:
        """Return what the head keeps of the encoder's output, e.g. one vector per row; the input of all other methods.

        Args:
            hidden: the encoder's output ``[rows, L, hidden]``, in any precision.
            mask: the attention mask, bool ``[rows, L]``.
            first: the output of the encoder's first layer, if `needs_first_layer`.
        """

    def collate(self, entries: Tensors, mask: Tensor) -> Any:
        """Convert the gold entries of a batch, from `Codec.entries`, to the targets that `losses` takes; on the CPU.

        Args:
            entries: int64 ``[entries, columns]`` by score matrix, the first column being the sample; `NO_BOUNDARY` names the
                tokens that spans may not start or end with, if there are any: their entries are not negative examples.
            mask: bool ``[batch, L]``, true on text tokens.
        """

    def begin_step(self, progress: float) -> None:
        """Prepare for the next step of training, e.g. for weights of losses that change; most heads do nothing.

        Args:
            progress: the share of the steps that is completed, from 0 at the first step to less than 1 at the last; also after
                a run is resumed.
        """

    def losses(self, hidden: Tensor, mask: Tensor, targets: Any, weights: Tensors | None = None) -> dict[str, Tensor]:
        """Return scalar losses by name, each a mean over the batch.

        Args:
            hidden: the encoder's output.
            mask: bool ``[batch, L]``, true on text tokens.
            targets: the targets from `collate`.
            weights: the weight of each label's loss ``[labels]``, by score matrix; 1 if omitted.
        """

    def set_loss_options(self, options: LossOptions) -> None:
        """Change the losses of the following batches.

        Raises:
            ModelError: the losses have no such options.
        """

    def divergences(
        self, one: Tensor, two: Tensor, mask: Tensor, targets: Any, weights: Tensors | None = None
    ) -> dict[str, Tensor]:
        """Return by loss how far the scores for two hidden states of the same batch differ, each a mean over the batch.

        Raises:
            ModelError: the scores have no such measure.
        """

    def outputs(self, hidden: Tensor) -> dict[str, Tensor]:
        """Return everything that the codec decodes as named tensors ``MATRIX.NAME``, the outputs of an exported graph.

        Their first axis is that of the samples, unless a tensor is the same for all samples.
        """

    def blocks(self, hidden: Tensor) -> dict[str, Iterator[dict[str, Tensor]]]:
        """Return the outputs by score matrix, large matrices in several blocks of labels."""

    def query(self, name: str, hidden: Tensor, arguments: Tensors) -> dict[str, Tensor]:
        """Compute an output that decoding requests in a second pass over the hidden states, e.g. the objects of subjects.

        Args:
            name: the name of the output.
            hidden: the encoder's output.
            arguments: by name, int64 ``[items]`` each.

        Returns:
            The arrays of the output by name, ``[items, …]`` each.
        """

    def label_rows(self) -> Mapping[str, LabelRows]:
        """Return the parameters that have rows of their own for each label; all labels share the others."""

    def learning_rates(self) -> Mapping[str, float]:
        """Return the learning rates of parameters with one of their own; these have no weight decay."""

    def rate_factors(self) -> Mapping[str, float]:
        """Return by how much parameters learn faster than the head's learning rate, for those that do."""


class HeadModule(nn.Module):
    """The base class of heads: a module that is decoded in one pass, and is trained in the same way in every step."""

    queries: ClassVar[Mapping[str, Sequence[str]]] = {}
    additive: bool = True
    needs_first_layer: bool = False

    def __init__(self) -> None:
        super().__init__()
        self.input_dropout = nn.Dropout(0.0)

    def read(self, hidden: Tensor, mask: Tensor, first: Tensor | None) -> Tensor:
        """Return all of the encoder's output."""
        return hidden

    def begin_step(self, progress: float) -> None:
        """Do nothing: the losses are the same in every step."""

    def set_loss_options(self, options: LossOptions) -> None:
        """Raise an error, unless the options are those of the plain losses."""
        if options != LossOptions():
            raise ModelError(f"the losses of {type(self).__name__} have no options")

    def divergences(
        self, one: Tensor, two: Tensor, mask: Tensor, targets: Any, weights: Tensors | None = None
    ) -> dict[str, Tensor]:
        """Raise an error: the scores are not those of spans."""
        raise ModelError(f"the scores of {type(self).__name__} cannot be compared")

    def query(self, name: str, hidden: Tensor, arguments: Tensors) -> dict[str, Tensor]:
        """Raise an error: the outputs are complete after the first pass."""
        raise ModelError(f"the head has no output '{name}' that takes arguments")

    def learning_rates(self) -> Mapping[str, float]:
        """Return nothing: all parameters have the learning rate of heads."""
        return {}

    def rate_factors(self) -> Mapping[str, float]:
        """Return nothing: all parameters learn equally fast."""
        return {}


class Builder(Protocol):
    """Builds a head with fresh weights; its keyword-only arguments are the fields that a recipe may set."""

    def __call__(self, hidden_size: int, labels: Mapping[str, int], /, **options: Any) -> nn.Module:
        """Build a head.

        Args:
            hidden_size: the size of the encoder's output.
            labels: the number of labels (or predicates) of each score matrix.
            options: the fields of the head's section in the recipe.
        """


def build_head(section: HeadSection, *, hidden_size: int, codec: Codec) -> nn.Module:
    """Build the head that a recipe names, with fresh weights."""
    builder = cast(Builder, HEADS[section.name].builder())
    labels = {matrix: len(names) for matrix, names in codec.matrices.items()}
    head = builder(hidden_size, labels, **building_options(section))
    if not isinstance(head, HeadModule):
        raise ModelError(
            f"the head {section.name} is a {type(head).__name__}, which is not a HeadModule",
            hint="derive it from ie_cli.modeling.heads.base.HeadModule.",
        )
    head.input_dropout.p = section.input_dropout
    return head


def building_options(section: HeadSection) -> dict[str, Any]:
    """Return the options of a head that its weights depend on: the keyword-only arguments of its builder."""
    parameters = inspect.signature(HEADS[section.name].builder()).parameters.values()
    return {p.name: getattr(section, p.name) for p in parameters if p.kind is p.KEYWORD_ONLY}


class Scorer(Protocol):
    """Scores the entries (label, i, j) of a score matrix.

    Attributes:
        upper: only entries with i ≤ j are valid, as for spans.
        label_blocks: the parameters with rows of their own for each label, and their number of blocks (see `LabelRows`).
        options: options of the loss.
        rate_factors: by how much parameters learn faster than the head's learning rate, for those that do; it may be missing.
    """

    upper: bool
    label_blocks: Mapping[str, int]
    options: LossOptions
    rate_factors: Mapping[str, float]

    def loss(self, hidden: Tensor, mask: Tensor, gold: Gold, weights: Tensor | None = None) -> Tensor:
        """Return the scalar loss, summed over labels and averaged over the batch.

        Args:
            hidden: the encoder's output ``[batch, L, hidden]``.
            mask: bool ``[batch, L]``, true on text tokens.
            gold: the gold entries.
            weights: the weight of each label's loss ``[labels]``; 1 if omitted.
        """

    def tensors(self, hidden: Tensor) -> dict[str, Tensor]:
        """Return the factors of the scores of all labels, named as in `codecs.factors`."""

    def blocks(self, hidden: Tensor) -> Iterator[dict[str, Tensor]]:
        """Yield the factors, one block of labels at a time."""


class SpanScorer(Scorer, Protocol):
    """Scores entries independently of each other."""

    def label_scores(self, hidden: Tensor) -> LabelScores:
        """Return the scores, to be computed for some labels at a time."""


class MatrixHead(HeadModule):
    """A head with one scorer per score matrix; it returns one loss for each.

    Args:
        scorers: by score matrix, in the order of the codec's matrices.
        sides: by score matrix, whether the tokens of its entries are starts (0) or ends (1) of spans; by default, the first is
            a start and the second is an end.
    """

    def __init__(self, scorers: Mapping[str, nn.Module], *, sides: Mapping[str, tuple[int, int]] | None = None) -> None:
        super().__init__()
        self.sides = sides or {}
        self.tables = nn.ModuleDict(scorers)  # the attribute's name is part of the names of stored weights

    def _scorers(self) -> Iterator[tuple[str, Scorer]]:
        for name, scorer in self.tables.items():
            yield name, cast(Scorer, scorer)

    def collate(self, entries: Tensors, mask: Tensor) -> dict[str, Gold]:
        """Return the gold entries of each score matrix, sorted and validated, and which tokens entries may have."""
        both = boundaries(mask, entries) if NO_BOUNDARY in entries else None
        gold = {}
        for name, scorer in self._scorers():
            first, last = self.sides.get(name, (0, 1))
            sides = None if both is None else (both[first], both[last])
            gold[name] = Gold.build(entries[name], mask, upper=scorer.upper, sides=sides)
        return gold

    def losses(
        self, hidden: Tensor, mask: Tensor, targets: Mapping[str, Gold], weights: Tensors | None = None
    ) -> dict[str, Tensor]:
        """Return the loss of each score matrix."""
        return {
            name: scorer.loss(hidden, mask, targets[name], weights[name] if weights is not None else None)
            for name, scorer in self._scorers()
        }

    def set_loss_options(self, options: LossOptions) -> None:
        """Set the options of all scorers."""
        for _, scorer in self._scorers():
            scorer.options = options

    def divergences(
        self, one: Tensor, two: Tensor, mask: Tensor, targets: Any, weights: Tensors | None = None
    ) -> dict[str, Tensor]:
        """Return the divergence of each score matrix, if its scorer is a `SpanScorer`."""
        return {
            name: divergence(
                cast(SpanScorer, scorer).label_scores(one),
                cast(SpanScorer, scorer).label_scores(two),
                mask,
                sides=targets[name].sides,
                upper=scorer.upper,
                weights=weights[name] if weights is not None else None,
            )
            for name, scorer in self._scorers()
        }

    def outputs(self, hidden: Tensor) -> dict[str, Tensor]:
        """Return the factors of all score matrices."""
        return {
            f"{name}.{factor}": tensor
            for name, scorer in self._scorers()
            for factor, tensor in scorer.tensors(hidden).items()
        }

    def blocks(self, hidden: Tensor) -> dict[str, Iterator[dict[str, Tensor]]]:
        """Return the factors of each score matrix, in blocks."""
        return {name: scorer.blocks(hidden) for name, scorer in self._scorers()}

    def label_rows(self) -> dict[str, LabelRows]:
        """Return the rows of each scorer."""
        return {
            f"tables.{name}.{parameter}": LabelRows(name, blocks)
            for name, scorer in self._scorers()
            for parameter, blocks in scorer.label_blocks.items()
        }

    def rate_factors(self) -> dict[str, float]:
        """Return the factors of each scorer."""
        return {
            f"tables.{name}.{parameter}": factor
            for name, scorer in self._scorers()
            for parameter, factor in getattr(scorer, "rate_factors", {}).items()
        }


def move(targets: Any, device: torch.device) -> Any:
    """Move targets to a device: tensors, objects with a method `to`, and mappings and tuples of these."""
    if isinstance(targets, Mapping):
        return {name: move(part, device) for name, part in targets.items()}
    if isinstance(targets, tuple):
        return tuple(move(part, device) for part in targets)
    return to_device(targets, device) if isinstance(targets, Tensor) else targets.to(device)
