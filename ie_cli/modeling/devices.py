"""The choice of device and precision."""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path
from typing import Literal

import torch

from ie_cli.recipe.base import Precision


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


def choose_device(wanted: Literal["auto", "cpu"] = "auto") -> torch.device:
    """Return the first accelerator, or the CPU if there is none or `wanted` is ``cpu``."""
    if wanted == "cpu":
        return torch.device("cpu")
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def choose_precision(wanted: Precision | Literal["auto"], device: torch.device) -> Precision:
    """Resolve ``auto``: bfloat16 if the hardware supports it, else float32."""
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    if device.type == "cpu":
        return "bfloat16" if cpu_has_bfloat16() else "float32"
    return "float32"


def torch_dtype(precision: Precision) -> torch.dtype:
    """Return the torch dtype of a precision."""
    return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[precision]
