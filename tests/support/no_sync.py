"""A device that the host cannot look at: tensors without values, on which every operation that depends on values is an error.

On a GPU, such an operation makes the host wait for all work that it has queued. So does a copy to the GPU, unless it is
marked as asynchronous: `Copies` records those that are not.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

BLIND = torch.device("meta")


class Copies(TorchDispatchMode):
    """Records the copies to the device that are not asynchronous."""

    def __init__(self) -> None:
        super().__init__()
        self.blocking: list[str] = []
        self.asynchronous = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: PLW3201
        kwargs = kwargs or {}
        copied = function.overloadpacket is torch.ops.aten._to_copy and args[0].device.type == "cpu"
        if copied and torch.device(kwargs.get("device") or "cpu") == BLIND:
            if kwargs.get("non_blocking"):
                self.asynchronous += 1
            else:
                self.blocking.append(f"{function} {tuple(args[0].shape)}")
        if function.overloadpacket is torch.ops.aten.copy_ and args[0].device == BLIND != args[1].device:
            self.blocking.append(f"{function} {tuple(args[0].shape)}")
        return function(*args, **kwargs)


@contextmanager
def blind_device(monkeypatch: pytest.MonkeyPatch) -> Iterator[Copies]:
    """Record copies to the device; automatic casts, which the device does not support, are switched off."""
    plain = torch.autocast

    def autocast(device_type: str, *args: Any, **kwargs: Any) -> Any:
        return nullcontext() if device_type == BLIND.type else plain(device_type, *args, **kwargs)

    with monkeypatch.context() as patch, Copies() as copies:
        patch.setattr(torch, "autocast", autocast)
        yield copies
