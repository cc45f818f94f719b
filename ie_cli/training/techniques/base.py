"""What a technique of training is: four verbs that the loop calls, and a state that checkpoints keep.

A technique changes the model before the optimizer sees it (`wrap_model`), how the gradients of a batch come about
(`compute_gradients`, e.g. a second pass on perturbed embeddings), what happens after a step (`after_step`, e.g. an average of
the weights), or the weights that are evaluated and kept (`evaluation_weights`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from typing import Protocol

from torch import Tensor, nn

from ie_cli.modeling.batch import Batch

Compute = Callable[[Batch], Tensor]
"""Adds the gradients of a batch to those of its step, and gives its loss."""


class Technique(Protocol):
    """A technique of one run; it is built anew for each run."""

    @property
    def name(self) -> str:
        """What its state is stored under."""

    def wrap_model(self, model: nn.Module) -> nn.Module:
        """The model to train: the same, changed in place; what it adds belongs to a module inside."""

    def compute_gradients(self, batch: Batch, compute: Compute) -> Tensor:
        """Add the gradients of a batch by calling `compute` once or several times; the loss to report.

        Where memory does not suffice, `compute` raises, and the whole step is done once more in smaller parts: leave the
        weights as they were found (`try … finally`), and change no state here, but in `after_step`.
        """

    def after_step(self, step: int) -> None:
        """The optimizer has made step number `step`."""

    def evaluation_weights(self) -> AbstractContextManager[None]:
        """Inside, the model has the weights that are evaluated and stored as the best model."""

    def state_dict(self) -> dict[str, Tensor]:
        """What a run needs to go on with exactly."""

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Put the state of a checkpoint back."""


class Techniques:
    """Several techniques as one, in their order: the first is the innermost."""

    def __init__(self, techniques: Sequence[Technique]) -> None:
        self._all = list(techniques)

    def wrap_model(self, model: nn.Module) -> nn.Module:
        """The model with all of them."""
        for technique in self._all:
            model = technique.wrap_model(model)
        return model

    def compute_gradients(self, batch: Batch, compute: Compute) -> Tensor:
        """Each computes by what those before it do."""
        for technique in self._all:
            compute = partial(technique.compute_gradients, compute=compute)
        return compute(batch)

    def after_step(self, step: int) -> None:
        """Tell all of them."""
        for technique in self._all:
            technique.after_step(step)

    @contextmanager
    def evaluation_weights(self) -> Iterator[None]:
        """The weights that all of them together give."""
        with ExitStack() as stack:
            for technique in self._all:
                stack.enter_context(technique.evaluation_weights())
            yield

    def tensors(self) -> dict[str, Tensor]:
        """The states of all, for a checkpoint."""
        return {
            f"technique.{technique.name}.{key}": tensor.detach().cpu().contiguous()
            for technique in self._all
            for key, tensor in technique.state_dict().items()
        }

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Put the states of a checkpoint back."""
        for technique in self._all:
            prefix = f"technique.{technique.name}."
            state = {key.removeprefix(prefix): tensor for key, tensor in tensors.items() if key.startswith(prefix)}
            technique.load_state_dict(state)
