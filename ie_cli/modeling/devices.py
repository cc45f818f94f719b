"""The choice of device and precision."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ie_cli.errors import ModelError
from ie_cli.recipe.base import Precision

TENSOR_CORES = (7, 0)
"""The compute capability from which a GPU multiplies float16 in tensor cores; bfloat16 needs 8.0."""
ANY_GPU = "cuda"
SHARED = ("auto", ANY_GPU)
"""The devices for which processes take different GPUs."""


@cache
def cpu_has_bfloat16() -> bool:
    """Return whether the processor multiplies bfloat16 in hardware (AVX512-BF16, AMX, or Arm's BF16).

    `transformers` and `accelerate` report bfloat16 support on every CPU, but emulated bfloat16 is many times slower than
    float32.
    """
    if platform.system() == "Linux":
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split()
        return not {"avx512_bf16", "amx_bf16", "bf16"}.isdisjoint(flags)
    probe = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(probe and probe())


def choose_device(wanted: str = "auto") -> torch.device:
    """Return the first accelerator, or the CPU if there is none or `wanted` is ``cpu``.

    Args:
        wanted: ``auto``, ``cpu``, ``cuda`` for the first GPU, which must exist, or the GPU of a number, as ``cuda:1``.

    Raises:
        ModelError: there is no such device.
    """
    if wanted == "cpu":
        return torch.device("cpu")
    if wanted != "auto":
        gpus = [ANY_GPU, *(f"cuda:{number}" for number in range(gpu_count()))] if gpu_count() else []
        if wanted not in gpus:
            known = ", ".join(["auto", "cpu", *gpus])
            raise ModelError(f"device {wanted} not found", hint=f"use one of {known}.")
        return torch.device(wanted)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def gpu_count() -> int:
    """Return the number of GPUs that this process may use."""
    return torch.cuda.device_count()


def device_of_process(wanted: str, process: int) -> str:
    """Return the device of one of several processes of a machine: they take its GPUs in turn, unless one is named.

    Args:
        wanted: as in `choose_device`.
        process: the number of the process, from 0.
    """
    if wanted not in SHARED or not (gpus := gpu_count()):
        return wanted
    return f"cuda:{process % gpus}"


def choose_precision(wanted: Precision | Literal["auto"], device: torch.device) -> Precision:
    """Resolve ``auto``: bfloat16 if the hardware supports it; float16 on a GPU that has only this; else float32."""
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        with torch.cuda.device(device):  # about which torch answers; the GPUs of a machine may differ
            supported = torch.cuda.is_bf16_supported(including_emulation=False)
        if supported:
            return "bfloat16"
        return "float16" if torch.cuda.get_device_capability(device) >= TENSOR_CORES else "float32"
    if device.type == "cpu":
        return "bfloat16" if cpu_has_bfloat16() else "float32"
    return "float32"


def torch_dtype(precision: Precision) -> torch.dtype:
    """Return the torch dtype of a precision."""
    return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[precision]


def convert(module: nn.Module, precision: Precision) -> None:
    """Convert the weights of a module to a precision.

    Buffers stay as they are, as when `transformers` loads an encoder: bfloat16 would round the frequencies of rotary positions,
    which are multiplied by the distance of tokens.
    """
    for weight in _weights(module):
        weight.data = weight.data.to(torch_dtype(precision))


@contextmanager
def converted(module: nn.Module, precision: Precision) -> Iterator[None]:
    """Convert the weights of a module inside the context, as those of a stored model that is loaded in this precision.

    The parameters stay the same objects, and get their numbers back, to the last bit, even if an error is raised. The copies
    need the memory of the weights in this precision.
    """
    before = [(weight, weight.data) for weight in _weights(module)]
    try:
        convert(module, precision)
        yield
    finally:
        for weight, own in before:
            weight.data = own


def _weights(module: nn.Module) -> list[nn.Parameter]:
    return [weight for weight in module.parameters() if weight.is_floating_point()]


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a tensor on a device without waiting for the device.

    Only a copy from pinned memory is asynchronous. The memory is reused once the copy is done, which torch keeps track of.
    """
    if device.type == "cuda" and tensor.device.type == "cpu":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


def precise_dtype(device: torch.device) -> torch.dtype:
    """Return the most precise type that a device computes with: float64, but float32 on a Mac's GPU."""
    return torch.float32 if device.type == "mps" else torch.float64


def read_numbers(scalars: Sequence[Tensor]) -> npt.NDArray[np.float64]:
    """Return numbers of one device in float64; the host waits for the device once."""
    if not scalars:
        return np.zeros(0)
    return torch.stack([scalar.to(precise_dtype(scalar.device)) for scalar in scalars]).cpu().double().numpy()
