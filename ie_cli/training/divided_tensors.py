"""Tensors that are divided over the processes of a run (`DTensor`): their whole, and their parts."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from ie_cli.training.processes import exchanging


def whole_tensor(tensor: Tensor) -> Tensor:
    """Return the whole tensor of one that is divided over the processes, all of which call this; any other one as it is."""
    if not isinstance(tensor, DTensor):
        return tensor
    with exchanging():
        return tensor.full_tensor().detach()


def stored_tensor(tensor: Tensor) -> Tensor:
    """Return a tensor for a checkpoint, in main memory.

    Of a tensor that is divided over the processes, the first one gets the whole, and the others an empty one; all call this.
    """
    whole = whole_tensor(tensor)
    if isinstance(tensor, DTensor) and tensor.device_mesh.get_rank():
        return whole.new_empty(0)
    return whole.detach().cpu().contiguous()


def divided_like(like: Tensor, tensor: Tensor) -> Tensor:
    """Return a tensor divided over the processes as another one of its shape is; as it is if the other one is whole."""
    if not isinstance(like, DTensor) or tensor.shape != like.shape:
        return tensor
    found: DTensor = torch.empty_like(like, dtype=tensor.dtype, requires_grad=False)  # type: ignore[assignment]
    local = found.to_local()
    rows = -(-len(tensor) // like.device_mesh.size())  # FSDP2 divides the first dimension as `torch.chunk` does
    start = min(rows * like.device_mesh.get_rank(), len(tensor))
    local.copy_(tensor.detach()[start : start + len(local)])
    return found
