"""What makes training on a CPU fast beside the matrix products, which run at the speed of the machine already.

Measured in benchmarks/RESULTS.md. What is trained is the same model; its numbers differ as those of two seeds do.
"""

from __future__ import annotations

import ctypes
import platform
from typing import Any

import torch
from torch import nn

from ie_cli.modeling.cpu.attention import use_cpu_attention
from ie_cli.modeling.cpu.dropout import replace_dropout


def prepare_for_training(encoder: nn.Module) -> None:
    """Change an encoder, in place, and the process for training on a CPU."""
    replace_dropout(encoder)
    use_cpu_attention(encoder)
    embeddings = getattr(encoder, "embeddings", None)
    if isinstance(embeddings, nn.Module):
        embeddings.register_forward_hook(_autocast_output)
    keep_memory()


def _autocast_output(module: nn.Module, inputs: Any, output: Any) -> Any:
    """Under autocast, start the stream between the layers in the lower precision, as in prediction.

    Otherwise it stays float32: every product then has its input converted, and what stands between moves twice the bytes.
    """
    if isinstance(output, torch.Tensor) and torch.is_autocast_enabled("cpu"):
        return output.to(torch.get_autocast_dtype("cpu"))
    return output


def keep_memory() -> None:
    """Let the C library keep what is freed for the next step instead of asking the system for zeroed pages again.

    A step of the sizes of sentences becomes some 8 % faster. Only glibc has these settings.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    trim_threshold, top_pad, mmap_max = -1, -2, -4  # names of malloc.h
    mallopt = ctypes.CDLL(None).mallopt
    mallopt(mmap_max, 0)
    mallopt(trim_threshold, 2**31 - 1)
    mallopt(top_pad, 2**26)
