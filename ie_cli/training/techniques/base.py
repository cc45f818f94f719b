"""The protocol for training techniques: four methods that the loop calls, and a state that checkpoints store.

A technique changes the model before the optimizer is built (`wrap_model`), how the gradients of a batch are computed
(`compute_gradients`, e.g. with a second pass on perturbed embeddings), what happens after a step (`after_step`, e.g.
averaging the weights), or the weights that are evaluated and stored (`evaluation_weights`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from typing import Protocol

from torch import Tensor, nn

from ie_cli.modeling.batch import Batch
from ie_cli.training.divided_tensors import stored_tensor

Compute = Callable[[Batch], Tensor]
"""Adds the gradients of a batch to those of its step, and returns its loss."""


class Technique(Protocol):
    """A technique for one run; a new instance is created for each run."""

    @property
    def name(self) -> str:
        """The name under which its state is stored."""

    def wrap_model(self, model: nn.Module) -> nn.Module:
        """Return the model to train: the same model changed in place; new parameters must belong to a module inside it."""

    def compute_gradients(self, batch: Batch, compute: Compute) -> Tensor:
        """Add the gradients of a batch by calling `compute` once or several times, and return the loss to report.

        If memory is insufficient, `compute` raises, and the step is repeated in smaller parts. Therefore restore the
        weights (`try … finally`), and change state only in `after_step`.
        """

    def after_step(self, step: int) -> None:
        """Handle the end of an optimizer step with the number `step`."""

    def evaluation_weights(self) -> AbstractContextManager[None]:
        """Return a context in which the model has the weights to evaluate and to store as the best model."""

    def state_dict(self) -> dict[str, Tensor]:
        """Return the state that is needed to resume a run exactly."""

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore the state from a checkpoint."""


class Techniques:
    """Combines several techniques; the first one is the innermost."""

    def __init__(self, techniques: Sequence[Technique]) -> None:
        self._all = list(techniques)

    def wrap_model(self, model: nn.Module) -> nn.Module:
        """Return the model with all techniques applied."""
        for technique in self._all:
            model = technique.wrap_model(model)
        return model

    def compute_gradients(self, batch: Batch, compute: Compute) -> Tensor:
        """Compute gradients, with each technique using the ones before it."""
        for technique in self._all:
            compute = partial(technique.compute_gradients, compute=compute)
        return compute(batch)

    def after_step(self, step: int) -> None:
        """Notify all techniques of the end of a step."""
        for technique in self._all:
            technique.after_step(step)

    @contextmanager
    def evaluation_weights(self) -> Iterator[None]:
        """Give the model the evaluation weights of all techniques."""
        with ExitStack() as stack:
            for technique in self._all:
                stack.enter_context(technique.evaluation_weights())
            yield

    def tensors(self) -> dict[str, Tensor]:
        """Return the states of all techniques for a checkpoint; see `stored_tensor`."""
        return {
            f"technique.{technique.name}.{key}": stored_tensor(tensor)
            for technique in self._all
            for key, tensor in technique.state_dict().items()
        }

    def nbytes(self) -> int:
        """Return the size of these states in bytes."""
        return sum(tensor.nbytes for technique in self._all for tensor in technique.state_dict().values())

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore the states of all techniques from a checkpoint."""
        for technique in self._all:
            prefix = f"technique.{technique.name}."
            state = {key.removeprefix(prefix): tensor for key, tensor in tensors.items() if key.startswith(prefix)}
            technique.load_state_dict(state)
