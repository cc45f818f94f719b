"""The processes of a run: each computes a share of every batch, and has the whole model, or a part of all weights.

They exchange the gradients once per step, through the backend of the device, and everything else through a group of `gloo`, whose
messages are in main memory and few. Every method below but the properties is to be called by all processes, in the same order.
"""

from __future__ import annotations

import atexit
import gc
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, TypeVar

import torch
from accelerate import PartialState
from torch import Tensor, distributed, nn

from ie_cli.errors import IEError, TrainingError
from ie_cli.modeling.devices import choose_device
from ie_cli.recipe.schema import Recipe
from ie_cli.system.launcher import PATIENCE, launched_rank, number_of_processes
from ie_cli.system.memory import is_out_of_memory

Result = TypeVar("Result")

_BUCKET = 2**25
"""Number of bytes of the gradients that are exchanged together: a copy of so many is needed."""
_LONGEST = timedelta(days=2)
"""How long processes wait for another one, e.g. for the first to write the model; one that has ended is noticed at once."""
_LAST_WORDS = timedelta(seconds=PATIENCE)
_NOISE = re.compile(r"^\[[^\]\s]*:\d+\] |\. This is typically caused by .*")
"""What messages of `gloo` have around the reason: a line of its code, and general advice."""
_LOST = re.compile(r"connection|connect |(read|write) error|broken pipe|timed? ?out|remote|peer", re.IGNORECASE)
"""What messages of `gloo` and NCCL about a connection have in common."""
_ENGINES = {
    "ACCELERATE_USE_FSDP": "FSDP",
    "ACCELERATE_USE_DEEPSPEED": "DeepSpeed",
    "ACCELERATE_USE_MEGATRON_LM": "Megatron-LM",
}


_control: list[Any] = []
"""The group for messages in main memory, which all runs of this process share."""


