"""Bring to the CPU what a head computes for a batch, while the GPU already computes the next batch.

A GPU works through a queue in order. What is queued for a batch after the next batch was launched would therefore wait for that
batch. So the heads compute, and their outputs are copied, in a second queue, which waits only for the encoder's output of their
own batch. It has priority: the next batch has time until this one is decoded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from typing import Any, ClassVar, Protocol

import numpy.typing as npt
import torch
from torch import Tensor

Arrays = dict[str, npt.NDArray[Any]]
_HIGH_PRIORITY = -1


class DeviceQueue(Protocol):
    """Where the heads compute after the encoder.

    Attributes:
        ahead: how many batches are worth launching before the oldest of them is decoded.
    """

    ahead: ClassVar[int]

    def hand_over(self, tensors: Iterable[Tensor]) -> Any:
        """Return a mark that is reached when these tensors are computed, without waiting for it."""

    def after(self, mark: Any) -> AbstractContextManager[None]:
        """Return a context whose work begins when a mark is reached; None: at once."""

    def bring(self, tensors: Mapping[str, Tensor]) -> Arrays:
        """Return tensors that were computed in such a context as arrays on the CPU; wait once for all of them."""


class InOrder:
    """The only queue of a device that computes at once, as a CPU does, or that has no other."""

    ahead: ClassVar[int] = 0

    def hand_over(self, tensors: Iterable[Tensor]) -> None:
        """Return no mark."""

    def after(self, mark: None) -> AbstractContextManager[None]:
        """Return a context that does nothing."""
        return nullcontext()

    def bring(self, tensors: Mapping[str, Tensor]) -> Arrays:
        """Return the arrays."""
        return {name: tensor.numpy(force=True) for name, tensor in tensors.items()}


class SideStream:
    """A second queue of a CUDA device.

    Args:
        device: the device.
    """

    ahead: ClassVar[int] = 1

    def __init__(self, device: torch.device) -> None:
        self._device, self._stream = device, torch.cuda.Stream(device, priority=_HIGH_PRIORITY)  # type: ignore[no-untyped-call]

    def hand_over(self, tensors: Iterable[Tensor]) -> Any:
        """Return the mark, and keep the memory of the tensors until this queue is done with them."""
        mark = torch.cuda.Event()  # type: ignore[no-untyped-call]
        mark.record(torch.cuda.current_stream(self._device))
        for tensor in tensors:
            tensor.record_stream(self._stream)
        return mark

    @contextmanager
    def after(self, mark: Any) -> Iterator[None]:
        """Let the work of a context go to this queue, behind a mark of another one."""
        with torch.cuda.stream(self._stream):
            if mark is not None:
                self._stream.wait_event(mark)
            yield

    def bring(self, tensors: Mapping[str, Tensor]) -> Arrays:
        """Copy all tensors to pinned memory, and wait for this queue alone."""
        copies = {name: tensor.detach().to("cpu", non_blocking=True) for name, tensor in tensors.items()}
        self._stream.synchronize()
        return {name: copy.numpy() for name, copy in copies.items()}


IN_ORDER = InOrder()


@cache
def queue_of(device: torch.device) -> DeviceQueue:
    """Return the queue of the heads on a device; it is the same for all models on it."""
    return SideStream(device) if device.type == "cuda" else IN_ORDER
