"""Compile the encoder for training with `torch.compile`, for batches of few shapes.

Each shape is compiled once, which takes from some seconds to a minute. Therefore lengths are rounded up to multiples of
`MULTIPLE`, and evaluation, whose batches have many other shapes, runs the encoder as it is.
"""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import nn

MULTIPLE = 32
"""What the lengths of compiled batches are multiples of."""
_SHAPES = 256
"""The number of shapes that may be compiled; torch's own limit of 8 would silently run further ones as they are."""


def compile_encoder(encoder: nn.Module, *, backend: Any = "inductor") -> None:
    """Let an encoder compile itself for each shape of its input; its weights keep their names.

    Args:
        encoder: the encoder, on any device; nothing is compiled before the first step.
        backend: the compiler, by its name in torch or as a function.
    """
    limit = "recompile_limit" if hasattr(torch._dynamo.config, "recompile_limit") else "cache_size_limit"
    setattr(torch._dynamo.config, limit, max(_SHAPES, getattr(torch._dynamo.config, limit)))
    encoder.compile(backend=backend, dynamic=False)


def callable_of(encoder: nn.Module) -> Any:
    """Return what to call: the encoder, or its uncompiled form in evaluation."""
    compiled = getattr(encoder, "_compiled_call_impl", None) is not None
    return encoder.forward if compiled and not encoder.training else encoder


def rounded_length(length: int, multiple: int, most: int) -> int:
    """Return a length rounded up to a multiple, but at most `most`, the number of positions, unless it is longer itself.

    >>> [rounded_length(length, 32, 80) for length in (1, 32, 33, 70, 90)]
    [32, 32, 64, 80, 90]
    """
    return max(length, min(-(-length // multiple) * multiple, most))


def compilation_error(error: BaseException) -> str | None:
    """Return the first lines of an error of the compiler, or None if it is another error."""
    module = type(error).__module__
    if not module.startswith(("torch._dynamo", "torch._inductor")):
        return None
    first = str(error).strip().splitlines()[:2]  # the name of the backend, and what it raised
    return re.sub(r"\s+", " ", " ".join(first)).removesuffix(".")
