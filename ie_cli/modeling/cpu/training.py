"""What makes training on a CPU fast beside the matrix products, which run at the speed of the machine already.

Measured in benchmarks/RESULTS.md. What is trained is the same model; its numbers differ as those of two seeds do.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ie_cli.modeling.cpu.attention import use_cpu_attention
from ie_cli.modeling.cpu.dropout import replace_dropout


def prepare_for_training(encoder: nn.Module) -> None:
    """Change an encoder, in place, for training on a CPU."""
    replace_dropout(encoder)
    use_cpu_attention(encoder)
    embeddings = getattr(encoder, "embeddings", None)
    if isinstance(embeddings, nn.Module):
        embeddings.register_forward_hook(_autocast_output)


def _autocast_output(module: nn.Module, inputs: Any, output: Any) -> Any:
    """Under autocast, start the stream between the layers in the lower precision, as in prediction.

    Otherwise it stays float32: every product then has its input converted, and what stands between moves twice the bytes.
    """
    if isinstance(output, torch.Tensor) and torch.is_autocast_enabled("cpu"):
        return output.to(torch.get_autocast_dtype("cpu"))
    return output
