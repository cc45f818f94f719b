"""A GPU that does not exist: shapes, types and devices are computed, numbers are not.

Operations on tensors of two devices are errors, as on a GPU; so is everything that needs a number on the CPU, for which a program
would wait for the GPU. Kernels, streams and memory are not tested.
"""

from __future__ import annotations

import shutil
import subprocess
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode, unset_fake_temporarily

SOURCE = Path(__file__).with_suffix(".cpp")
CUDA = torch.device("cuda")


def compiler() -> str | None:
    """Return a C++ compiler, if there is one."""
    return shutil.which("g++") or shutil.which("clang++")


def build(directory: Path) -> Path:
    """Compile the library that is loaded before torch."""
    made, torch_files = directory / "pretended_gpu.so", Path(torch.__file__).parent
    libraries = ["-L", str(torch_files / "lib"), "-lc10", "-ltorch_cpu", f"-Wl,-rpath,{torch_files / 'lib'}"]
    headers = ["-I", str(torch_files / "include")]
    options = ["-std=c++20", "-O0", "-shared", "-fPIC"]
    subprocess.run([str(compiler()), *options, str(SOURCE), "-o", str(made), *headers, *libraries], check=True)
    return made


class _Nothing:
    """Stands for streams and events."""

    def __init__(self, *args: Any, **options: Any) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        return lambda *args: None


def pretend(waits: list[int]) -> FakeTensorMode:
    """Let torch believe that there is a GPU, in the whole process; return the mode in which tensors may be on it.

    Args:
        waits: gets an element for each copy from the GPU for which the host waits.
    """
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    answers: dict[str, Any] = {
        "is_available": True,
        "device_count": 1,
        "is_bf16_supported": True,
        "get_device_capability": (9, 0),
        "current_device": 0,
        "device": nullcontext(),
        "stream": nullcontext(),
        "current_stream": _Nothing(),
        "get_rng_state_all": [],
        **dict.fromkeys(("set_device", "empty_cache", "manual_seed_all", "manual_seed")),
    }
    replace(torch.cuda, **{name: _always(answer) for name, answer in answers.items()}, Stream=_Nothing, Event=_Nothing)
    replace(Tensor, record_stream=_always(None), pin_memory=lambda tensor, *args: tensor)
    tensor_to: Any = Tensor.to
    module_to: Any = nn.Module.to

    def moved_tensor(self: Tensor, *args: Any, **options: Any) -> Tensor:
        if self.device.type == CUDA.type or not _names(CUDA.type, *args, *options.values()):
            if self.device.type == CUDA.type and _names("cpu", *args, *options.values()):
                waits.append(1)
            return tensor_to(self, *args, **options)
        with mode:
            return tensor_to(torch.empty(self.shape, dtype=self.dtype, device=CUDA), *args, **options)

    def moved_module(self: nn.Module, *args: Any, **options: Any) -> nn.Module:
        return moved(self) if _names(CUDA.type, *args, *options.values()) else module_to(self, *args, **options)

    def copied(self: Tensor, *args: Any, **options: Any) -> Tensor:
        return moved_tensor(self, "cpu")

    replace(Tensor, to=moved_tensor, cpu=copied)
    replace(nn.Module, to=moved_module)
    return mode


def replace(owner: Any, **attributes: Any) -> None:
    """Replace attributes of a module or class."""
    for name, value in attributes.items():
        setattr(owner, name, value)


def moved(module: nn.Module) -> nn.Module:
    """Replace the weights of a module by such on the GPU; a weight in several places stays one."""
    weights: dict[int, nn.Parameter] = {}
    for part in module.modules():
        for name, weight in part._parameters.items():
            if weight is not None and weight.device.type != CUDA.type:
                there = weights.setdefault(
                    id(weight), nn.Parameter(torch.empty_like(weight, device=CUDA), requires_grad=weight.requires_grad)
                )
                part._parameters[name] = there
        for name, buffer in part._buffers.items():
            if buffer is not None and buffer.device.type != CUDA.type:
                part._buffers[name] = torch.empty_like(buffer, device=CUDA)
    return module


def on_the_cpu(function: Any) -> Any:
    """Return a function that computes with numbers, wherever it is called."""

    def computed(*args: Any, **options: Any) -> Any:
        with unset_fake_temporarily():
            return function(*args, **options)

    return computed


def _always(answer: Any) -> Any:
    return lambda *args, **options: answer


def _names(kind: str, *values: Any) -> bool:
    return any(isinstance(value, (str, torch.device)) and torch.device(value).type == kind for value in values)
