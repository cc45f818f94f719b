"""Divide the weights of a model over the processes of a run with FSDP2 (`training.shard_weights`).

Each process keeps a part of every weight, of its gradient and of the state of the optimizer. A layer of the encoder is gathered
while it is computed, and so are the embeddings and heads during a pass; the gradients are averaged and divided in the backward
pass. Every pass is therefore an exchange: all processes compute the same number of parts of every batch, and none can repeat one
alone. All weights together are in the memory of a process only while the model is evaluated or stored.
"""

from __future__ import annotations

import atexit
import copy
import re
import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard

from ie_cli.errors import RecipeError, TrainingError
from ie_cli.modeling.batch import Batch
from ie_cli.modeling.model import ExtractionModel
from ie_cli.recipe.messages import dotted
from ie_cli.recipe.schema import Recipe
from ie_cli.recipe.sharding import FIELD, sharding_problems
from ie_cli.system.memory import is_out_of_memory
from ie_cli.training.cached_gradients import CachedGradients
from ie_cli.training.divided_tensors import divided_like, whole_tensor
from ie_cli.training.micro_batching import MicroBatching, split
from ie_cli.training.processes import Processes, exchanging
from ie_cli.training.setup import TrainingSetup
from ie_cli.training.techniques.base import Technique

Backward = Callable[[Batch, float], Tensor]
_OMIT = f"omit {FIELD}."
_LAYER = re.compile(r"(?:^|\.)layers?\.\d+(?=\.|$)")
"""A layer of the encoder, as part of the name of a module."""


class WholeModel:
    """The model of a run that each process has as a whole.

    Attributes:
        model: the model to train.
        divided: whether its weights are divided over the processes.
    """

    divided = False

    def __init__(self, recipe: Recipe, setup: TrainingSetup, processes: Processes, device: torch.device) -> None:
        self.model = setup.model
        self._setup, self._processes, self._device = setup, processes, device
        self._accumulation = recipe.training.accumulation

    def batching(self, backward: Backward, reset: Callable[[], None], parts: int) -> MicroBatching | Lockstep:
        """Return what computes the gradients of batches; see `MicroBatching`."""
        cached = CachedGradients(
            self.model,
            self._setup.weights_on(self._device),
            accumulation=self._accumulation,
            processes=self._processes,
        )
        return MicroBatching(backward, reset, parts, cached=cached, processes=self._processes, device=self._device)

    def whole(self) -> AbstractContextManager[None]:
        """Return a context in which the model to evaluate and to store has the weights of the model to train."""
        return nullcontext()

    def release(self) -> None:
        """Free the memory of weights that are needed only to evaluate and to store the model."""

    def distribute(self) -> None:
        """Give the model to train the weights of the model to evaluate, which were loaded from a checkpoint."""

    def parameters_to_average(self) -> list[nn.Parameter]:
        """Return the parameters whose gradients are those of this process alone, until the end of a step."""
        return list(self.model.parameters())


class DividedModel(WholeModel):
    """The model of a run whose weights are divided over the processes; all of its methods are to be called by all of them.

    The model of the setup is the one to evaluate and to store. Its weights are the same in all processes, and gathered on demand.

    Raises:
        TrainingError: the weights cannot be divided, or the loss would be scaled.
    """

    divided = True

    def __init__(self, recipe: Recipe, setup: TrainingSetup, processes: Processes, device: torch.device) -> None:
        if setup.precision == "float16":
            raise TrainingError(
                f"{FIELD} does not support float16, which training.precision: auto results in on this machine",
                hint="set training.precision: float32, or omit training.shard_weights.",
            )
        super().__init__(recipe, setup, processes, device)
        self._whole = setup.model
        # Until a layer is divided, both models have the same memory.
        shared = {
            id(weight): nn.Parameter(weight.detach(), weight.requires_grad) for weight in self._whole.parameters()
        }
        self.model = copy.deepcopy(self._whole, shared)
        self.model.register_forward_hook(_use_all_weights)  # before those of FSDP2, while the weights are gathered
        _divide(self.model, device)

    def batching(self, backward: Backward, reset: Callable[[], None], parts: int) -> MicroBatching | Lockstep:
        """Return what computes the gradients of batches in all processes together."""
        return Lockstep(backward, parts, device=self._device)

    @contextmanager
    def whole(self) -> Iterator[None]:
        """Gather the weights inside the context."""
        with torch.no_grad():
            for weight, part in zip(self._whole.parameters(), self.model.parameters(), strict=True):
                weight.data = whole_tensor(part)
            for buffer, current in zip(self._whole.buffers(), self.model.buffers(), strict=True):
                buffer.copy_(current)
        try:
            yield
        finally:
            self.release()

    def release(self) -> None:
        """Free the memory of the whole weights."""
        for weight in self._whole.parameters():
            weight.data = weight.data.new_empty(0)

    def distribute(self) -> None:
        """Divide the weights that were loaded into the whole model, before they are released; buffers are not divided."""
        with torch.no_grad():
            for part, weight in zip(self.model.parameters(), self._whole.parameters(), strict=True):
                part.copy_(divided_like(part, weight))
            for buffer, loaded in zip(self.model.buffers(), self._whole.buffers(), strict=True):
                buffer.copy_(loaded)

    def parameters_to_average(self) -> list[nn.Parameter]:
        """Return nothing: FSDP2 averages all gradients in the backward pass."""
        return []