class Processes:
    """The processes of a run; by default, there is one.

    Args:
        rank: the number of this process, counted from 0.
        count: the number of processes.
        group: the group for messages in main memory; None if there is one process.
    """

    def __init__(self, rank: int = 0, count: int = 1, group: Any = None) -> None:
        self.rank, self.count, self._group = rank, count, group

    @classmethod
    def connect(cls, recipe: Recipe) -> Processes:
        """Connect with the other processes of a launcher, or return the only process.

        Raises:
            TrainingError: the variables of the launcher are wrong, or ask for an engine that is not supported.
        """
        launched_rank()
        if number_of_processes() == 1:
            return cls()
        for name, engine in _ENGINES.items():
            if os.environ.get(name, "").lower() in ("1", "true"):
                raise TrainingError(
                    f"the launcher asks for {engine} ({name}), with which `ie` does not train",
                    hint="start it with `torchrun`, or with a configuration of accelerate without this engine; "
                    "training.shard_weights: true divides the weights over the processes.",
                )
        state = PartialState(cpu=choose_device(recipe.training.device).type == "cpu")
        if not _control:
            _control.append(distributed.new_group(backend="gloo", timeout=_LONGEST))
            atexit.register(_disconnect)
        return cls(state.process_index, state.num_processes, _control[0])

    @property
    def first(self) -> bool:
        """Whether this process writes and reports."""
        return self.rank == 0

    @property
    def several(self) -> bool:
        """Whether there are several processes."""
        return self.count > 1

    def gather(self, value: Result) -> list[Result]:
        """Return the values of all processes, by number."""
        if not self.several:
            return [value]
        found: list[Any] = [None] * self.count
        with exchanging():
            distributed.all_gather_object(found, value, group=self._group)
        return found

    def collect(self, value: Result) -> list[Result]:
        """Return the values of all processes, by number, in the first one; an empty list in the others."""
        if not self.several:
            return [value]
        found: list[Any] | None = [None] * self.count if self.first else None
        with exchanging():
            distributed.gather_object(value, found, dst=0, group=self._group)
        return found or []

    def from_first(self, value: Result) -> Result:
        """Return the value of the first process."""
        if not self.several:
            return value
        found: list[Any] = [value]
        with exchanging():
            distributed.broadcast_object_list(found, src=0, group=self._group)
        return found[0]  # type: ignore[no-any-return]

    def together(self, action: Callable[[], Result]) -> Result:
        """Do something in all processes, and return the result; if it fails in one of them, all raise the error."""
        result: Result = self._checked(action, self.gather)
        return result

    def on_first(self, action: Callable[[], Result]) -> Result:
        """Do something in the first process only, and return its result, or raise its error, in all."""
        if not self.several:
            return action()
        result: Result = self._checked(action if self.first else _nothing, lambda error: [self.from_first(error)])
        return self.from_first(result)

    def _checked(self, action: Callable[[], Any], exchange: Callable[[Any], Sequence[Any]]) -> Any:
        if not self.several:
            return action()
        result, error = None, None
        try:
            result = action()
        except Exception as raised:
            error = raised
        for number, other in enumerate(exchange(None if error is None else _described(error))):
            if other is not None:
                kind, message, hint = other
                if error is not None and not isinstance(error, IEError):
                    raise error
                where = "" if number == 0 or issubclass(kind, IEError) else f"process {number}: "
                raise reported_once(kind(f"{where}{message}", hint=hint)) from error
        return result

    def highest(self, values: Sequence[int]) -> list[int]:
        """Return the highest of the values that the processes have at each place."""
        if not self.several:
            return list(values)
        found = torch.tensor(values, dtype=torch.int64)
        with exchanging():
            distributed.all_reduce(found, distributed.ReduceOp.MAX, group=self._group)
        highest: list[int] = found.tolist()
        return highest

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors, whose shapes are the same in all processes, by their means, in place."""
        if self.several:
            for bucket in _buckets(tensors):
                self._average(bucket)

    def _average(self, bucket: Sequence[Tensor]) -> None:
        flat = torch.cat([tensor.flatten() for tensor in bucket])
        with exchanging():
            distributed.all_reduce(flat)
        flat.div_(self.count)
        for tensor, mean in zip(bucket, torch.split(flat, [tensor.numel() for tensor in bucket]), strict=True):
            tensor.copy_(mean.view_as(tensor))

    def average_gradients(self, parameters: Sequence[nn.Parameter], present: Sequence[int]) -> None:
        """Replace the gradients of some parameters by their means over all processes.

        Args:
            parameters: the parameters.
            present: for each parameter, whether a process has a gradient; where this one has none, it is 0.
        """
        found = []
        for parameter, there in zip(parameters, present, strict=True):
            if there:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
                found.append(parameter.grad)
        self.average(found)

    def same_weights(self, model: nn.Module) -> None:
        """Copy the weights and buffers of the first process to all."""
        if self.several:
            with exchanging(), torch.no_grad():
                for tensor in (*model.parameters(), *model.buffers()):
                    distributed.broadcast(tensor.data, src=0)


def reported_once(error: IEError) -> IEError:
    """Mark an error that all processes raise, so that only the first one reports it."""
    error.everywhere = True
    return error


def is_connected() -> bool:
    """Return whether this process has been connected with the others of a launcher."""
    return bool(_control) and distributed.is_initialized()


def wait_for_end_of_first() -> None:
    """Wait, for some seconds, until the first process has reported an error and ended, which closes its connection.

    A launcher ends all processes as soon as one has failed, so the first one would not be able to report what happened. It does
    not call this function.
    """
    if is_connected():
        options = distributed.BroadcastOptions()
        options.rootRank, options.timeout = 0, _LAST_WORDS
        with suppress(RuntimeError):
            _control[0].broadcast([torch.zeros(1)], options).wait(_LAST_WORDS)


def _disconnect() -> None:
    """Close the connections, at the end of the process: after its last message, and before its libraries are unloaded.

    Their threads would abort the process if they still ran then.
    """
    _control.clear()
    gc.collect()  # divided weights refer to a connection, and are parts of cycles
    if distributed.is_initialized():
        every = distributed.group.WORLD
        # After an error, another process may never do its part of an exchange, for which NCCL would wait.
        if every is not None and distributed.get_backend() == "nccl":
            every.abort()
        distributed.destroy_process_group()


def is_first_process() -> bool:
    """Return whether this process writes: it is the only one of a run, or the first of several.

    Raises:
        TrainingError: the variables of a launcher are incomplete or contradict each other.
    """
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank() == 0
    return launched_rank() == 0


def _nothing() -> Any:
    return None


def _described(error: Exception) -> tuple[type[IEError], str, str | None]:
    """Return what the other processes raise for an error: the error itself if a user can do something about it."""
    if isinstance(error, IEError):
        return type(error), error.message, error.hint
    return TrainingError, f"{type(error).__name__}: {error}", "see the output of this process."


@contextmanager
def exchanging(*, computes: bool = False) -> Iterator[None]:
    """Turn the error of an exchange into one that says what has happened.

    A lost connection is no error of its own, so only the first process reports it; anything else may be an error of this process.

    Args:
        computes: whether the context also computes, so that only lost connections are errors of an exchange.
    """
    try:
        yield
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        what = _NOISE.sub("", str(error).strip().partition("\n")[0]) or type(error).__name__
        explained = TrainingError(
            f"the processes of the run could not exchange data: {what}",
            hint="if another process has ended, its own message says why; continue from the last checkpoint with --resume.",
        )
        lost = _LOST.search(what)
        if computes and not lost:
            raise
        raise (reported_once(explained) if lost else explained) from error


def _buckets(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Yield tensors of the same type and device together, up to `_BUCKET` bytes or a single one."""
    groups: dict[tuple[torch.dtype, torch.device], list[Tensor]] = {}
    sizes: dict[tuple[torch.dtype, torch.device], int] = {}
    for tensor in tensors:
        key = tensor.dtype, tensor.device
        if groups.get(key) and sizes[key] + tensor.nbytes > _BUCKET:
            yield groups.pop(key)
        group = groups.setdefault(key, [])
        sizes[key] = tensor.nbytes + (sizes[key] if group else 0)
        group.append(tensor)
    yield from groups.values()