def _divide(model: ExtractionModel, device: torch.device) -> None:
    """Divide the weights: those of a layer of the encoder are gathered together, and so are all others."""
    if (number := next((name for name, weight in model.named_parameters() if not weight.ndim), None)) is not None:
        raise TrainingError(f"{FIELD}: the weight {number} is a single number, which cannot be divided", hint=_OMIT)
    mesh = DeviceMesh.from_group(distributed.group.WORLD, device.type)  # type: ignore[arg-type]
    atexit.register(_release_connection, weakref.ref(mesh))  # before the connections are closed
    for layer in layers_of(model):
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)


def _release_connection(mesh: weakref.ref[DeviceMesh]) -> None:
    """Let a mesh, which torch keeps in its caches, refer to no connection, whose threads would abort the process at its end."""
    getattr(mesh(), "_pg_registry", {}).clear()


def layers_of(model: ExtractionModel) -> list[nn.Module]:
    """Return the layers of the encoder, without layers of layers, and without those that share weights with others."""
    found = [
        module
        for name, module in model.encoder.named_modules()
        if (match := _LAYER.search(name)) is not None and match.end() == len(name)
    ]
    names = model.named_parameters(remove_duplicate=False)
    uses = Counter(id(weight) for _, weight in names)
    return [layer for layer in found if all(uses[id(weight)] == 1 for weight in layer.parameters())]


def _use_all_weights(model: Any, arguments: tuple[Any, ...], losses: Any) -> Any:
    """Let a loss depend on all weights of its head.

    The processes exchange the gradients that there are, and must not differ in which these are, as they would if a head needed
    some of its weights only for certain gold.
    """
    [batch] = arguments[:1]
    name = next(iter(losses))
    unused = sum(parameter.sum() for parameter in model.head(batch.task).parameters()) * 0.0
    return {**losses, name: losses[name] + unused}


class Lockstep:
    """Computes the gradients of batches in the same number of parts in all processes.

    A process that has no sample of a batch, or fewer than there are parts, computes one without weight, so that it takes part in
    the exchange of weights and gradients.

    Args:
        backward: computes loss and gradient of a part, with the loss times a weight; returns the loss without it.
        parts: number of parts.
        device: where the parts are moved to; the batches are on the CPU.
    """

    cached = None

    def __init__(self, backward: Backward, parts: int, *, device: torch.device) -> None:
        self._backward, self.parts, self._device = backward, parts, device

    def add(self, batch: Batch, *, last: bool) -> Tensor:
        """Add the gradient of a batch to those of its step, and return its mean loss times its weight.

        Raises:
            TrainingError: memory is insufficient, or another process has ended.
        """
        total = torch.zeros((), device=self._device)
        try:
            with exchanging(computes=True):
                for part, share in self._parts(batch):
                    total = total + self._backward(part.to(self._device), share) * share
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise TrainingError(
                f"out of memory; with {FIELD}, a process cannot repeat its share of a batch in smaller parts",
                hint="continue from the last checkpoint with more processes and --resume, or start again with a lower "
                "training.batch_size or encoder.gradient_checkpointing: true.",
            ) from error
        return total

    def _parts(self, batch: Batch) -> Iterator[tuple[Batch, float]]:
        """Yield as many parts as all processes compute, with their weights."""
        parts = list(split(batch, self.parts))
        yield from ((part, batch.weight * len(part) / len(batch)) for part in parts)
        yield from [(batch.part(0, 1), 0.0)] * (self.parts - len(parts))


def place(recipe: Recipe, setup: TrainingSetup, processes: Processes, device: torch.device) -> WholeModel:
    """Return the model to train, with its weights divided over several processes if the recipe says so."""
    return (DividedModel if divides(recipe, processes) else WholeModel)(recipe, setup, processes, device)


def divides(recipe: Recipe, processes: Processes) -> bool:
    """Return whether weights are divided over the processes."""
    return recipe.training.shard_weights and processes.several


def require_divisible(recipe: Recipe, techniques: Sequence[Technique]) -> None:
    """Check that a recipe that asks for divided weights has nothing that needs whole ones.

    Args:
        recipe: the recipe.
        techniques: those that the recipe does not name.

    Raises:
        RecipeError: a field of the recipe needs whole weights.
        TrainingError: a technique may need them.
    """
    for loc, message in sharding_problems(recipe):  # a recipe built in Python has not been checked
        raise RecipeError(f"{dotted(loc)}: {message}", hint=_OMIT)
    if recipe.training.shard_weights and techniques:
        names = ", ".join(technique.name for technique in techniques)
        raise TrainingError(
            f"{FIELD} does not support techniques that are given to `train`, such as {names}", hint=_OMIT
        )


def sharding_notes(recipe: Recipe, processes: Processes) -> list[str]:
    """Say that a single process has nothing to divide the weights with."""
    if recipe.training.shard_weights and not processes.several:
        return [f"{FIELD} has no effect: there is one process, which has all weights; start several with --processes"]
    return []
